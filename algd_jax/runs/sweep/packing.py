"""How many members fit into one program, and the programs that come of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax

from algd_jax.errors import ConfigError
from algd_jax.runs.build import build
from algd_jax.runs.memory import available_memory, gib
from algd_jax.runs.sweep.halving import SUCCESSIVE_HALVING, Halving, check_search, first_rung
from algd_jax.runs.sweep.plan import Plan, Trial, configurations, groups
from algd_jax.training.memory import required_memory
from algd_jax.training.sharding import MEMBER, member_mesh


def pack(
    trials: Sequence[Trial], members: int | None = None, search: Halving | None = None
) -> Plan:
    """The fewest programs of about equally many members that fit into memory.

    With a search the seeds of a configuration are members of one program.

    Args:
      trials: of the sweep.
      members: the most of one program; by default as many as fit.
      search: how members are pruned on the way.

    Raises:
      ConfigError: if not even one trial fits, or not as many as ``members`` says, or if the search
        cannot work.
    """
    check_search(search)
    if members is not None and members < 1:
        raise ConfigError(f"--members: got {members}, allowed is an integer >= 1")
    programs: list[tuple[int, ...]] = []
    for group in groups(trials):
        wanted, fits = min(members or len(group), len(group)), _fitting(trials[group[0]])
        fitting = _most_that_fit(trials[group[0]], fits, wanted)
        if members is not None and fitting < wanted:
            raise ConfigError(
                f"--members: got {members}, which do not fit in memory, allowed are at most "
                f"{fitting} of {_kind(trials[group[0]])}"
            )
        units = [(number,) for number in group] if search is None else _seeds(trials, group)
        programs += _split(units, fitting, fits)
    plan = Plan(tuple(trials), tuple(programs), search)
    _check_rungs(plan)
    return plan


def _most_that_fit(trial: Trial, fits: Callable[[int], bool], wanted: int) -> int:
    """The most members up to ``wanted`` of such trials that fit into memory together.

    Raises:
      ConfigError: if not even one does.
    """
    # One by one, as more members may fit where fewer do not: 16 on eight devices, but not 11.
    fitting = next((count for count in range(wanted, 0, -1) if fits(count)), None)
    if fitting is None:
        available = available_memory(jax.local_devices()[0])
        raise ConfigError(
            f"memory: one run of {_kind(trial)} needs {gib(requirement(trial)(1))}, available is "
            f"{gib(available)}; allowed are a smaller --replay-capacity or --num-envs"
        )
    return fitting


def _fitting(trial: Trial) -> Callable[[int], bool]:
    """Whether so many members of such trials fit into memory together."""
    required, available = requirement(trial), available_memory(jax.local_devices()[0])
    return lambda members: required(members) <= available


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
            lines += _describe_rungs(plan, k)
    return [*lines, f"memory available here: {gib(available_memory(jax.local_devices()[0]))}"]


def check_fits(plan: Plan, program: int) -> None:
    """Raise :class:`ConfigError` if a program, packed before or elsewhere, does not fit here."""
    members = plan.members(program)
    fitting = _most_that_fit(members[0], _fitting(members[0]), len(members))
    if fitting < len(members):
        raise ConfigError(
            f"memory: program {program} has {len(members)} runs of {_kind(members[0])}, but only "
            f"{fitting} would fit here; allowed is a new sweep with --members {fitting}"
        )


def _kind(trial: Trial) -> str:
    return f"{trial.config.algorithm} on {trial.config.env}"


def _split(
    units: Sequence[tuple[int, ...]], most: int, fits: Callable[[int], bool]
) -> list[tuple[int, ...]]:
    """The fewest programs of at most so many members that all fit, as even as can be, in order.

    Args:
      units: members that stay together.
      most: members of one program.
      fits: whether so many members do.
    """
    largest = max(map(len, units))
    for count in range(-(-len(units) // max(1, most // largest)), len(units) + 1):
        bounds = [i * len(units) // count for i in range(count + 1)]
        programs = [tuple(itertools.chain(*units[a:b])) for a, b in itertools.pairwise(bounds)]
        if all(len(program) <= most and fits(len(program)) for program in programs):
            return programs
    if largest > most:
        allowed = f"allowed are at most {most} (--members, or what fits in memory)"
    else:  # As of 11 members, which eight devices cannot share.
        allowed = "which does not fit on these devices; allowed is another number of --seeds"
    what = f"{largest} seeds of a configuration stay in one program"
    raise ConfigError(f"--search: {what}, {allowed}")


def _seeds(trials: Sequence[Trial], group: Sequence[int]) -> list[tuple[int, ...]]:
    """Numbers of the trials of each configuration in a group."""
    alike = configurations([trials[number] for number in group])
    return [tuple(group[i] for i in members) for members in alike]


def _check_rungs(plan: Plan) -> None:
    """Raise :class:`ConfigError` if the search of a plan would prune nothing, or wrongly."""
    if plan.search is None:
        return
    for number, program in enumerate(plan.programs):
        members = plan.members(number)
        what, epochs = _kind(members[0]), members[0].config.epochs
        count, reduction = len(configurations(members)), plan.search.reduction
        if len({one.config.hyper.cost_limit for one in members}) > 1:
            raise ConfigError(
                f"--search: got {SUCCESSIVE_HALVING} of several cost_limit, allowed is a sweep for "
                "each: the loosest limit would win"
            )
        if count < reduction:
            raise ConfigError(
                f"--search: program {number} ({len(program)} runs of {what}) has {count} of the "
                f"points of --grid and --sample, allowed are at least {reduction} (--reduction)"
            )
        if epochs < 2:
            raise ConfigError(f"--search: runs of {what} have 1 epoch, allowed are at least 2")
        if (first := first_rung(plan.search, count, epochs)) >= epochs:
            raise ConfigError(
                f"--first-rung: got {first}, allowed is an integer below the {epochs} epochs of "
                f"{what}"
            )


def _describe_rungs(plan: Plan, program: int) -> list[str]:
    """The rungs of a program in one line, if it has any."""
    members, rungs = plan.members(program), plan.rungs(program)
    if not rungs:
        return []
    count, epochs = len(configurations(members)), members[0].config.epochs
    first, *others = rungs
    steps = [f"{first.kept} go on after epoch {first.epoch}"]
    steps += [f"{rung.kept} after epoch {rung.epoch}" for rung in others]
    share = plan.member_epochs(program) / (len(members) * epochs)
    return [
        f"  {SUCCESSIVE_HALVING} of {count} points: {', '.join(steps)}, of {epochs}: {share:.0%} "
        "of the work of training all"
    ]
