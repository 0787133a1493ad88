"""``algd reproduce``: run again from the seed, and compare bit by bit."""

from __future__ import annotations

import json
import tempfile
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from algd_jax.agents.state import AgentState
from algd_jax.config import RESTORE, Config
from algd_jax.errors import ConfigError
from algd_jax.runs.build import build
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import load_agent
from algd_jax.runs.logs import CLOCK_FIELDS, Record, read_records
from algd_jax.runs.provenance import provenance
from algd_jax.runs.run import train
from algd_jax.training import checkpoint

Verdict = Literal["equal", "different"]

_NOTHING = "nothing"


class Difference(NamedTuple):
    """What the run recorded, and what is found now.

    Attributes:
      name: of a field, or of an array.
      recorded, again: its two values; of an array None.
      epoch: counts from 1; None if the difference is of no epoch.
    """

    name: str
    recorded: Any
    again: Any
    epoch: int | None = None


class Reproduction(NamedTuple):
    """A run beside its repetition.

    Attributes:
      epochs: compared, up to the first that differs.
      step: environment steps made by the last of them.
      policy: how that step's policy compares; None if the run keeps it no more, or the logs
        differ already.
      difference: the first one; None if there is none.
      circumstances: versions and devices that are others now than at the start of the run, or
        when it was resumed.
    """

    epochs: int
    step: int
    policy: Verdict | None
    difference: Difference | None
    circumstances: list[Difference]

    @property
    def equal(self) -> bool:
        """Whether all that was compared is equal bit by bit."""
        return self.difference is None

    def record(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        difference = self.difference and self.difference._asdict()
        circumstances = [one._asdict() for one in self.circumstances]
        fields = {"difference": difference, "circumstances": circumstances}
        return {"equal": self.equal, **self._asdict(), **fields}


def reproduce(
    run_dir: Path,
    epochs: int | None = None,
    env: str | None = None,
    display: Display | None = None,
) -> Reproduction:
    """Train as a run was trained, from its seed, and compare each epoch and the last policy.

    The repetition lies in a temporary folder; nothing in the run's own changes. It ends at the
    first difference, but goes to the run's end where bad numbers may set it back.

    Args:
      run_dir: the run's folder. Of a stopped run, what there is is compared.
      epochs: how many, from the first; by default as many as the run has made.
      env: the run's environment, needed if it is "module:attribute".
      display: what the user sees of the repetition; nothing by default.

    Raises:
      ConfigError: if this is no run, or it has made fewer epochs.
      CheckpointError: if the policy to compare is damaged.
      RunError: if the repetition fails.
    """
    directory = RunDirectory(run_dir)
    config = directory.read_config(env)
    recorded = _recorded(directory, config, epochs)
    policy = _policy(config, directory, recorded[-1]["step"])
    circumstances = list(changed_circumstances(directory.read_provenance()))
    with tempfile.TemporaryDirectory(prefix="algd-") as scratch:
        repetition = RunDirectory(Path(scratch) / "run")
        watch = _Watch(recorded, repetition, config.health.on_bad_number == RESTORE)
        train(config, repetition.path, display=display, stop_requested=watch)
        difference, step = watch.difference, recorded[watch.epochs - 1]["step"]
        if policy is None or difference or watch.epochs < len(recorded):
            return Reproduction(watch.epochs, step, None, difference, circumstances)
        difference = first_different_array(policy, _policy(config, repetition, step))
    verdict: Verdict = "different" if difference else "equal"
    return Reproduction(watch.epochs, step, verdict, difference, circumstances)


class _Watch:
    """A ``stop_requested`` that compares, and stops at a difference or when all is compared.

    A run that bad numbers set back made epochs that it made again and no longer records; what its
    repetition makes first differs from the record. So a difference does not end that.
    """

    def __init__(self, recorded: Sequence[Record], repetition: RunDirectory, sets_back: bool):
        self.epochs, self.difference = 0, typing.cast(Difference | None, None)
        self._recorded, self._repetition, self._sets_back = recorded, repetition, sets_back

    def __call__(self) -> bool:
        again = read_records(self._repetition.metrics_file)
        self.epochs = min(len(again), len(self._recorded))
        self.difference = first_difference(self._recorded, again)
        if self.difference is not None:
            return not self._sets_back
        return self.epochs == len(self._recorded)


def first_difference(recorded: Sequence[Record], again: Sequence[Record]) -> Difference | None:
    """The first field of the first epoch of both logs that differs, but for the clock's."""
    for epoch, (one, other) in enumerate(zip(recorded, again, strict=False), start=1):
        for name in dict.fromkeys([*other, *one]):
            values = one.get(name, _NOTHING), other.get(name, _NOTHING)
            if name not in CLOCK_FIELDS and not _same(*values):
                return Difference(name, *values, epoch)
    return None


def first_different_array(recorded: Any, again: Any) -> Difference | None:
    """The first array of two trees of one structure whose bits differ."""
    leaves = jax.tree_util.tree_leaves_with_path(recorded)
    for (path, one), other in zip(leaves, jax.tree.leaves(again), strict=True):
        if np.asarray(one).tobytes() != np.asarray(other).tobytes():
            return Difference(jax.tree_util.keystr(path, simple=True, separator="."), None, None)
    return None


def changed_circumstances(recorded: Sequence[dict[str, Any]]) -> Iterator[Difference]:
    """What is another now than it was in one of these records (see ``provenance``), once each."""
    now, told = provenance([]), set()
    for group in ("device", "versions", "git_commit"):
        for record in recorded:
            for name, before, after in _pairs(group, record.get(group), now[group]):
                if not _same(before, after) and name not in told:
                    told.add(name)
                    yield Difference(name, before, after)


def _pairs(name: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Names with their values before and after, one by one."""
    if not isinstance(after, dict):
        yield name, before, after
        return
    before = before if isinstance(before, dict) else {}
    for key, value in after.items():
        yield f"{name}.{key}", before.get(key), value


def _same(one: Any, other: Any) -> bool:
    """Whether both are written alike: in JSON 0.0, -0.0, 0 and false are four values."""
    return json.dumps(one) == json.dumps(other)


def _recorded(directory: RunDirectory, config: Config, epochs: int | None) -> list[Record]:
    """The epochs to compare."""
    records = read_records(directory.metrics_file)
    if not 1 <= len(records) <= config.epochs:
        raise ConfigError(
            f"{directory.metrics_file}: has {len(records)} epochs, to compare are 1 to "
            f"{config.epochs}, as its configuration says"
        )
    if epochs is not None and not 1 <= epochs <= len(records):
        raise ConfigError(f"epochs: got {epochs}, allowed is an integer from 1 to {len(records)}")
    return records[:epochs]


def _policy(config: Config, directory: RunDirectory, step: int) -> AgentState | None:
    """The policy of this step, if the run keeps it."""
    if all(entry.step != step for entry in checkpoint.entries(directory.last)):
        return None
    return load_agent(build(config), directory, "last", step)[0]
