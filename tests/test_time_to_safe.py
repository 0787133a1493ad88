"""Time to a safe policy: when the clock stops, and what is told of runs that get there or not."""

import dataclasses
import json
import signal
import threading

import pytest

from algd_jax.runs.display import Progress
from experiments import time_to_safe
from tests.runs.support import probes, tiny_config  # noqa: F401


def progress(eval_return: float, eval_cost: float) -> Progress:
    record = {"step": 7, "eval_return": eval_return, "eval_cost": eval_cost}
    figures = {"lam": 0.1, "steps_per_second": 1.0}
    return Progress(record | figures, 100, {"cost": 10.0}, 1.0, "-")


@pytest.mark.parametrize(
    ("eval_return", "eval_cost", "reached"),
    [(25.0, 10.0, True), (24.9, 1.0, False), (30.0, 10.1, False)],
)
def test_a_policy_has_to_be_safe_and_good(eval_return, eval_cost, reached):
    goal = time_to_safe.Goal(25.0, 1e9)
    goal.epoch(progress(eval_return, eval_cost))
    assert (goal.reached, goal.over(), goal.step) == (reached, reached, 7)


def test_the_clock_stands_from_the_first_such_policy_on():
    goal = time_to_safe.Goal(25.0, 1e9)
    goal.epoch(progress(30.0, 5.0))
    seconds = goal.seconds
    goal.epoch(progress(30.0, 50.0))
    assert (goal.reached, goal.seconds) == (True, seconds)


def test_a_run_ends_when_its_time_is_up():
    goal = time_to_safe.Goal(25.0, 0.0)
    assert goal.over()
    assert not goal.reached


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


def test_a_signal_ends_the_run_under_way_and_starts_no_other(tiny, monkeypatch, tmp_path):
    heard = threading.Event()

    def epoch(self, progress):
        if not heard.is_set():  # The epoch under way at the signal is shown too.
            signal.raise_signal(signal.SIGTERM)
            assert heard.wait(10)

    monkeypatch.setattr(time_to_safe, "say_stopping", heard.set)
    monkeypatch.setattr(time_to_safe.Goal, "epoch", epoch)
    monkeypatch.setattr(time_to_safe, "THRESHOLDS", {"ActionProbe": 1e9})
    arguments = ["--tasks", "ActionProbe", "--presets", "quick", "--seeds", "0", "1"]
    time_to_safe.main([*arguments, "--out", str(tmp_path)])
    (result,) = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert (result["seed"], result["reached"]) == (0, False)
    assert "0 of 1" in (tmp_path / "table.md").read_text()


def test_runs_are_measured_once_and_tabulated(tiny, monkeypatch, tmp_path):
    for threshold, got_there in ((-1e9, True), (1e9, False)):
        monkeypatch.setattr(time_to_safe, "THRESHOLDS", {"ActionProbe": threshold})
        out = tmp_path / str(threshold)
        arguments = ["--tasks", "ActionProbe", "--presets", "quick", "--seeds", "0", "1"]
        time_to_safe.main([*arguments, "--out", str(out)])
        results = [json.loads(path.read_text()) for path in sorted(out.rglob("result.json"))]
        assert [result["reached"] for result in results] == [got_there] * 2
        assert [result["seed"] for result in results] == [0, 1]
        table = (out / "table.md").read_text()
        assert f"{2 * got_there} of 2" in table
        assert ("not within" in table) != got_there
        before = {path: path.read_bytes() for path in out.rglob("*.*")}
        assert out / "curves.png" in before
        time_to_safe.main([*arguments, "--out", str(out)])
        assert before == {path: path.read_bytes() for path in out.rglob("*.*")}


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
