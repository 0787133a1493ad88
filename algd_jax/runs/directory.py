"""The run directory: where each file of a run lies, and its ``config.json``.

Everything later (evaluate, resume, report) needs only this folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from algd_jax.config import AgentConfig, Config, HealthConfig, Hyper, LoopConfig
from algd_jax.envs.registry import is_code
from algd_jax.envs.velocity.suites import VELOCITY_TASKS
from algd_jax.errors import ConfigError, shown
from algd_jax.files import check_links, create, is_leftover, read_json, replace
from algd_jax.runs.locks import locked
from algd_jax.runs.provenance import provenance
from algd_jax.training.manifest import Owner

FORMAT_VERSION = 7
"""Of ``config.json``."""

_OLDEST_VERSION = 4
"""The oldest that is read."""

_LARGEST_CONFIG = 2**20


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Where the files of one run lie.

    Attributes:
      path: the folder.
    """

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON object per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def state(self) -> Path:
        """Checkpoint of the whole run, to resume from."""
        return self.path / "checkpoints" / "state"

    @property
    def last(self) -> Path:
        """Checkpoint of the last agent."""
        return self.path / "checkpoints" / "last"

    @property
    def best(self) -> Path:
        """Checkpoint of the agent with the highest return among the feasible ones."""
        return self.path / "checkpoints" / "best"

    @property
    def evaluation_file(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def curves_file(self) -> Path:
        return self.path / "curves.png"

    @property
    def log_file(self) -> Path:
        """Lines worth telling of the run, and the traceback of a failure."""
        return self.path / "run.log"

    def tracker_file(self, service: str) -> Path:
        """Which run of a service this one is logged to, and how far."""
        return self.trackers / f"{service}.json"

    @property
    def trackers(self) -> Path:
        return self.path / "trackers"

    def check_free(self) -> None:
        """Raise :class:`ConfigError` unless a new run may be written here."""
        with _refusals(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise _not_free(self.path, "is a file")
            children = self.path.iterdir() if self.path.is_dir() else ()
            if not all(is_leftover(child, self.config_file.name) for child in children):
                raise _not_free(self.path, "is not empty")

    def create(self, config: Config, command: list[str]) -> None:
        """Make the folder and write ``config.json``, which claims the folder for this run.

        Raises:
          ConfigError: if another run has claimed it, or it cannot be written.
        """
        record = {
            "format_version": FORMAT_VERSION,
            "id": secrets.token_hex(8),
            "config": dataclasses.asdict(config),
            **provenance(command),
            "resumed": [],
        }
        with _refusals(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            create(self.config_file, _to_json(record))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Context in which this process alone trains the run.

        Raises:
          ConfigError: if another process trains it, or nothing can be written here.
        """
        with contextlib.ExitStack() as held:
            with _refusals(self.path):
                lock = locked(self.path / "run.lock", str(self.path), patience=0.0)
                held.enter_context(lock)
            yield

    def add_resumption(self, config: Config, command: list[str]) -> None:
        """Note in ``config.json`` that the run goes on, possibly for more steps."""
        record = self._read_record()
        record["config"] = dataclasses.asdict(config)
        record["resumed"].append(provenance(command))
        write_json(self.config_file, record)
        self.evaluation_file.unlink(missing_ok=True)  # It will not be of the run's end any more.

    def read_config(self, env: str | None = None) -> Config:
        """The run's configuration; nothing that the folder names is imported.

        Args:
          env: the run's environment, needed if it is "module:attribute": what code to run has to
            come from the user, not from a folder that may be a stranger's.

        Raises:
          ConfigError: if this is no run, its ``config.json`` is not one of this format, or ``env``
            is another or missing.
        """
        config = from_dict(Config, self._read_record()["config"], str(self.config_file))
        if env is None and is_code(config.env):
            raise ConfigError(
                f"env: {self.path} was trained on {config.env!r}, which is code to import; "
                f"if you trust it, add --env {config.env}"
            )
        if env not in (None, config.env):
            raise ConfigError(f"env: got {env!r}, but {self.path} was trained on {config.env!r}")
        return config

    def look_up_config(self) -> Config:
        """The configuration to compare with others, not to run: code that it names is not imported,
        and a field that came after the run was made has its default.

        Raises:
          ConfigError: if this is no run, or its ``config.json`` is not one of this format.
        """
        defaults, found = dataclasses.asdict(Config()), self._read_record()["config"]
        filled = defaults | {
            name: defaults[name] | value
            if isinstance(value, dict) and isinstance(defaults.get(name), dict)
            else value
            for name, value in found.items()
        }
        return from_dict(Config, _as_json(filled), str(self.config_file))

    def read_provenance(self) -> list[dict[str, Any]]:
        """What ``config.json`` tells of the start of the run and of each time it was resumed."""
        record = self._read_record()
        return [record, *(again for again in record["resumed"] if isinstance(again, dict))]

    def owner(self, kind: str) -> Owner:
        """Whose the checkpoints of a kind are; empty for a run that was begun without an id.

        Args:
          kind: best, last or state.
        """
        if not self.config_file.exists():
            return {}
        record = self._read_record()
        if "id" not in record:
            return {}
        return {"run": record["id"], "kind": kind, "seed": record["config"].get("seed")}

    def _read_record(self) -> dict[str, Any]:
        try:
            return self._checked_record()
        except OSError as error:
            raise ConfigError(f"run_dir: {self.path} cannot be read ({error.strerror})") from error

    def _checked_record(self) -> dict[str, Any]:
        if not self.config_file.is_file():
            raise ConfigError(f"run_dir: {self.path} is no run directory (it has no config.json)")
        check_links(self.path, "run directory")
        self._check_kinds()
        try:
            record = read_json(self.config_file, _LARGEST_CONFIG)
        except OSError as error:
            raise ConfigError(f"{self.config_file}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{self.config_file}: {error}") from error
        version = record.get("format_version") if isinstance(record, dict) else None
        if type(version) is not int or not _OLDEST_VERSION <= version <= FORMAT_VERSION:
            raise ConfigError(
                f"{self.config_file}: format_version: got {shown(version)}, "
                f"allowed is {_OLDEST_VERSION} to {FORMAT_VERSION}"
            )
        for name, kind in (("config", dict), ("resumed", list)):
            if not isinstance(record.get(name), kind):
                raise ConfigError(f"{self.config_file}: missing field {name!r}")
        if not isinstance(record.get("id", ""), str):
            raise ConfigError(f"{self.config_file}: id: got {shown(record['id'])}, allowed is str")
        add_later_fields(record["config"], version)
        return record | {"format_version": FORMAT_VERSION}

    def _check_kinds(self) -> None:
        """Raise :class:`ConfigError` where a file of a run is something else, or a folder."""
        for path in (self.metrics_file, self.evaluation_file, self.curves_file, self.log_file):
            if path.exists() and not path.is_file():
                raise ConfigError(f"run_dir: {path} is no file")
        checkpoints = self.path / "checkpoints"
        for path in (
            self.tensorboard,
            self.trackers,
            checkpoints,
            self.state,
            self.last,
            self.best,
        ):
            if path.exists() and not path.is_dir():
                raise ConfigError(f"run_dir: {path} is no folder")


def add_later_fields(config: dict[str, Any], version: int = _OLDEST_VERSION) -> None:
    """Give a configuration of an older version the fields it lacks, with what they stood for."""
    if version < 5:
        config.setdefault("health", dataclasses.asdict(HealthConfig()))
    if version < 6 and isinstance(config.get("agent"), dict):
        config["agent"].setdefault("chain_gradient", True)
    if version < 7:
        # The later numbers' defaults are what runs did before there was a choice.
        for group, kind in (("loop", LoopConfig), ("agent", AgentConfig), ("hyper", Hyper)):
            if isinstance(config.get(group), dict):
                config[group] = dataclasses.asdict(kind()) | config[group]
        had_a_choice = str(config.get("env")) in VELOCITY_TASKS
        config.setdefault("physics", "mjx" if had_a_choice else "auto")


def from_dict(kind: type, values: dict[str, Any], source: str) -> Any:
    """Build a (nested) dataclass from JSON values, refusing unknown, missing or ill-typed fields.

    Args:
      kind: a dataclass whose fields are bool, int, float, str, tuples of them, one of several of
        these, or further dataclasses.
      values: its fields by name.
      source: where the values came from, for the error message.
    """
    hints = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    for problem, names in (
        ("unknown", [name for name in values if name not in fields]),
        ("missing", [name for name in fields if name not in values]),
    ):
        if names:
            raise ConfigError(f"{source}: {problem} field {shown(names[0])} in {kind.__name__}")

    def convert(name):
        value, wanted = values[name], hints[name]
        if dataclasses.is_dataclass(wanted) and isinstance(value, dict):
            return from_dict(typing.cast(type, wanted), value, source)
        try:
            return _from_json(value, wanted)
        except ValueError:  # It may be shown on a terminal.
            allowed = "printable text"
        except TypeError:
            allowed = wanted.__name__ if isinstance(wanted, type) else wanted
        raise ConfigError(f"{source}: {name}: got {shown(value)}, allowed is {allowed}")

    return kind(**{name: convert(name) for name in fields})


def _as_json(values: Any) -> Any:
    """The values as they come back from a JSON file."""
    return json.loads(json.dumps(values))


def _from_json(value: Any, wanted: Any) -> Any:
    """The value as one of type ``wanted``; TypeError if it is none, ValueError if unprintable."""
    if isinstance(value, str) and not value.isprintable():
        raise ValueError
    for kind in typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,):
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            item_kind, _ = typing.get_args(kind)
            return tuple(_from_json(item, item_kind) for item in value)
        if type(value) is kind or (kind is float and type(value) is int):
            with contextlib.suppress(OverflowError):  # Of an integer that is no float.
                return kind(value)
    raise TypeError


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    replace(path, _to_json(value))


def _to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turns what the file system refuses for the run directory ``path`` into one clear line."""
    try:
        yield
    except FileExistsError as error:
        raise _not_free(path, "is taken by another run") from error
    except NotADirectoryError as error:
        raise _not_free(path, "is below a file") from error
    except OSError as error:
        raise _not_free(path, f"cannot be written ({error.strerror})") from error


def _not_free(path: Path, reason: str) -> ConfigError:
    allowed = "a new or empty directory (or `algd train --resume` to continue a run)"
    return ConfigError(f"run_dir: {path} {reason}, allowed is {allowed}")
