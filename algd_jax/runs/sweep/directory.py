"""The directory of a sweep: where its files lie, and the plan that it holds."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from algd_jax.config import Config, flat_fields
from algd_jax.errors import ConfigError
from algd_jax.files import check_links, create, is_leftover, read_json
from algd_jax.runs.directory import RunDirectory, add_later_fields, from_dict, write_json
from algd_jax.runs.locks import locked
from algd_jax.runs.provenance import provenance
from algd_jax.runs.sweep.halving import Halving, describe_search
from algd_jax.runs.sweep.plan import Plan, Trial
from algd_jax.training.manifest import Owner

FORMAT_VERSION = 1
"""Of ``sweep.json``; raised when an old file can no longer be read."""

_LARGEST_PLAN = 2**30

DONE, FAILED, PRUNED, RUNNING = "done", "failed", "pruned", "running"
"""How a trial stands; one that has not begun is ``running`` too."""


@dataclasses.dataclass(frozen=True)
class SweepDirectory:
    """Where the files of one sweep lie.

    Attributes:
      path: the folder.
    """

    path: Path

    @property
    def sweep_file(self) -> Path:
        """The whole plan, and where it came from."""
        return self.path / "sweep.json"

    @property
    def results_csv(self) -> Path:
        """A row for each trial and epoch."""
        return self.path / "results.csv"

    @property
    def results_parquet(self) -> Path:
        return self.path / "results.parquet"

    @property
    def trials_csv(self) -> Path:
        """A row for each trial: how it ended."""
        return self.path / "trials.csv"

    @property
    def log_file(self) -> Path:
        """As of a run: lines worth telling, and the traceback of a failure."""
        return self.path / "sweep.log"

    def trial(self, trial: Trial) -> TrialDirectory:
        """An ordinary run directory."""
        return TrialDirectory(self.path / "trials" / trial.name)

    def program(self, number: int) -> Path:
        """Checkpoints of a program's whole state."""
        return self.path / "programs" / str(number)

    def owner(self, number: int) -> Owner:
        """Whose the checkpoints of a program are; empty for a sweep begun without an id."""
        record = self.read_record()
        return {"sweep": record["id"], "program": number} if "id" in record else {}

    def exists(self) -> bool:
        """Whether there is a sweep here already.

        Raises:
          ConfigError: if there is something else.
        """
        if self.sweep_file.is_file():
            return True
        if self.path.exists() and not self.path.is_dir():
            raise self._not_free("is a file")
        children = self.path.iterdir() if self.path.is_dir() else ()
        if not all(is_leftover(child, self.sweep_file.name) for child in children):
            raise self._not_free("is not empty and no sweep")
        return False

    def create(self, plan: Plan, command: Sequence[str]) -> None:
        """Make the folder and write ``sweep.json``, which claims the folder for this sweep."""
        record = {
            "format_version": FORMAT_VERSION,
            "id": secrets.token_hex(8),
            "trials": [
                {
                    "name": trial.name,
                    "swept": trial.swept,
                    "config": dataclasses.asdict(trial.config),
                }
                for trial in plan.trials
            ],
            "programs": plan.programs,
            "search": plan.search and plan.search._asdict(),
            **provenance(list(command)),
            "resumed": [],
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            create(self.sweep_file, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
        except FileExistsError as error:
            raise self._not_free("is taken by another sweep") from error
        except OSError as error:
            raise self._not_free(f"cannot be written ({error.strerror})") from error

    def read_plan(self) -> Plan:
        """The plan that is here; nothing that it names is imported.

        Raises:
          ConfigError: if ``sweep.json`` does not hold one of this format.
        """
        record = self.read_record()
        for one in record["trials"]:
            add_later_fields(one["config"])
        trials = tuple(
            Trial(
                str(one["name"]),
                from_dict(Config, one["config"], str(self.sweep_file)),
                tuple(one["swept"]),
            )
            for one in record["trials"]
        )
        programs = tuple(tuple(program) for program in record["programs"])
        return Plan(trials, programs, _search(record))

    def add_resumption(self, command: Sequence[str]) -> None:
        """Note in ``sweep.json`` that the sweep goes on; several processes may at once."""
        with locked(self.path / "sweep.lock"):
            record = self.read_record()
            record["resumed"].append(provenance(list(command)))
            write_json(self.sweep_file, record)

    def check_same(self, plan: Plan, trials: Sequence[Trial], search: Halving | None) -> None:
        """Raise :class:`ConfigError` unless the plan that is here is of these trials and search."""
        if (plan.trials, plan.search) == (tuple(trials), search):
            return
        if plan.search != search:
            there, here = describe_search(plan.search), describe_search(search)
            difference = f"search {there} there, {here} here"
        elif len(plan.trials) != len(trials):
            difference = f"{len(plan.trials)} trials there, {len(trials)} here"
        else:
            pairs = zip(plan.trials, trials, strict=True)
            first, second = next((a, b) for a, b in pairs if a != b)
            difference = f"trial {first.name}: {_difference(first.config, second.config)}"
        raise self._not_free(f"holds another sweep ({difference})")

    def check_members(self, plan: Plan, members: int | None) -> None:
        """Raise :class:`ConfigError` if a program that is here has more members than are asked."""
        largest = max(map(len, plan.programs))
        if members is not None and members < largest:
            raise ConfigError(
                f"--members: got {members}, but a program of {self.path} has {largest}, and "
                "programs that are there stay; allowed is that, or a new sweep"
            )

    def running(
        self, program: int, patience: float = 0.0
    ) -> contextlib.AbstractContextManager[None]:
        """Context in which this process alone runs a program; it is left when the process dies.

        Args:
          program: its number.
          patience: how long to wait for another process to let go [s].

        Raises:
          ConfigError: if another process runs it.
        """
        path = self.program(program).with_suffix(".lock")
        return locked(path, f"program {program} of {self.path}", patience)

    def tabulating(self) -> contextlib.AbstractContextManager[None]:
        """Context in which this process alone makes the tables, so that no older one comes last."""
        return locked(self.path / "results.lock")

    def read_record(self) -> dict[str, Any]:
        """What ``sweep.json`` holds; of the trials' configurations only that they are objects."""
        check_links(self.path, "sweep directory")
        try:
            record = read_json(self.sweep_file, _LARGEST_PLAN)
        except OSError as error:
            raise ConfigError(f"{self.sweep_file}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{self.sweep_file}: {error}") from error
        version = record.get("format_version") if isinstance(record, dict) else None
        if version != FORMAT_VERSION:
            raise ConfigError(
                f"{self.sweep_file}: format_version: got {version!r}, allowed is {FORMAT_VERSION}"
            )
        if not _is_plan(record):
            raise ConfigError(f"{self.sweep_file}: does not hold the plan of a sweep")
        return record

    def _not_free(self, reason: str) -> ConfigError:
        return ConfigError(
            f"run_dir: {self.path} {reason}, allowed is a new or empty directory (or the command "
            "that began the sweep, to resume it)"
        )


@dataclasses.dataclass(frozen=True)
class TrialDirectory(RunDirectory):
    """The run directory of a trial. Its whole state is the program's, kept with that."""

    @property
    def sweep(self) -> str:
        """Name of the sweep's folder, in whose folder ``trials`` this one is."""
        return self.path.resolve().parents[1].name

    @property
    def failure_file(self) -> Path:
        """What went bad, and when; there if the trial failed."""
        return self.path / "failure.json"

    @property
    def pruned_file(self) -> Path:
        """When the trial was pruned, and how it ranked; there if it was."""
        return self.path / "pruned.json"

    @property
    def status(self) -> str:
        """How the trial stands."""
        files = {
            FAILED: self.failure_file,
            PRUNED: self.pruned_file,
            DONE: self.evaluation_file,
        }
        return next((name for name, file in files.items() if file.is_file()), RUNNING)


def _is_plan(record: dict[str, Any]) -> bool:
    trials, programs = record.get("trials"), record.get("programs")
    if not (isinstance(trials, list) and isinstance(programs, list)):
        return False
    kinds = {"name": str, "swept": list, "config": dict}
    fine = all(
        isinstance(trial, dict) and all(isinstance(trial.get(k), t) for k, t in kinds.items())
        for trial in trials
    )
    numbers = [i for program in programs if isinstance(program, list) for i in program]
    fine = fine and isinstance(record.get("id", ""), str)
    fine = fine and sorted(numbers, key=str) == sorted(range(len(trials)), key=str)
    return fine and _is_search(record.get("search"))


def _is_search(search: Any) -> bool:
    """Whether it is nothing, or a :class:`Halving` as written."""
    if search is None:
        return True
    fine = isinstance(search, dict) and search.keys() == set(Halving._fields)
    return fine and all(
        (type(value) is int and value >= 1) or (name, value) == ("first_rung", None)
        for name, value in search.items()
    )


def _search(record: dict[str, Any]) -> Halving | None:
    """The search of a plan; those written before there was one have none."""
    search = record.get("search")
    return None if search is None else Halving(**search)


def _difference(there: Config, here: Config) -> str:
    """The first field in which two configurations differ, with both values."""
    first, second = (flat_fields(dataclasses.asdict(one)) for one in (there, here))
    name = next((name for name in first if first[name] != second[name]), None)
    return f"{name} {first[name]} there, {second[name]} here" if name else "named otherwise"
