"""How many members fit into one program, and the programs that come of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax

from algd_jax.errors import ConfigError
from algd_jax.runs.build import build
from algd_jax.runs.memory import available_memory
from algd_jax.runs.sweep.plan import Plan, Trial, groups
from algd_jax.training.memory import required_memory
from algd_jax.training.sharding import MEMBER, member_mesh


def pack(trials: Sequence[Trial], members: int | None = None) -> Plan:
    """The fewest programs of about equally many members that fit into memory.

    Args:
      trials: of the sweep.
      members: the most of one program; by default as many as fit.

    Raises:
      ConfigError: if not even one trial fits, or not as many as ``members`` says.
    """
    if members is not None and members < 1:
        raise ConfigError(f"--members: got {members}, allowed is an integer >= 1")
    programs: list[tuple[int, ...]] = []
    for group in groups(trials):
        wanted = min(members or len(group), len(group))
        fitting = most_that_fit(trials[group[0]], wanted)
        if members is not None and fitting < wanted:
            raise ConfigError(
                f"--members: got {members}, which do not fit in memory, allowed are at most "
                f"{fitting} of {_kind(trials[group[0]])}"
            )
        programs += _split(group, fitting)
    return Plan(tuple(trials), tuple(programs))


def most_that_fit(trial: Trial, wanted: int) -> int:
    """The most members up to ``wanted`` of such trials that fit into memory together.

    Raises:
      ConfigError: if not even one does.
    """
    required, available = requirement(trial), available_memory(jax.local_devices()[0])
    if required(1) > available:
        raise ConfigError(
            f"memory: one run of {_kind(trial)} needs {gib(required(1))}, available is "
            f"{gib(available)}; allowed are a smaller --replay-capacity or --num-envs"
        )
    low, high = 1, wanted + 1
    while high - low > 1:
        middle = (low + high) // 2
        if required(middle) <= available:
            low = middle
        else:
            high = middle
    return low


def requirement(trial: Trial) -> Callable[[int], int]:
    """Bytes by number of members: on each device that has memory of its own, else on the host."""
    memory = required_memory(build(trial.config), trial.config.hyper.as_arrays())
    shared_out = jax.local_devices()[0].platform != "cpu"

    def required(members: int) -> int:
        devices = member_mesh(members=members).shape[MEMBER] if shared_out else 1
        return members // devices * sum(memory.parts.values()) + memory.allowance

    return required


def describe(plan: Plan, members: int | None = None) -> list[str]:
    """The programs and their memory, a line each; and which trials do not fit into one.

    Args:
      plan: of the sweep.
      members: the most of one program that were asked for.
    """
    lines = []
    for group in groups(plan.trials):
        numbers = [k for k, program in enumerate(plan.programs) if program[0] in group]
        kind, required = _kind(plan.trials[group[0]]), requirement(plan.trials[group[0]])
        if len(numbers) > 1:
            why = "so many do not fit in memory" if members is None else "as --members says"
            lines.append(f"{len(group)} runs of {kind} are {len(numbers)} programs: {why}")
        for k in numbers:
            program = plan.programs[k]
            runs = "1 run" if len(program) == 1 else f"{len(program)} runs"
            lines.append(f"program {k}: {runs} of {kind}, {gib(required(len(program)))}")
    return [*lines, f"memory available here: {gib(available_memory(jax.local_devices()[0]))}"]


def check_fits(plan: Plan, program: int) -> None:
    """Raise :class:`ConfigError` if a program, packed before or elsewhere, does not fit here."""
    members = plan.members(program)
    fitting = most_that_fit(members[0], len(members))
    if fitting < len(members):
        raise ConfigError(
            f"memory: program {program} has {len(members)} runs of {_kind(members[0])}, but only "
            f"{fitting} would fit here; allowed is a new sweep with --members {fitting}"
        )


def gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _kind(trial: Trial) -> str:
    return f"{trial.config.algorithm} on {trial.config.env}"


def _split(group: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """The fewest parts of at most so many, as even as can be, in order."""
    count = -(-len(group) // most)
    bounds = [i * len(group) // count for i in range(count + 1)]
    return [tuple(group[a:b]) for a, b in itertools.pairwise(bounds)]
