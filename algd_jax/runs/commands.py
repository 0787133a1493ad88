"""The commands behind ``algd``: arguments in, work done, exit code out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from algd_jax.config import Config
from algd_jax.envs import list_envs, make
from algd_jax.envs.registry import is_code
from algd_jax.errors import ConfigError
from algd_jax.presets import preset
from algd_jax.runs.arguments import parse, parse_known
from algd_jax.runs.benchmark import run_benchmarks
from algd_jax.runs.compare.command import compare_folders
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display, PlainDisplay, make_display
from algd_jax.runs.doctor import examine
from algd_jax.runs.evaluate import Which, evaluate_run
from algd_jax.runs.export.command import export_run
from algd_jax.runs.interrupt import StopSignals, exit_code
from algd_jax.runs.landscape import View, save_landscape
from algd_jax.runs.output import ignore_lost_output
from algd_jax.runs.render.command import Look, Shown, play_env, render_run
from algd_jax.runs.report.report import EPISODES, save_report
from algd_jax.runs.reproduce import reproduce
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import RunResult, train
from algd_jax.runs.tables import (
    make_console,
    print_comparison,
    print_episodes,
    print_export,
    print_findings,
    print_landscape,
    print_reproduction,
    print_specs,
    print_summary,
)
from algd_jax.runs.watch import watch
from algd_jax.training import checkpoint


@dataclasses.dataclass
class Start:
    """What decides about the defaults of everything else."""

    env: str = Config.env
    algorithm: str = Config.algorithm
    preset: str = Config.preset
    resume: Path | None = None


@dataclasses.dataclass
class TrainArguments:
    """Train an agent; without arguments ALGD on PointButton1 with preset quick.

    The defaults shown are those of the chosen preset (quick, paper, throughput), environment and
    algorithm.

    Attributes:
      config: a whole run.
      run_dir: folder of the run, new or empty; by default runs/ENV-ALGORITHM-PRESET-seedS-TIME.
      resume: continue the stopped run in this folder (takes --env-steps and no other setting).
      debug: show the traceback of an error.
    """

    config: Config
    run_dir: Path | None = None
    resume: Path | None = None  # Only for the help: a resumed run takes ``ResumeArguments``.
    debug: bool = False


@dataclasses.dataclass
class ResumeArguments:
    """Continue a stopped run with its own configuration.

    Attributes:
      resume: folder of the run.
      env_steps: new total of environment steps, to go on beyond the configured end.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      debug: show the traceback of an error.
    """

    resume: Path | None = None
    env_steps: int | None = None
    env: str | None = None
    debug: bool = False


@dataclasses.dataclass
class EvaluateArguments:
    """Evaluate the policy of a run: its best feasible one, or the last if none was feasible.

    Attributes:
      run_dir: folder of the run.
      episodes: number of episodes; by default as many as the run's own final evaluation.
      seed: of the episodes; by default the run's, which repeats its final evaluation.
      checkpoint: the policy to take instead: best (feasible) or last.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    run_dir: Path
    episodes: int | None = None
    seed: int | None = None
    checkpoint: Which | None = None
    env: str | None = None
    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class LandscapeArguments:
    """Draw both Lagrangians over the actions at one state, and measure how they curve.

    Attributes:
      run_dir: folder of the run.
      view: what to look at, and how closely.
      checkpoint: the policy: best (feasible) or last; by default best, else last.
      out: folder to write to; by default RUN_DIR/landscape.
      html: write an interactive page too (needs Plotly: the extra "report").
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    run_dir: Path
    view: View = View()
    checkpoint: Which | None = None
    out: Path | None = None
    html: bool = False
    env: str | None = None
    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class ReproduceArguments:
    """Train again from the seed of a run, and compare every epoch and the last policy bit by bit.

    Nothing in the run's folder changes. Ends at the first difference, with exit code 1.

    Attributes:
      run_dir: folder of the run.
      epochs: how many to compare, from the first; by default as many as the run has made.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    run_dir: Path
    epochs: int | None = None
    env: str | None = None
    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class CompareArguments:
    """Compare finished runs by their configurations: interquartile means with bootstrap intervals.

    What the runs of one configuration do not share is their seed (docs/comparing.md).

    Attributes:
      folders: sweep directories and run directories, before any flag.
      out: new folder for the numbers and pictures; by default nothing is written.
      html: write an interactive page too (needs Plotly: the extra "report").
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    folders: tyro.conf.Positional[tuple[Path, ...]] = ()
    out: Path | None = None
    html: bool = False
    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class ExportArguments:
    """Write the policy of a run alone: StableHLO, arrays with a runner that needs only NumPy, ONNX.

    Each form is compared with the policy before anything is written (docs/deploying.md).

    Attributes:
      run_dir: folder of the run.
      out: new or empty folder to write to; by default RUN_DIR/policy.
      checkpoint: the policy: best (feasible) or last; by default best, else last.
      onnx: write an ONNX graph too (needs the extra "onnx").
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print what policy.json holds as one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    run_dir: Path
    out: Path | None = None
    checkpoint: Which | None = None
    onnx: bool = False
    env: str | None = None
    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class RenderArguments:
    """Draw episodes of a run's policy: a video, a map with its path, or an interactive page.

    Attributes:
      run_dir: folder of the run.
      look: which episodes, and how they are shown.
      checkpoint: the policy: best (feasible) or last; by default best, else last.
      out: new file that ends in .mp4 (extra "video"), .gif, .html (extra "report") or .png; by
        default RUN_DIR/episodes.png.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    run_dir: Path
    look: Look = Look()
    checkpoint: Which | None = None
    out: Path | None = None
    env: str | None = None
    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class PlayArguments:
    """Play an environment with random actions, or with the policy of a run.

    Attributes:
      env: name of the environment, or module:attribute.
      look: which episodes, and how they are shown.
      policy: folder of a run whose deterministic policy acts; by default actions are random.
      checkpoint: of that run: best (feasible) or last; by default best, else last.
      out: new file to draw the episodes into, as in algd render; by default nothing is drawn.
      json: print one JSON object and nothing else.
      debug: show the traceback of an error.
    """

    env: str
    look: Look = Look()
    policy: Path | None = None
    checkpoint: Which | None = None
    out: Path | None = None
    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class WatchArguments:
    """Follow a run from another terminal, until its last evaluation is written or Ctrl-C.

    Attributes:
      run_dir: folder of the run.
      once: show how the run stands now, and nothing more.
      debug: show the traceback of an error.
    """

    run_dir: Path
    once: bool = False
    debug: bool = False


@dataclasses.dataclass
class ReportArguments:
    """Write one HTML page of a run: curves, critics, denoising, evaluation, configuration.

    Needs Plotly: the extra "report".

    Attributes:
      run_dir: folder of the run.
      out: new file; by default RUN_DIR/report.html.
      episodes: played to see how true the critics are; 0 plays none, and is quick.
      env: the run's environment again, needed if it is module:attribute, because that runs code.
      debug: show the traceback of an error.
    """

    run_dir: Path
    out: Path | None = None
    episodes: int = EPISODES
    env: str | None = None
    debug: bool = False


@dataclasses.dataclass
class EnvsArguments:
    """List the environments.

    Attributes:
      json: print one JSON list and nothing else.
      debug: show the traceback of an error.
    """

    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class DoctorArguments:
    """Report devices, versions, compilation cache and memory, and what is wrong with its fix.

    Exit code 1 if something is.

    Attributes:
      json: print one JSON list and nothing else.
      debug: show the traceback of an error.
    """

    json: bool = False
    debug: bool = False


@dataclasses.dataclass
class BenchmarkArguments:
    """Measure speed and memory on this machine; the benchmarks are part of the source checkout.

    Programs are compiled anew, so that compile times are true. See benchmarks/README.md.

    Attributes:
      names: which benchmarks, before any flag; all by default.
      json: new file for the results, with device, versions, commit and command.
      quick: only show that they work, at small sizes and with few repeats.
      debug: show the traceback of an error.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    json: Path | None = None
    quick: bool = False
    debug: bool = False


def run_train(argv: Sequence[str]) -> int:
    """``algd train``."""
    start = parse_known(Start, argv)
    if start.resume is not None:
        return _resume(argv)
    defaults = TrainArguments(config=preset(start.preset, start.env, start.algorithm))
    arguments = parse(TrainArguments, argv, "algd train", defaults)
    run_dir = arguments.run_dir or default_run_dir(arguments.config)
    return _train(arguments.config, run_dir, False, argv)


def run_evaluate(argv: Sequence[str]) -> int:
    """``algd evaluate``."""
    arguments = parse(EvaluateArguments, argv, "algd evaluate")
    summary = evaluate_run(
        arguments.run_dir, arguments.checkpoint, arguments.episodes, arguments.seed, arguments.env
    )
    if arguments.json:
        _print_json(summary.figures())
    else:
        print_summary(make_console(), summary)
    return 0


def run_landscape(argv: Sequence[str]) -> int:
    """``algd landscape``."""
    arguments = parse(LandscapeArguments, argv, "algd landscape")
    figures = save_landscape(
        arguments.run_dir,
        arguments.view,
        arguments.checkpoint,
        arguments.out,
        arguments.html,
        arguments.env,
    )
    if arguments.json:
        _print_json(figures)
    else:
        print_landscape(make_console(), figures)
    return 0


def run_reproduce(argv: Sequence[str]) -> int:
    """``algd reproduce``."""
    arguments = parse(ReproduceArguments, argv, "algd reproduce")
    display = Display() if arguments.json else make_display()
    found = reproduce(arguments.run_dir, arguments.epochs, arguments.env, display)
    if arguments.json:
        _print_json(found.record())
    else:
        print_reproduction(make_console(), found)
    return 0 if found.equal else 1


def run_compare(argv: Sequence[str]) -> int:
    """``algd compare``."""
    arguments = parse(CompareArguments, argv, "algd compare")
    comparison, files = compare_folders(arguments.folders, arguments.out, arguments.html)
    if arguments.json:
        written = {"files": [str(path) for path in files.values()]}
        _print_json(comparison.figures() | written)
    else:
        print_comparison(make_console(), comparison, files.values())
    return 0


def run_export(argv: Sequence[str]) -> int:
    """``algd export``."""
    arguments = parse(ExportArguments, argv, "algd export")
    out = arguments.out or arguments.run_dir / "policy"
    record = export_run(
        arguments.run_dir,
        out,
        arguments.checkpoint,
        arguments.onnx,
        arguments.env,
        ["algd", "export", *argv],
    )
    if arguments.json:
        _print_json(record)
    else:
        print_export(make_console(), record, out)
    return 0


def run_render(argv: Sequence[str]) -> int:
    """``algd render``."""
    given = parse(RenderArguments, argv, "algd render")
    with _display(given.json) as display:
        shown = render_run(
            given.run_dir, given.look, given.checkpoint, given.out, given.env, display
        )
    return _show(shown, given.json)


def run_play(argv: Sequence[str]) -> int:
    """``algd play``."""
    given = parse(PlayArguments, argv, "algd play")
    with _display(given.json) as display:
        shown = play_env(given.env, given.look, given.policy, given.checkpoint, given.out, display)
    return _show(shown, given.json)


def run_watch(argv: Sequence[str]) -> int:
    """``algd watch``; Ctrl-C ends it, and the run goes on."""
    arguments = parse(WatchArguments, argv, "algd watch")
    display = PlainDisplay() if arguments.once else make_display()
    with contextlib.suppress(KeyboardInterrupt):
        watch(arguments.run_dir, display, arguments.once)
    return 0


def run_report(argv: Sequence[str]) -> int:
    """``algd report``."""
    arguments = parse(ReportArguments, argv, "algd report")
    path = save_report(arguments.run_dir, arguments.out, arguments.episodes, arguments.env)
    make_console().print(str(path), soft_wrap=True)
    return 0


def run_envs(argv: Sequence[str]) -> int:
    """``algd envs``."""
    arguments = parse(EnvsArguments, argv, "algd envs")
    specs = [make(name).spec for name in list_envs()]
    if arguments.json:
        _print_json([dataclasses.asdict(spec) for spec in specs])
    else:
        print_specs(make_console(), specs)
    return 0


def run_doctor(argv: Sequence[str]) -> int:
    """``algd doctor``."""
    arguments = parse(DoctorArguments, argv, "algd doctor")
    findings = examine()
    if arguments.json:
        _print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        print_findings(make_console(), findings)
    return int(any(finding.fix for finding in findings))


def run_benchmark(argv: Sequence[str]) -> int:
    """``algd benchmark``."""
    arguments = parse(BenchmarkArguments, argv, "algd benchmark")
    command = ["algd", "benchmark", *argv]
    run_benchmarks(arguments.names, arguments.quick, arguments.json, make_console(), command)
    return 0


def default_run_dir(config: Config) -> Path:
    """Where a run goes that is not told where to go."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    env = config.env.replace(":", ".")  # Not every file system takes the colon of module:attribute.
    name = f"{env}-{config.algorithm}-{config.preset}-seed{config.seed}-{now}"
    return Path("runs") / name


@contextlib.contextmanager
def _display(silent: bool) -> Iterator[Display]:
    """What the user sees of something that takes a while, once it has been started."""
    display = Display() if silent else make_display()
    try:
        yield display
    finally:
        display.stop()


def _show(shown: Shown, as_json: bool) -> int:
    """Tell what was played."""
    if as_json:
        _print_json(shown.figures())
    else:
        print_episodes(make_console(), shown)
    return 0


def _resume(argv: Sequence[str]) -> int:
    try:
        arguments = parse(ResumeArguments, argv, "algd train --resume")
    except ConfigError as error:
        raise ConfigError(
            f"{error} (a resumed run keeps its configuration; only --env-steps may be given)"
        ) from error
    assert arguments.resume is not None
    config = resumed_config(arguments.resume, arguments.env_steps, arguments.env)
    return _train(config, arguments.resume, True, argv)


def _train(config: Config, run_dir: Path, resume: bool, argv: Sequence[str]) -> int:
    display = make_display()

    def announce_stop() -> None:
        display.note("stopping after this epoch; press Ctrl-C again to end at once")

    with StopSignals(announce_stop, display.stop) as signals:
        result = train(
            config,
            run_dir,
            display=display,
            stop_requested=signals.requested,
            resume=resume,
            command=["algd", "train", *argv],
        )
    _report(result, config.env)
    if result.evaluation is None:  # Without a signal of its own, at a preemption notice.
        return exit_code(signals.received or signal.SIGTERM)
    return 0


@ignore_lost_output()
def _print_json(answer: Any) -> None:
    """One line of strict JSON, for scripts."""
    print(json.dumps(answer, allow_nan=False), flush=True)


@ignore_lost_output()
def _report(result: RunResult, env: str) -> None:
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
    console.print(f"  algd train --resume {run_dir}{more}{confirmed}", soft_wrap=True)
    if checkpoint.latest(RunDirectory(result.run_dir).last) is not None:
        console.print(f"  algd evaluate {run_dir}{confirmed}", soft_wrap=True)
