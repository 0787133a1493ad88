"""The paper's comparison: what it trains, that it resumes, and what it makes of the logs."""

import dataclasses
import json

import pytest

from algd_jax.errors import ConfigError
from experiments import paper
from tests.runs.support import probes, tiny_config  # noqa: F401

# Those that compile fastest: which two does not matter here.
ARGUMENTS = ["--tasks", "PointButton1", "--methods", "sac_lagrangian", "cal", "--seeds", "2"]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Every task is a tiny probe; paths of the experiment as arguments."""

    def preset(name, env, algorithm):
        return dataclasses.replace(tiny_config(), algorithm=algorithm, preset=name)

    monkeypatch.setattr(paper, "preset", preset)
    monkeypatch.setattr("experiments.logs.preset", preset)
    return ["--run-dir", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]


@pytest.mark.parametrize("method", paper.METHODS)
@pytest.mark.parametrize("task", paper.TASKS)
def test_the_whole_budget_is_the_papers(task, method):
    loop = paper.configure(task, method).loop
    episode = 400 if task.startswith(("Point", "Car")) else 1000
    assert (loop.num_envs, loop.updates_per_step, loop.batch_size) == (1, 10, 256)
    assert (loop.warmup_steps, loop.epoch_steps) == (5_000, episode)
    assert loop.env_steps == 5_000 + 250 * episode


def test_methods_differ_as_they_are_named():
    found = {name: paper.configure("Hopper", name) for name in paper.METHODS}
    assert found["algd"].agent.diffusion == "ve"
    assert found["algd_ddpm"].agent.diffusion == "ddpm"
    assert [config.algorithm for config in found.values()] == [
        "algd",
        "algd",
        "diffusion_lagrangian",
        "cal",
        "sac_lagrangian",
    ]


@pytest.mark.parametrize(("fraction", "epochs"), [(0.1, 25), (0.5, 125), (1e-6, 1)])
def test_a_fraction_of_the_budget_shortens_training_only(fraction, epochs):
    config = paper.configure("PointButton1", "algd", fraction=fraction)
    assert config.epochs == epochs
    assert config.loop.warmup_steps == 5_000


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.5, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(ConfigError, match=r"--budget-fraction: got .*, allowed is a number in"):
        paper.configure("PointButton1", "algd", fraction=fraction)


def test_everything_that_comes_out_says_the_budget_and_is_made_from_logs(tiny, tmp_path, capsys):
    paper.main([*ARGUMENTS, *tiny, "--budget-fraction", "0.5"])
    out = tmp_path / "out"
    made = {path: path.read_bytes() for path in out.glob("*.*")}
    assert {path.name for path in made} == {"table.md", "curves.png", "comparison.json"}
    table = (out / "table.md").read_text()
    assert "50% of the budget of preset paper" in table
    assert "--budget-fraction 0.5" in table
    figures = json.loads((out / "comparison.json").read_text())
    assert figures["budget"] == "50% of the budget of preset paper"
    assert {one["configuration"]: one["seeds"] for one in figures["configurations"]} == {
        "sac_lagrangian": 2,
        "cal": 2,
    }
    assert not list(out.rglob("checkpoints"))

    for path in made:
        path.unlink()
    paper.main(["--only-draw", *tiny])
    assert made == {path: path.read_bytes() for path in out.glob("*.*")}

    capsys.readouterr()
    paper.main([*ARGUMENTS, *tiny, "--budget-fraction", "0.5"])
    assert capsys.readouterr().out.count("1 complete already") == 2
    assert made == {path: path.read_bytes() for path in out.glob("*.*")}


def test_another_budget_in_the_same_folder_is_one_line(tiny):
    paper.main([*ARGUMENTS, *tiny, "--budget-fraction", "0.5"])
    with pytest.raises(SystemExit, match=r"paper\.py: .*sac_lagrangian"):
        paper.main([*ARGUMENTS, *tiny])
