"""Time to a safe policy: when the clock stops, and what is told of runs that get there or not."""

import dataclasses
import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.logs import read_records
from experiments import time_to_safe
from tests.runs.support import files, probes, tiny_config  # noqa: F401


@pytest.fixture
def log(monkeypatch, tmp_path):
    """Logs an evaluation of a run whose limit is 10, and whose policy is good from 25 on."""
    monkeypatch.setattr(time_to_safe, "THRESHOLDS", {"ActionProbe": 25.0})
    run = RunDirectory(tmp_path)

    def add(step: int, eval_return: float, eval_cost: float) -> None:
        record = {"step": step, "wall_time": 60.0, "eval_return": eval_return}
        with run.metrics_file.open("a") as file:
            file.write(json.dumps(record | {"eval_cost": eval_cost}) + "\n")

    add.clock = lambda seconds: time_to_safe.Clock(tiny_config(cost_limit=10.0), run, seconds)
    return add


@pytest.mark.parametrize(
    ("eval_return", "eval_cost", "reached"),
    [(25.0, 10.0, True), (24.9, 1.0, False), (30.0, 10.1, False)],
)
def test_a_policy_has_to_be_safe_and_good(log, eval_return, eval_cost, reached):
    clock = log.clock(1e9)
    assert not clock.over()
    log(7, eval_return, eval_cost)
    assert (clock.over(), clock.reached, clock.step) == (reached, reached, 7)


def test_the_clock_goes_on_where_the_log_ends(log):
    log(7, 30.0, 5.0)
    clock = log.clock(1e9)
    assert (clock.over(), clock.seconds, clock.step) == (False, 60.0, 7)
    log(8, 30.0, 5.0)
    assert clock.over()
    assert (clock.step, clock.seconds > 60.0) == (8, True)


def test_a_run_ends_when_its_time_is_up(log):
    log(7, 0.0, 0.0)
    assert log.clock(59.0).over()
    assert not log.clock(99.0).over()


def test_presets_are_measured_as_they_are():
    config = time_to_safe.configure("PointButton1", "quick", 3)
    assert (config.seed, config.loop.eval_episodes) == (3, 100)
    assert config.loop.env_steps == 200_000


@pytest.fixture
def tiny(monkeypatch):
    """Every preset is that of the tiny runs."""

    def preset(name, env):
        return dataclasses.replace(tiny_config(cost_limit=1e9), preset=name)

    monkeypatch.setattr(time_to_safe, "preset", preset)
    monkeypatch.setattr(time_to_safe, "EPISODES", 2)
    monkeypatch.setattr(time_to_safe, "THRESHOLDS", {"ActionProbe": 1e9})


def measured(folder: Path, *options: str) -> dict[str, Any]:
    """What the command makes of one task and preset: each result by its seed."""
    arguments = ["--tasks", "ActionProbe", "--presets", "quick", *options]
    time_to_safe.main([*arguments, "--out", str(folder / "out"), "--runs", str(folder / "runs")])
    results = [json.loads(path.read_text()) for path in folder.rglob("result.json")]
    return {result["seed"]: result for result in results}


def test_a_signal_ends_the_run_under_way_and_starts_no_other(tiny, monkeypatch, tmp_path):
    heard, over = threading.Event(), time_to_safe.Clock.over

    def over_or_signal(self):
        ends = over(self)
        if self.step:
            signal.raise_signal(signal.SIGTERM)
            assert heard.wait(10)
        return ends

    monkeypatch.setattr(time_to_safe, "say_stopping", heard.set)
    monkeypatch.setattr(time_to_safe.Clock, "over", over_or_signal)
    results = measured(tmp_path, "--seeds", "0", "1")
    assert {seed: result["reached"] for seed, result in results.items()} == {0: False}
    assert "0 of 1" in (tmp_path / "out/table.md").read_text()


@pytest.mark.parametrize(("threshold", "got_there"), [(-1e9, True), (1e9, False)])
def test_runs_are_measured_once_and_tabulated(tiny, monkeypatch, tmp_path, threshold, got_there):
    monkeypatch.setattr(time_to_safe, "THRESHOLDS", {"ActionProbe": threshold})
    results = measured(tmp_path, "--seeds", "0", "1")
    assert {seed: result["reached"] for seed, result in results.items()} == dict.fromkeys(
        (0, 1), got_there
    )
    table = (tmp_path / "out/table.md").read_text()
    assert f"{2 * got_there} of 2" in table
    assert ("not within" in table) != got_there
    assert (tmp_path / "out/curves.png").exists()
    before = files(tmp_path)
    measured(tmp_path, "--seeds", "0", "1", "--hours", "3")
    assert files(tmp_path) == before


def test_a_run_that_was_stopped_goes_on_and_its_clock_too(tiny, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="allowed is a folder with results"):  # No epoch was made.
        measured(tmp_path, "--seeds", "0", "--hours", "1e-9")
    over = time_to_safe.Clock.over
    with monkeypatch.context() as after_an_epoch:
        after_an_epoch.setattr(time_to_safe.Clock, "over", lambda self: over(self) or self.step > 0)
        stopped = measured(tmp_path, "--seeds", "0", "--hours", "1")[0]
    first_epoch = stopped["step"]
    assert measured(tmp_path, "--seeds", "0", "--hours", "1e-9")[0] == stopped
    monkeypatch.setattr(time_to_safe, "THRESHOLDS", {"ActionProbe": -1e9})
    result = measured(tmp_path, "--seeds", "0")[0]
    assert (stopped["reached"], result["reached"]) == (False, True)
    first, second = read_records(tmp_path / "out/ActionProbe/quick/seed0/metrics.jsonl")
    assert (first["step"], second["step"]) == (first_epoch, result["step"])
    assert first["wall_time"] < second["wall_time"] < result["seconds"] + 1


def test_a_run_of_another_configuration_is_one_clear_line(tiny, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="results of runs"):  # Stopped before the first.
        measured(tmp_path, "--seeds", "0", "--hours", "1e-9")
    monkeypatch.setattr(time_to_safe, "EPISODES", 3)
    with pytest.raises(SystemExit, match=r"^time_to_safe\.py: resume: only env_steps may differ"):
        measured(tmp_path, "--seeds", "0")


def test_drawing_nothing_is_one_clear_line(tmp_path):
    for out in (tmp_path, tmp_path / "none"):
        with pytest.raises(SystemExit, match=r"^time_to_safe\.py: --out: got .*, allowed is"):
            time_to_safe.main(["--only-draw", "--out", str(out)])
    assert not list(tmp_path.iterdir())


def test_curves_have_the_colour_of_their_preset_and_a_star_where_the_clock_stopped(tmp_path):
    for name, reached in (("quick", True), ("paper", False)):
        folder = tmp_path / "Task" / name / "seed0"
        folder.mkdir(parents=True)
        result = {"preset": name, "threshold": 3.0, "reached": reached, "step": 20}
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "config.json").write_text('{"config": {"hyper": {"cost_limit": 7.0}}}')
        rows = [
            {"step": 10 * i, "wall_time": 60 * i, "eval_return": i, "eval_cost": -i} for i in (1, 2)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    returns, costs = time_to_safe.plot(tmp_path).axes
    colors = {line.get_label(): line.get_color() for line in returns.get_lines()}
    assert colors["quick"] != colors["paper"]
    legend = returns.get_legend()
    for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True):
        assert line.get_color() == colors[text.get_text()]
    (star,) = [line for line in costs.get_lines() if line.get_marker() == "*"]
    assert (*star.get_xdata(), *star.get_ydata(), star.get_color()) == (2.0, -2, colors["quick"])
    for axes, bound in ((returns, 3.0), (costs, 7.0)):
        assert {line.get_ydata()[0] for line in axes.get_lines() if line.get_color() == "0.6"} == {
            bound
        }
