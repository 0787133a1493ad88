"""Several constraints on the host side: command line, logs, best policy, verdict, pictures."""

import dataclasses
import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from algd_jax import cli
from algd_jax.runs.curves import save_curves
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import PlainDisplay, Progress
from algd_jax.runs.evaluate import summarize
from algd_jax.runs.logs import is_feasible
from algd_jax.training import checkpoint
from algd_jax.training.evaluation import Episodes
from tests.runs.support import EPOCH, LAST_STEP, TINY_FLAGS, WARMUP, read_lines, tiny_config

# An episode of eight steps costs 2 and 8.
PROBE = ["--env", "PartsProbe", *TINY_FLAGS, "--constraints", "cost_low", "cost_high"]
SHORT = ["--env-steps", str(WARMUP + EPOCH)]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, probes):
    """A finished run within both limits."""
    folder = tmp_path_factory.mktemp("constraints") / "run"
    flags = [*PROBE, *SHORT, "--cost-limit", "3", "9"]
    assert cli.main(["train", *flags, "--run-dir", str(folder)]) == 0
    return folder


def test_config_and_log_name_every_constraint(run_dir):
    config = RunDirectory(run_dir).read_config()
    assert config.constraints == ("cost_low", "cost_high")
    assert config.hyper.cost_limit == (3.0, 9.0)
    assert config.limits == {"cost_low": 3.0, "cost_high": 9.0}
    (record,) = read_lines(run_dir / "metrics.jsonl")
    for quantity, total in (("episode_cost", 10.0), ("eval_cost", 10.0)):
        assert record[quantity] == total
        assert record[f"{quantity}/cost_low"] == 2.0
        assert record[f"{quantity}/cost_high"] == 8.0
    for quantity in ("risk", "violation", "lam", "rho"):
        assert quantity not in record
        assert np.isfinite([record[f"{quantity}/{name}"] for name in config.constraints]).all()


def test_a_policy_within_all_limits_is_best(algd, run_dir):
    assert checkpoint.latest(run_dir / "checkpoints" / "best") == WARMUP + EPOCH
    assert checkpoint.read_notes(run_dir / "checkpoints" / "state")["best"]
    code, out, err = algd("evaluate", run_dir)
    assert (code, err) == (0, "")
    rows = [line.replace("|", " ").split() for line in out.splitlines()]
    rows = {row[0]: row for row in rows if row}
    assert rows["cost"][1:] == ["10.00", "0.00", "[10.00,", "10.00]"]
    assert rows["cost_low"][1:] == ["2.00", "0.00", "[2.00,", "2.00]", "3"]
    assert rows["cost_high"][1:] == ["8.00", "0.00", "[8.00,", "8.00]", "9"]
    verdict = "feasible: mean cost_low <= 3 and mean cost_high <= 9; 100% of the episodes within"
    assert f"{verdict} all limits" in out


def test_figures_of_every_constraint(algd, run_dir):
    code, out, err = algd("evaluate", run_dir, "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert (figures["cost_mean"], figures["cost_limit"], figures["feasible"]) == (10.0, None, True)
    low = {"cost_mean": 2.0, "cost_std": 0.0, "cost_limit": 3.0, "cost_interval": [2.0, 2.0]}
    assert figures["constraints"].keys() == {"cost_low", "cost_high"}
    assert figures["constraints"]["cost_low"] == low
    stored = json.loads((run_dir / "evaluation.json").read_text())
    assert stored.items() >= figures.items()


def test_a_policy_beyond_one_limit_is_not_feasible(algd, tmp_path):
    folder = tmp_path / "run"
    flags = [*PROBE, *SHORT, "--cost-limit", "3", "7.5"]
    code, out, err = algd("train", *flags, "--run-dir", folder)
    assert (code, err) == (0, "")
    assert "cost_low    2.00 (limit 3)  cost_high    8.00 (limit 7.5)  lambda 0." in out
    assert "NOT feasible: mean cost_high > 7.5; 0% of the episodes within all limits" in out
    assert not (folder / "checkpoints" / "best").exists()
    assert not checkpoint.read_notes(folder / "checkpoints" / "state")["best"]


def test_total_and_part_can_be_limited_together(algd, tmp_path):
    folder = tmp_path / "run"
    flags = ["--env", "PartsProbe", *TINY_FLAGS, *SHORT, "--constraints", "cost", "cost_high"]
    code, out, _ = algd("train", *flags, "--cost-limit", "9", "8", "--run-dir", folder)
    assert code == 0
    assert "NOT feasible: mean cost > 9;" in out
    (record,) = read_lines(folder / "metrics.jsonl")
    assert {"lam", "lam/cost_high", "eval_cost", "eval_cost/cost_high"} <= record.keys()
    code, out, _ = algd("evaluate", folder, "--json")
    assert json.loads(out)["cost_limit"] == 9.0


def test_the_run_goes_on(algd, run_dir):
    code, _, err = algd("train", "--resume", run_dir, "--env-steps", LAST_STEP)
    assert (code, err) == (0, "")
    assert read_lines(run_dir / "metrics.jsonl")[-1]["step"] == LAST_STEP


def test_the_landscape_counts_all_constraints(algd, run_dir, tmp_path):
    small = ["--points", 9, "--actions", 16, "--out", tmp_path]
    code, out, err = algd("landscape", run_dir, *small, "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert len(figures["lam"]) == len(figures["budget"]) == 2
    assert (tmp_path / "landscape.png").read_bytes().startswith(b"\x89PNG")


def test_runs_are_compared_by_each_constraint(algd, run_dir):
    code, out, err = algd("compare", run_dir, "--json")
    (row,) = json.loads(out)["configurations"]
    last, config = read_lines(run_dir / "metrics.jsonl")[-1], RunDirectory(run_dir).read_config()
    assert (code, err) == (0, "")
    assert row["constraints"] == {
        name: {
            "mean_cost": {"value": last[f"eval_cost/{name}"], "low": None, "high": None},
            "cost_limit": limit,
        }
        for name, limit in config.limits.items()
    }
    assert row["feasible"] == is_feasible(last, config.limits)


def test_an_episode_within_the_limits_is_within_each_of_them():
    outcome = Episodes(
        returns=np.float32([1, 2, 3, 4]),
        costs=np.float32([4, 4, 4, 4]),
        lengths=np.full(4, 8.0, np.float32),
        parts={"cost_low": np.float32([0, 1, 2, 3]), "cost_high": np.float32([4, 3, 2, 1])},
    )
    config = two_limits(2.0, 3.0)
    summary = summarize(config, outcome, 7, "last", 0)
    assert summary.within_limit == 0.5
    assert summary.feasible  # 1.5 <= 2 and 2.5 <= 3.
    assert not summarize(two_limits(2.0, 2.4), outcome, 7, "last", 0).feasible
    assert summary.cost_limit is None


def test_figures_on_the_screen(capsys):
    record = {
        "step": 1600,
        "eval_return": 12.5,
        "eval_cost": 9.0,
        "eval_cost/cost_low": 1.0,
        "eval_cost/cost_high": 8.0,
        "lam/cost_low": 0.25,
        "lam/cost_high": 1.5,
        "steps_per_second": 10.0,
    }
    limits = {"cost_low": 3.0, "cost_high": 7.0}
    PlainDisplay().epoch(Progress(record, 160_000, limits, 90.0, "none"))
    line = capsys.readouterr().out
    assert "cost_low    1.00 (limit 3)  cost_high    8.00 (limit 7)  lambda 0.250 1.500" in line


def test_every_constraint_has_a_panel(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    record = {"step": 10, "episode_return": 1.0, "eval_return": 1.0}
    for name, cost in (("cost_low", 1.0), ("cost_high", 8.0)):
        record |= {f"{quantity}/{name}": cost for quantity in ("episode_cost", "eval_cost", "lam")}
    limits = {"cost_low": 3.0, "cost_high": 7.0}
    save_curves(tmp_path / "curves.png", [record], limits, "a run")
    _, low, high, multiplier = figures[0].axes
    assert [axes.get_title() for axes in (low, high)] == ["Cost low", "Cost high"]
    assert [line.get_label() for line in multiplier.get_lines()] == [
        "λ of cost_low",
        "λ of cost_high",
    ]
    limit = next(line for line in high.get_lines() if line.get_label() == "limit 7")
    assert list(limit.get_ydata()) == [7.0, 7.0]


def two_limits(low, high):
    constraints = ("cost_low", "cost_high")
    return dataclasses.replace(tiny_config(cost_limit=(low, high)), constraints=constraints)
