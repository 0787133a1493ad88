"""``algd train``: from flags to a run."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from algd_jax.config import Config
from algd_jax.envs.registry import is_code
from algd_jax.errors import ConfigError
from algd_jax.presets import preset
from algd_jax.runs.arguments import parse, parse_known
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import make_display
from algd_jax.runs.interrupt import StopSignals, exit_code
from algd_jax.runs.output import ignore_lost_output
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import RunResult, train
from algd_jax.runs.tables import make_console, print_summary
from algd_jax.runs.tracking.choice import Tracking
from algd_jax.training import checkpoint


@dataclasses.dataclass
class Start:
    """What decides about the defaults of everything else."""

    env: str = Config.env
    algorithm: str = Config.algorithm
    preset: str = Config.preset
    resume: Path | None = None


@dataclasses.dataclass
class Arguments:
    """Train an agent; without arguments ALGD on PointButton1 with preset quick.

    The defaults shown are those of the chosen preset (quick, paper, throughput), environment and
    algorithm.

    Attributes:
      config: a whole run.
      run_dir: folder of the run, new or empty; by default runs/ENV-ALGORITHM-PRESET-seedS-TIME.
      resume: continue the stopped run in this folder (takes --env-steps and no other setting).
      devices: devices of this machine that share environments and batches.
      tracking: where else the run is logged.
      debug: show the traceback of an error.
    """

    config: Config
    run_dir: Path | None = None
    resume: Path | None = None  # Only for the help: a resumed run takes ``ResumeArguments``.
    devices: int = 1
    tracking: Tracking = Tracking()
    debug: bool = False


@dataclasses.dataclass
class ResumeArguments:
    """Continue a stopped run with its own configuration.

    Attributes:
      resume: folder of the run.
      env_steps: new total of environment steps, to go on beyond the configured end.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      devices: devices of this machine that share environments and batches; as many as one likes.
      tracking: where else it is logged; where it was before, it goes on there.
      debug: show the traceback of an error.
    """

    resume: Path | None = None
    env_steps: int | None = None
    env: str | None = None
    devices: int = 1
    tracking: Tracking = Tracking()
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd train``."""
    start = parse_known(Start, argv)
    if start.resume is not None:
        return _resume(argv)
    defaults = Arguments(config=preset(start.preset, start.env, start.algorithm))
    arguments = parse(Arguments, argv, "algd train", defaults)
    run_dir = arguments.run_dir or default_run_dir(arguments.config)
    return _train(arguments.config, run_dir, False, arguments, argv)


def default_run_dir(config: Config) -> Path:
    """Where a run goes that is not told where to go."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    env = config.env.replace(":", ".")  # Not every file system takes the colon of module:attribute.
    name = f"{env}-{config.algorithm}-{config.preset}-seed{config.seed}-{now}"
    return Path("runs") / name


def _resume(argv: Sequence[str]) -> int:
    try:
        arguments = parse(ResumeArguments, argv, "algd train --resume")
    except ConfigError as error:
        raise ConfigError(
            f"{error} (a resumed run keeps its configuration; only --env-steps may be given)"
        ) from error
    assert arguments.resume is not None
    config = resumed_config(arguments.resume, arguments.env_steps, arguments.env)
    return _train(config, arguments.resume, True, arguments, argv)


def _train(
    config: Config,
    run_dir: Path,
    resume: bool,
    arguments: Arguments | ResumeArguments,
    argv: Sequence[str],
) -> int:
    display = make_display()

    def announce_stop() -> None:
        display.note("stopping after this epoch; press Ctrl-C again to end at once")

    with StopSignals(announce_stop, display.stop, lambda: display.compiles) as signals:
        result = train(
            config,
            run_dir,
            display=display,
            stop_requested=signals.requested,
            resume=resume,
            devices=arguments.devices,
            command=["algd", "train", *argv],
            tracking=arguments.tracking,
        )
    _report(result, config.env, arguments)
    if result.evaluation is None:  # Without a signal of its own, at a preemption notice.
        return exit_code(signals.received or signal.SIGTERM)
    return 0


@ignore_lost_output()
def _report(result: RunResult, env: str, arguments: Arguments | ResumeArguments) -> None:
    """How the run ended and what can be done next."""
    console, run_dir = make_console(), shlex.quote(str(result.run_dir))
    confirmed = f" --env {shlex.quote(env)}" if is_code(env) else ""
    if result.evaluation is None:
        console.print(f"stopped at step {result.step:,} with a checkpoint; next:")
        more = ""
    else:
        print_summary(console, result.evaluation)
        console.print(f"learning curves: {run_dir}/curves.png; next:", soft_wrap=True)
        more = f" --env-steps {2 * result.step}"
    # Unwrapped, to be copied.
    devices = f" --devices {arguments.devices}" if arguments.devices > 1 else ""
    resumed = f"{run_dir}{more}{confirmed}{devices}{arguments.tracking.flag}"
    console.print(f"  algd train --resume {resumed}", soft_wrap=True)
    if checkpoint.latest(RunDirectory(result.run_dir).last) is not None:
        console.print(f"  algd evaluate {run_dir}{confirmed}", soft_wrap=True)
