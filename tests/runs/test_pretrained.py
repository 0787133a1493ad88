"""Trained policies that come with the package: made, found by name, true to their cards."""

import json
import re

import jax
import numpy as np
import pytest

from algd_jax import cli
from algd_jax.errors import ConfigError
from algd_jax.runs import pretrained
from algd_jax.runs.build import build
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import evaluate_run, load_agent
from algd_jax.runs.run import train
from experiments import pretrain
from tests.runs.support import files, tiny_config


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A finished run, every policy of which was feasible."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(tiny_config(cost_limit=1000.0), folder)
    return folder


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty folder in the place of the package's, and another one to work in."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "shelf")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "shelf"


@pytest.fixture
def kept(run_dir, shelf):
    """The run's policy on the shelf."""
    folder = pretrain.keep_policy(RunDirectory(run_dir), shelf)
    pretrain.write_card(folder, 7)
    return folder


def test_a_kept_policy_acts_as_the_runs_best_and_cannot_be_trained(run_dir, kept):
    trainer = build(RunDirectory(run_dir).read_config())
    original, step = load_agent(trainer, RunDirectory(run_dir), "best")
    agent, kept_step = load_agent(trainer, RunDirectory(kept), "best")
    assert kept_step == step
    jax.tree.map(np.testing.assert_array_equal, agent.actor, original.actor)
    jax.tree.map(np.testing.assert_array_equal, agent.critics, original.critics)
    assert not any(map(np.any, jax.tree.leaves(agent.critic_optimizer)))
    assert any(map(np.any, jax.tree.leaves(original.critic_optimizer)))


def test_the_card_tells_what_evaluating_repeats(run_dir, kept, capsys):
    card = (kept / "README.md").read_text()
    evaluation = json.loads((kept / "evaluation.json").read_text())
    assert evaluation["episodes"] == 7
    assert f"{evaluation['return_mean']:.2f}" in card
    assert "limit 1000" in card
    assert "seed 0" in card
    command = re.search(r"`algd (evaluate .*)` repeats", card)[1].split()
    assert cli.main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {name: evaluation[name] for name in again if name in evaluation} == {
        name: value for name, value in again.items() if name in evaluation
    }
    whole = evaluate_run(run_dir, which="best", episodes=7)
    assert whole.return_mean == evaluation["return_mean"]


def test_commands_find_it_by_name_and_write_nothing_into_the_package(kept, capsys):
    before = files(kept)
    assert cli.main(["landscape", "--pretrained", kept.name, "--json"]) == 0
    assert cli.main(["export", f"--pretrained={kept.name}", "--json"]) == 0
    assert files(kept) == before
    work = {path.name for path in kept.parents[1].joinpath("work").iterdir()}
    assert work == {f"{kept.name}-landscape", f"{kept.name}-policy"}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pretrained"], "--pretrained: value is missing, allowed is the name of a task"),
        (["--pretrained", "ActionProb"], "--pretrained: unknown name 'ActionProb'; allowed: "
         "ActionProbe; did you mean 'ActionProbe'?"),
        (["--pretrained", "ActionProbe", "run"], "unexpected argument 'run'"),
        (["--pretrained", "ActionProbe", "--checkpoint", "last"], "--checkpoint: got last, but "
         "{kept} has only its best; allowed is best"),
    ],
)  # fmt: skip
def test_bad_arguments_end_in_one_line(kept, capsys, arguments, message):
    assert cli.main(["evaluate", *arguments]) == 2
    assert capsys.readouterr().err == f"algd: {message.format(kept=kept)}\n"


def test_without_a_policy_there_is_none_to_name(shelf, capsys):
    assert cli.main(["evaluate", "--pretrained", "PointButton1"]) == 2
    assert "allowed: none" in capsys.readouterr().err


def test_a_policy_is_kept_once(run_dir, kept, shelf):
    before = files(kept)
    with pytest.raises(ConfigError, match="exists, allowed is a task without a policy"):
        pretrain.keep_policy(RunDirectory(run_dir), shelf)
    assert files(kept) == before


def test_what_is_too_large_is_not_kept(run_dir, shelf, monkeypatch):
    monkeypatch.setattr(pretrain, "MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match=r"its policy takes [\d,]+ bytes, allowed are 1,000"):
        pretrain.keep_policy(RunDirectory(run_dir), shelf)
    assert not list(shelf.iterdir())


def test_a_run_without_a_feasible_policy_is_refused(tmp_path, shelf):
    train(tiny_config(cost_limit=1e-6), tmp_path / "unsafe")
    with pytest.raises(ConfigError, match=r"no policy of .* was feasible"):
        pretrain.keep_policy(RunDirectory(tmp_path / "unsafe"), shelf)


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_what_is_shipped_is_small_complete_and_feasible(name):
    folder = pretrained.find_pretrained(name)
    evaluation = json.loads((folder / "evaluation.json").read_text())
    config = RunDirectory(folder).read_config()
    assert config.env == name == evaluation["env"]
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= pretrain.MOST_BYTES
    assert evaluation["feasible"]
    assert evaluation["episodes"] >= 100
    assert f"{evaluation['return_mean']:.2f} ±" in (folder / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_evaluating_repeats_the_card(name):
    """On another machine rounding differs, and episodes with contacts go other ways from there."""
    folder = pretrained.find_pretrained(name)
    card = json.loads((folder / "evaluation.json").read_text())
    found = evaluate_run(folder, episodes=card["episodes"])
    for quantity in ("return", "cost"):
        error = card[f"{quantity}_std"] / np.sqrt(card["episodes"])
        difference = abs(getattr(found, f"{quantity}_mean") - card[f"{quantity}_mean"])
        assert difference <= 3 * error
