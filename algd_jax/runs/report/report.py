"""From a run's folder to its report."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import Summary, choose_checkpoint, load_agent
from algd_jax.runs.files import create
from algd_jax.runs.logs import Record, is_feasible, log_name, read_records
from algd_jax.runs.memory import check_evaluation_memory
from algd_jax.runs.report import charts
from algd_jax.runs.report.evidence import Evidence, gather
from algd_jax.runs.report.page import (
    Section,
    charts_html,
    folded,
    make_page,
    note,
    picture,
    table,
)
from algd_jax.runs.resuming import planned_steps

EPISODES = 8
"""Episodes played to compare the critics with what comes of their actions."""


class Logs(NamedTuple):
    """What a run has left in files.

    Attributes:
      config: of the run.
      records: its epochs, at least one.
      evaluation: its final one; None if the run has not come to its end.
      circumstances: versions, device and command of ``config.json``.
    """

    config: Config
    records: list[Record]
    evaluation: dict[str, Any] | None
    circumstances: dict[str, Any]


def save_report(
    run_dir: Path, out: Path | None = None, episodes: int = EPISODES, env: str | None = None
) -> Path:
    """Write the report of a run.

    Args:
      run_dir: the run's folder.
      out: new file, RUN_DIR/report.html by default.
      episodes: played to compare the critics with what comes of their actions; 0 leaves out that
        and the picture of the denoising.
      env: the run's environment, needed if it is "module:attribute".

    Returns:
      The file.

    Raises:
      ConfigError: for bad input, before anything slow.
    """
    if importlib.util.find_spec("plotly") is None:
        raise ConfigError("report: needs Plotly, which is missing: pip install 'algd-jax[report]'")
    if not 0 <= episodes <= 10_000:
        raise ConfigError(f"episodes: got {episodes}, allowed is an integer in [0, 10000]")
    directory = RunDirectory(run_dir)
    logs = read_logs(directory, env)
    out = out or run_dir / "report.html"
    if out.exists():
        raise ConfigError(f"out: {out} exists, allowed is a new file")
    evidence = measure(directory, logs.config, episodes) if episodes else None
    content = compose(directory, logs, evidence)
    try:
        create(out, content)
    except FileExistsError as error:
        raise ConfigError(f"out: {out} exists, allowed is a new file") from error
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror})") from error
    return out


def read_logs(directory: RunDirectory, env: str | None = None) -> Logs:
    """Everything that the report needs of the folder's files.

    Raises:
      ConfigError: if this is no run, or it has not made an epoch.
    """
    config = directory.read_config(env)
    records = read_records(directory.metrics_file)
    if not records:
        raise ConfigError(f"run_dir: {directory.path} has no epoch yet: nothing to report")
    circumstances = json.loads(directory.config_file.read_text(encoding="utf-8"))
    return Logs(config, records, _read_evaluation(directory.evaluation_file), circumstances)


def _read_evaluation(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if set(Summary._fields) - {"constraints"} <= found.keys():
            return found
    except (ValueError, AttributeError, RecursionError):
        pass
    raise ConfigError(f"{file}: is no evaluation of a run")


def measure(directory: RunDirectory, config: Config, episodes: int) -> Evidence:
    """Play the run's policy: the best feasible one, or else the last."""
    which = choose_checkpoint(directory)
    trainer = build(config)
    check_evaluation_memory(trainer)
    agent, _ = load_agent(trainer, directory, which)
    return gather(trainer, agent, stream_key(config.seed, Stream.REPORT), episodes)


def compose(directory: RunDirectory, logs: Logs, evidence: Evidence | None) -> bytes:
    """The page."""
    config = logs.config
    sections = [
        Section("Evaluation", _evaluation(logs)),
        Section("Learning", charts_html(charts.learning(logs.records, config.limits))),
    ]
    if evidence is not None:
        sections += _evidence_sections(evidence)
    landscape = directory.path / "landscape" / "landscape.png"
    if landscape.is_file():
        words = "plain and augmented Lagrangian over the actions at one state"
        sections.append(Section("Landscape", picture(landscape, words)))
    sections += [
        Section("Configuration", _configuration(config)),
        Section("Circumstances", _circumstances(logs)),
    ]
    title = f"{config.algorithm} on {config.env}, seed {config.seed}"
    words, is_good = verdict(logs)
    return make_page(title, words, is_good, sections)


def verdict(logs: Logs) -> tuple[str, bool]:
    """How the run stands in a sentence, and whether its policy is safe."""
    total, step = planned_steps(logs.config), logs.records[-1]["step"]
    if logs.evaluation is not None:
        feasible = logs.evaluation["feasible"]
        kept = "within" if feasible else "NOT within"
        return f"Complete after {step:,} steps; mean cost {kept} the limit.", feasible
    feasible = is_feasible(logs.records[-1], logs.config.limits)
    kept = "within" if feasible else "not within"
    stands = f"Not complete: {step:,} of {total:,} steps"
    return f"{stands}; mean cost of the last evaluation {kept} the limit.", feasible


def _evaluation(logs: Logs) -> str:
    found, limits = logs.evaluation, logs.config.limits
    if found is None:
        last = logs.records[-1]
        rows = [["return", _number(last["eval_return"]), ""]]
        for name, limit in limits.items():
            rows.append([name, _number(last[log_name("eval_cost", name)]), _number(limit)])
        explained = note(f"Of the last epoch: {logs.config.loop.eval_episodes} episodes.")
        return explained + table(["per episode", "mean", "limit"], rows)
    costs = found.get("constraints") or {"cost": found}
    rows = [[*_statistics("return", found, "return"), ""]]
    rows += [
        [*_statistics(name, one, "cost"), _number(one["cost_limit"])] for name, one in costs.items()
    ]
    heads = ["per episode", "mean", "standard deviation", "95 % interval of the mean", "limit"]
    explained = (
        f"{found['episodes']} episodes of the {found['checkpoint']} policy "
        f"(step {found['step']:,}), seed {found['seed']}; "
        f"{found['within_limit']:.0%} of the episodes within the limit."
    )
    return note(explained) + table(heads, rows)


def _statistics(label: str, found: dict[str, Any], quantity: str) -> list[str]:
    interval = found[f"{quantity}_interval"]
    between = "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
    mean, std = found[f"{quantity}_mean"], found[f"{quantity}_std"]
    return [label, _number(mean), _number(std), between]


def _evidence_sections(evidence: Evidence) -> list[Section]:
    found = evidence.calibration
    title = "Values of the critics against what came of them"
    figure = charts_html({title: charts.calibration(found)})
    explained = note(charts.calibration_words(found)) + note(
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
        sections.append(Section("Denoising", words + charts_html(chain)))
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


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested fields as texts, by dotted name."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def _circumstances(logs: Logs) -> str:
    told = {name: logs.circumstances.get(name, {}) for name in ("device", "versions")}
    command = " ".join(map(str, logs.circumstances.get("command") or []))
    told = flatten(told) | {
        name: str(logs.circumstances.get(name)) for name in ("start_time", "git_commit")
    }
    told |= {"command": command, "training time [s]": _number(logs.records[-1]["wall_time"])}
    return table(["", ""], list(told.items()))


def _number(value: float) -> str:
    return f"{value:.2f}"
