"""``algd sweep``: from flags to trials."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.presets import preset
from algd_jax.runs.arguments import parse, parse_known
from algd_jax.runs.display import Display, displayed
from algd_jax.runs.interrupt import StopSignals, exit_code
from algd_jax.runs.sweep.executors import Executor, Resources, SlurmScript, run_locally
from algd_jax.runs.sweep.grid import points
from algd_jax.runs.sweep.halving import REDUCTION, Halving
from algd_jax.runs.sweep.plan import Trial, make_trials
from algd_jax.runs.sweep.program import CHECKPOINT_MINUTES
from algd_jax.runs.sweep.ray_executor import RayExecutor, check_address
from algd_jax.runs.sweep.sweep import Outcome, sweep
from algd_jax.runs.tracking.choice import Tracking

_REPEATED = ("--env", "--algorithm", "--grid", "--sample")


@dataclasses.dataclass
class Arguments:
    """Train many agents: every --env, --algorithm and point of the grid, each with SEEDS seeds.

    Members that differ only in seed and numbers (--grid, --sample) run as one program. --env,
    --algorithm, --grid and --sample may be given several times. The same command again finishes
    what is missing. All flags of algd train are known too; they hold for every trial.

    Attributes:
      config: of every trial.
      run_dir: folder of the sweep: new, empty, or that of the same sweep, to resume it.
      seeds: number of seeds, counted from --seed, which also seeds --sample.
      grid: NAME=VALUE,VALUE,... of a number; lr is actor_lr and critic_lr together.
      sample: NAME=uniform:LOW:HIGH or NAME=loguniform:LOW:HIGH; each draw runs at each grid point.
      trials: number of draws of --sample.
      members: the most runs of one program; by default as many as fit in memory.
      search: successive-halving: at a few epochs the worst points of grid and sample are no longer
        trained: the feasible go on first, then by return.
      reduction: one of so many points goes on, and the next time is so many times later (3).
      first_rung: epochs before the first time; by default such that the work is shared out evenly.
      checkpoint_minutes: between two checkpoints of a program; a kill costs no more, and an epoch.
      executor: who runs the programs: local (one after the other), slurm-script (writes the script
        of an array job) or ray (on a Ray cluster; the extra "ray").
      ray_address: of the Ray cluster: HOST:PORT, or auto for the one of this machine; by default
        one is started, of this machine alone.
      cpus: cores that a program asks a cluster for.
      gpus: accelerators that a program asks a cluster for.
      program: run only the program of this number.
      dry_run: show the plan and write nothing.
      tracking: where else trials are logged.
      debug: show the traceback of an error.
    """

    config: Config
    run_dir: Path | None = None
    seeds: int = 1
    grid: tuple[str, ...] = ()  # Only for the help, as the next: they are taken out before.
    sample: tuple[str, ...] = ()
    trials: int | None = None
    members: int | None = None
    search: Literal["successive-halving"] | None = None
    reduction: int | None = None
    first_rung: int | None = None
    checkpoint_minutes: float = CHECKPOINT_MINUTES
    executor: Literal["local", "slurm-script", "ray"] = "local"
    ray_address: str | None = None
    cpus: int = 1
    gpus: int = 0
    program: int | None = None
    dry_run: bool = False
    tracking: Tracking = Tracking()
    debug: bool = False


@dataclasses.dataclass
class _Start:
    """What decides about the defaults of everything else."""

    preset: str = Config.preset


def run(argv: Sequence[str]) -> int:
    """``algd sweep``."""
    arguments, trials = read_arguments(argv)
    if arguments.run_dir is None:
        raise ConfigError("--run-dir: is missing, allowed is the folder of the sweep")
    with displayed() as display, _stop_signals(display) as signals:
        outcome = sweep(
            trials,
            arguments.run_dir,
            members=arguments.members,
            search=_search(arguments),
            program=arguments.program,
            minutes=arguments.checkpoint_minutes,
            executor=_executor(arguments, argv),
            stop_requested=signals.requested,
            tell=display.note,
            phase=display.phase,
            command=["algd", "sweep", *argv],
            dry_run=arguments.dry_run,
            tracking=arguments.tracking,
        )
    if arguments.dry_run or arguments.executor == "slurm-script":
        return 0
    for line in _ending(outcome):
        display.note(line)
    # Failed trials are an answer: what they say stands in the tables.
    return exit_code(signals.received) if signals.received and not outcome.complete else 0


def _stop_signals(display: Display) -> StopSignals:
    def announce() -> None:
        display.note("stopping after this epoch; press Ctrl-C again to end at once")

    return StopSignals(announce, display.stop, lambda: display.compiles)


def read_arguments(argv: Sequence[str]) -> tuple[Arguments, list[Trial]]:
    """The flags, and the trials they ask for.

    Raises:
      ConfigError: for the first mistake.
    """
    repeated, rest = _take_out(argv)
    envs = repeated["--env"] or [Config.env]
    algorithms = repeated["--algorithm"] or [Config.algorithm]
    for flag, values in (("--env", envs), ("--algorithm", algorithms)):
        for value in values:
            if values.count(value) > 1:
                raise ConfigError(f"{flag}: got {value} twice, allowed is each one once")
    start = parse_known(_Start, rest)
    parsed = []
    for env, algorithm in itertools.product(envs, algorithms):
        defaults = Arguments(preset(start.preset, env, algorithm))
        chosen = [*rest, f"--env={env}", f"--algorithm={algorithm}"]
        parsed.append(parse(Arguments, chosen, "algd sweep", defaults))
    first = parsed[0]
    varied = points(repeated["--grid"], repeated["--sample"], first.trials, first.config.seed)
    return first, make_trials([one.config for one in parsed], varied, first.seeds)


def _take_out(argv: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The values of the flags that may be given several times, and all other arguments."""
    repeated: dict[str, list[str]] = {flag: [] for flag in _REPEATED}
    rest: list[str] = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        flag, equals, value = token.partition("=")
        if flag not in repeated:
            rest.append(token)
            continue
        values = [value] if equals else []
        while not equals and tokens and not tokens[0].startswith("--"):
            values.append(tokens.pop(0))
        if not values:
            raise ConfigError(f"{flag}: value is missing, allowed is a text")
        repeated[flag] += values
    return repeated, rest


def _search(arguments: Arguments) -> Halving | None:
    if arguments.search is None:
        for name in ("reduction", "first_rung"):
            if (value := getattr(arguments, name)) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"{flag}: got {value} without --search, allowed is --search successive-halving"
                )
        return None
    reduction = REDUCTION if arguments.reduction is None else arguments.reduction
    return Halving(reduction, arguments.first_rung)


def _executor(arguments: Arguments, argv: Sequence[str]) -> Executor:
    for name, least in (("cpus", 1), ("gpus", 0)):
        if (value := getattr(arguments, name)) < least:
            raise ConfigError(f"--{name}: got {value}, allowed is an integer >= {least}")
    resources, address = Resources(arguments.cpus, arguments.gpus), arguments.ray_address
    if address is not None and arguments.executor != "ray":
        raise ConfigError(
            f"--ray-address: got {address} with --executor {arguments.executor}, allowed is "
            "--executor ray"
        )
    if arguments.executor == "ray":
        check_address(address)  # Before anything is written.
        return RayExecutor(address, resources)
    if arguments.executor == "slurm-script":
        return SlurmScript(_without_flag(argv, "--executor"), resources)
    return run_locally


def _without_flag(argv: Sequence[str], flag: str) -> list[str]:
    """The arguments without a flag and its value."""
    kept: list[str] = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if token == flag:
            tokens.pop(0)
        elif not token.startswith(f"{flag}="):
            kept.append(token)
    return kept


def _ending(outcome: Outcome) -> list[str]:
    """How the sweep stands and what can be done next."""
    failed = f", {outcome.failed} failed" if outcome.failed else ""
    pruned = f", {outcome.pruned} pruned" if outcome.pruned else ""
    unfinished = f", {outcome.left} to be finished by the same command" if outcome.left else ""
    folder = shlex.quote(str(outcome.path))
    return [
        f"{outcome.done} of {outcome.trials} trials done{failed}{pruned}{unfinished}; "
        f"tables: {folder}/results.csv, {folder}/trials.csv; next:",
        f"  algd compare {folder}",
    ]
