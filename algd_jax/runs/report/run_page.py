"""The page of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from algd_jax.config import Config, validate
from algd_jax.errors import ConfigError
from algd_jax.files import read
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import CostSummary, Summary, choose_checkpoint, episode_keys
from algd_jax.runs.evaluation_file import read_summary
from algd_jax.runs.logs import Record, is_feasible, is_number, log_name, read_records
from algd_jax.runs.pages.charts import charts_html
from algd_jax.runs.pages.page import Section, Verdict, folded, make_page, note, picture, table
from algd_jax.runs.render.actors import trained_actor
from algd_jax.runs.render.episodes import play
from algd_jax.runs.render.page import episode_chart
from algd_jax.runs.render.plan import plans_of
from algd_jax.runs.render.series import heading
from algd_jax.runs.report import charts
from algd_jax.runs.report.circumstances import circumstances, flatten
from algd_jax.runs.report.evidence import Evidence, gather
from algd_jax.runs.resuming import planned_steps
from algd_jax.types import TOTAL_COST

_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_PICTURE = 2**25
_CORRELATION = (
    "Correlation of risk, over states of the evaluation's episodes: 1 if the risk that the critics "
    "expect rises and falls with the discounted cost that followed, 0 if the two are unrelated."
)


class Logs(NamedTuple):
    """What a run has left in files.

    Attributes:
      config: of the run.
      records: its epochs, at least one.
      evaluation: its final one; None if the run has not come to its end.
      circumstances: what ``config.json`` tells of its start.
    """

    config: Config
    records: list[Record]
    evaluation: Summary | None
    circumstances: dict[str, Any]


def run_page(
    folder: Path, episodes: int, env: str | None = None, display: Display | None = None
) -> bytes:
    """Read the folder, play the policy and make the page.

    Raises:
      ConfigError: if this is no run, it has not made an epoch, or has no policy to play.
    """
    directory = RunDirectory(folder)
    logs = read_logs(directory, env)
    (display := display or Display()).phase("compiling and playing episodes")
    evidence = measured(directory, logs.config, episodes)
    display.phase("drawing")
    return compose(logs, evidence, landscape(directory))


def read_logs(directory: RunDirectory, env: str | None = None) -> Logs:
    """Everything that the report needs of the folder's files.

    Raises:
      ConfigError: if this is no run, or it has not made an epoch.
    """
    config = directory.read_config(env)
    validate(config)
    records = read_records(directory.metrics_file)
    if not records:
        raise ConfigError(f"run_dir: {directory.path} has no epoch yet: nothing to report")
    summary = read_summary(directory.evaluation_file)
    return Logs(config, records, summary, directory.read_provenance()[0])


def measured(directory: RunDirectory, config: Config, episodes: int) -> list[Section]:
    """Play the best feasible policy, or else the last: an episode to look at, and ``episodes``
    to measure its critics by; nothing if that is 0."""
    if episodes == 0:
        return []
    which = choose_checkpoint(directory)
    trainer = build(config)
    actor = trained_actor(trainer, directory, which)
    keys = episode_keys(config, config.seed, 1)
    (episode,) = play(trainer.env, actor.policy, actor.parameters, keys, keys[0])
    plans, limit = plans_of(trainer.env, [episode]), actor.limits.get(TOTAL_COST)
    shown = episode_chart(episode, plans[0] if plans else None, limit, trainer.env.dt)
    words = note(f"{heading(episode, limit)}; the deterministic {which} policy. Costs are red.")
    agent, _ = actor.parameters
    evidence = gather(trainer, agent, stream_key(config.seed, Stream.REPORT), episodes)
    return [Section("An episode", words + shown), *_evidence(evidence, config.constraints)]


def landscape(directory: RunDirectory) -> list[Section]:
    """The picture of ``algd landscape``, if it has made one here.

    Raises:
      ConfigError: if there is something else in its place.
    """
    path = directory.path / "landscape" / "landscape.png"
    try:
        content = read(path, _LARGEST_PICTURE)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"run_dir: {path} cannot be read ({error.strerror})") from error
    if not content.startswith(_PNG):
        raise ConfigError(f"run_dir: {path} is no picture of algd landscape")
    words = "plain and augmented Lagrangian over the actions at one state"
    return [Section("Landscape", picture(content, words))]


def compose(logs: Logs, measured: list[Section], landscape: list[Section]) -> bytes:
    """The page."""
    config = logs.config
    learning = charts_html(charts.learning(logs.records, config.limits))
    seconds = {"training time [s]": _number(logs.records[-1].get("wall_time"))}
    sections = [
        Section("Evaluation", _evaluation(logs)),
        Section("Learning", learning + note(_CORRELATION)),
        *measured,
        *landscape,
        Section("Configuration", _configuration(config)),
        Section("Circumstances", circumstances(logs.circumstances, **seconds)),
    ]
    title = f"{config.algorithm} on {config.env}, seed {config.seed}"
    return make_page(title, sections, [verdict(logs)])


def verdict(logs: Logs) -> Verdict:
    """How the run stands, and whether its policy is safe."""
    total, step = planned_steps(logs.config), logs.records[-1]["step"]
    if logs.evaluation is not None:
        kept = "within" if logs.evaluation.feasible else "NOT within"
        text = f"Complete after {step:,} steps; mean cost {kept} the limit."
        return Verdict(text, logs.evaluation.feasible)
    feasible = _last_is_feasible(logs)
    kept = "within" if feasible else "not within"
    text = f"Not complete: {step:,} of {total:,} steps; mean cost of the last evaluation {kept}"
    return Verdict(f"{text} the limit.", feasible)


def _last_is_feasible(logs: Logs) -> bool:
    last, limits = logs.records[-1], logs.config.limits
    costs = [last.get(log_name("eval_cost", name)) for name in limits]
    return all(map(is_number, costs)) and is_feasible(last, limits)


def _evaluation(logs: Logs) -> str:
    found = logs.evaluation
    if found is None:
        return _last_evaluation(logs)
    rows = [
        [
            "return",
            *_statistics(found.return_mean, found.return_std, found.return_interval),
            "",
        ],
        *(_cost_row(name, cost) for name, cost in found.constraints.items()),
    ]
    heads = ["per episode", "mean", "standard deviation", "95 % interval of the mean", "limit"]
    explained = (
        f"{found.episodes} episodes of the {found.checkpoint} policy "
        f"(step {found.step:,}), seed {found.seed}; "
        f"{found.within_limit:.0%} of the episodes within the limit."
    )
    return note(explained) + table(heads, rows)


def _last_evaluation(logs: Logs) -> str:
    """That of the last epoch, of which there are only means."""
    last = logs.records[-1]
    rows = [["return", _number(last.get("eval_return")), ""]]
    for name, limit in logs.config.limits.items():
        rows.append([name, _number(last.get(log_name("eval_cost", name))), _number(limit)])
    explained = note(f"Of the last epoch: {logs.config.loop.eval_episodes} episodes.")
    return explained + table(["per episode", "mean", "limit"], rows)


def _cost_row(name: str, cost: CostSummary) -> list[str]:
    statistics = _statistics(cost.cost_mean, cost.cost_std, cost.cost_interval)
    return [name, *statistics, _number(cost.cost_limit)]


def _statistics(mean: float, std: float, interval: tuple[float, float] | None) -> list[str]:
    between = "" if interval is None else " to ".join(map(_number, interval))
    return [_number(mean), _number(std), between]


def _evidence(evidence: Evidence, names: Sequence[str]) -> list[Section]:
    found = evidence.calibration
    title = "Values of the critics against what came of them"
    figure = charts_html({title: charts.calibration(found, names)}, is_wide=True)
    explained = note(charts.calibration_words(found, names)) + note(
        "Critics judge the sampling policy they were trained on; these episodes are deterministic."
    )
    sections = [Section("Calibration", explained + figure)]
    if evidence.denoising is not None:
        chain = {"Samples over the energy's contours": charts.denoising(evidence.denoising)}
        words = note(
            "Each point is a draw of noise on its way to an action, at one state, in the first two "
            "dimensions of the action; move the slider from noise to k = 0. The dashed red line is "
            "where the risk equals the budget."
        )
        sections.append(Section("Denoising", words + charts_html(chain, is_wide=True)))
    return sections


def _configuration(config: Config) -> str:
    values = flatten(dataclasses.asdict(config))
    if config.preset not in PRESETS:
        return table(["field", "value"], list(values.items()))
    usual = flatten(dataclasses.asdict(preset(config.preset, config.env, config.algorithm)))
    changed = [
        [name, value, usual.get(name, "")]
        for name, value in values.items()
        if value != usual.get(name) and name != "seed"
    ]
    differs = (
        table(["field", "this run", f"preset {config.preset}"], changed)
        if changed
        else note(f"Nothing differs from preset {config.preset}.")
    )
    return differs + folded("all fields", table(["field", "value"], list(values.items())))


def _number(value: float | None) -> str:
    """A number as a cell; a dash if there is none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if abs(value) < 1e9 else f"{value:.3g}"
