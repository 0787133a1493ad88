"""The trials of a sweep, and which of them are one program."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from algd_jax.config import STOP, Config, Hyper, validate
from algd_jax.envs import registry
from algd_jax.errors import ConfigError
from algd_jax.runs.build import check_discount, settled
from algd_jax.runs.sweep.grid import MOST_POINTS, Point
from algd_jax.runs.sweep.halving import Halving, Rung, rungs

_LONGEST_NAME = 120


class Trial(NamedTuple):
    """One run of a sweep.

    Attributes:
      name: of its folder; begins with its number.
      config: the whole run.
      swept: the fields of ``Hyper`` that the sweep varies.
    """

    name: str
    config: Config
    swept: tuple[str, ...]


class Plan(NamedTuple):
    """A whole sweep.

    Attributes:
      trials: in the order of their numbers.
      programs: for each program the numbers of its trials, which are its members.
      search: how members are pruned on the way; None if all are trained to the end.
    """

    trials: tuple[Trial, ...]
    programs: tuple[tuple[int, ...], ...]
    search: Halving | None = None

    def members(self, program: int) -> list[Trial]:
        """The trials of a program."""
        return [self.trials[i] for i in self.programs[program]]

    def rungs(self, program: int) -> tuple[Rung, ...]:
        """When members of a program are pruned."""
        if self.search is None:
            return ()
        members = self.members(program)
        return rungs(self.search, len(configurations(members)), members[0].config.epochs)

    def member_epochs(self, program: int, done: int = 0) -> float:
        """Epochs that a program's members have to make after its first ``done``, all together."""
        members, pruning = self.members(program), self.rungs(program)
        every = len(configurations(members))
        kept = [
            min([rung.kept for rung in pruning if rung.epoch <= epoch], default=every)
            for epoch in range(done, members[0].config.epochs)
        ]
        return len(members) / every * sum(kept)


def make_trials(configs: Sequence[Config], points: Sequence[Point], seeds: int) -> list[Trial]:
    """Every configuration at every point with every seed, in this order.

    Args:
      configs: differ in environment, algorithm or sizes.
      points: values of fields of ``Hyper``; see ``grid.points``.
      seeds: number of seeds, counted from each configuration's own.

    Raises:
      ConfigError: for the first trial that cannot work.
    """
    if type(seeds) is not int or seeds < 1:
        raise ConfigError(f"--seeds: got {seeds}, allowed is an integer >= 1")
    if seeds > MOST_POINTS:
        raise ConfigError(f"--seeds: got {seeds}, allowed is at most {MOST_POINTS}")
    count = len(configs) * len(points) * seeds
    if not 1 <= count <= MOST_POINTS:
        raise ConfigError(f"trials: got {count}, allowed are 1 to {MOST_POINTS}")
    if len(set(configs)) < len(configs):
        raise ConfigError("configs: got one twice, allowed is each environment and algorithm once")
    trials: list[Trial] = []
    for config in configs:
        if config.health.on_bad_number != STOP:
            raise ConfigError(
                f"on_bad_number: got {config.health.on_bad_number}, allowed in a sweep is {STOP}: "
                "a trial that goes bad stays as it was before, and the others go on"
            )
        config = settled(config)
        for point in points:
            for seed in range(config.seed, config.seed + seeds):
                one = dataclasses.replace(config, seed=seed, hyper=config.hyper.replace(**point))
                name = _name(len(trials), len(str(count - 1)), one, point)
                trials.append(Trial(name, one, tuple(point)))
                validate(one)
        if any("cost_discount" in point for point in points):  # The rest is of all trials alike.
            spec = registry.spec(config.env)
            for trial in trials[-len(points) * seeds :]:
                check_discount(trial.config, spec)
    return trials


def groups(trials: Sequence[Trial]) -> list[list[int]]:
    """Numbers of the trials that can be one program: all but ``Hyper`` and seed are the same."""
    return _alike(trials, lambda config: dataclasses.replace(config, seed=0, hyper=Hyper()))


def configurations(trials: Sequence[Trial]) -> list[list[int]]:
    """Numbers of the trials that differ in nothing but their seed."""
    return _alike(trials, lambda config: dataclasses.replace(config, seed=0))


def _alike(trials: Sequence[Trial], kind: Callable[[Config], Config]) -> list[list[int]]:
    """Numbers of the trials of each kind, in the order of the first of each."""
    found: dict[Config, list[int]] = {}
    for number, trial in enumerate(trials):
        found.setdefault(kind(trial.config), []).append(number)
    return list(found.values())


def _name(number: int, digits: int, config: Config, point: Point) -> str:
    values = [f"{name}{value:g}" for name, value in point.items()]
    parts = [config.env, config.algorithm, *values, f"seed{config.seed}"]
    text = re.sub(r"[^A-Za-z0-9._+-]", ".", "-".join(parts))
    return f"{number:0{max(3, digits)}d}-{text}"[:_LONGEST_NAME]
