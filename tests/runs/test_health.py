"""What a run does when numbers go bad, and what it says of those on their way there."""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.config import HealthConfig
from algd_jax.errors import ConfigError
from algd_jax.runs.evaluate import evaluate_checkpoint, make_evaluate
from algd_jax.runs.health import diverging
from algd_jax.runs.reproduce import Difference, reproduce
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import RESTORES, RunError, train
from algd_jax.training import checkpoint
from tests.probes import ProbeEnv
from tests.runs.support import (
    EPOCH,
    EPOCHS,
    LAST_STEP,
    WARMUP,
    read_lines,
    stop_after,
    tiny_config,
    without_clock,
)


@pytest.fixture
def healthy_evaluation(monkeypatch):
    """Evaluation on an environment that does not break, so that only training does."""
    monkeypatch.setattr(
        "algd_jax.runs.programs.make_evaluate",
        lambda trainer: make_evaluate(dataclasses.replace(trainer, env=ProbeEnv())),
    )


def config_of(env, on_bad_number, **loop):
    health = HealthConfig(on_bad_number=on_bad_number)
    return dataclasses.replace(tiny_config(env, **loop), health=health)


def notes(folder):
    """Lines of the run's log without their time."""
    lines = (folder / "run.log").read_text().splitlines()
    return [line.split(" ", 1)[1] for line in lines]


def steps(folder):
    return [record["step"] for record in read_lines(folder / "metrics.jsonl")]


ALL_STEPS = [WARMUP + (epoch + 1) * EPOCH for epoch in range(EPOCHS)]


def test_skipping_goes_on_to_the_end(tmp_path, healthy_evaluation):
    folder = tmp_path / "run"
    result = train(config_of("RareBreak", "skip-update"), folder)
    assert result.evaluation.step == LAST_STEP
    records = read_lines(folder / "metrics.jsonl")
    assert steps(folder) == ALL_STEPS
    for record in records:
        assert np.isfinite(record["reward_loss"])
        assert record["skipped_updates"] == 0  # Bad transitions were never stored.
    told = notes(folder)
    assert len(told) > 1  # Each epoch tells its own.
    for line in told:
        assert line.startswith("reward is NaN or infinite at environment step ")
        assert line.endswith("; 0 updates and all bad transitions were left out")


class AlwaysBroken(ProbeEnv):
    """No transition is good."""

    def gains(self, obs, action, time):
        return jnp.float32(jnp.nan), jnp.float32(0)


def test_skipping_cannot_go_on_without_any_update(tmp_path, healthy_evaluation):
    folder = tmp_path / "run"
    config = config_of(f"{__name__}:AlwaysBroken", "skip-update")
    with pytest.raises(RunError, match=r"^reward is NaN .*; no epoch was completed before$"):
        train(config, folder)
    assert notes(folder)[0].startswith("reward is NaN or infinite at environment step 4,")


def unlucky():
    """A run that is set back several times, also after an epoch that then is made again."""
    return dataclasses.replace(config_of("ChanceBreak", "restore", checkpoint_epochs=2), seed=2)


def test_restoring_goes_another_way(tmp_path, healthy_evaluation):
    folder = tmp_path / "run"
    result = train(unlucky(), folder)
    told = notes(folder)
    assert told
    for line in told:
        assert "reward is NaN or infinite at environment step" in line
        assert "; going on from the checkpoint of step" in line
        assert line.endswith("with a new key")
    assert result.step == LAST_STEP
    assert steps(folder) == ALL_STEPS
    assert checkpoint.latest(folder / "checkpoints" / "last") == LAST_STEP
    assert {entry.step for entry in checkpoint.entries(folder / "checkpoints" / "best")} <= set(
        ALL_STEPS
    )


def test_a_run_that_was_set_back_is_reproduced(tmp_path, healthy_evaluation):
    """Its log holds only the epochs that were made last."""
    folder = tmp_path / "run"
    train(unlucky(), folder)
    found = [re.search(r"environment step (\d+).*of step (\d+)", line) for line in notes(folder)]
    assert any(int(bad) > int(kept) + EPOCH for bad, kept in (one.groups() for one in found))
    reproduction = reproduce(folder)
    assert (reproduction.difference, reproduction.policy) == (None, "equal")
    log = folder / "metrics.jsonl"
    log.write_text(log.read_text().replace('"epoch": 2', '"epoch": 7'))
    assert reproduce(folder).difference == Difference("epoch", 7, 2, 2)


def test_restoring_gives_up_when_it_does_not_help(tmp_path, healthy_evaluation):
    folder = tmp_path / "run"
    with pytest.raises(RunError, match=r"^reward is NaN or infinite at environment step 100, env"):
        train(config_of("LateBreak", "restore", checkpoint_epochs=1), folder)
    good = WARMUP + EPOCH
    *restored, last = notes(folder)
    assert restored == RESTORES * [
        "reward is NaN or infinite at environment step 100, environment 0; "
        f"going on from the checkpoint of step {good} with a new key"
    ]
    assert last.startswith("failed: reward is NaN or infinite at environment step 100, env")
    assert steps(folder) == [good]
    assert checkpoint.latest(folder / "checkpoints" / "state") == good


def test_policies_of_the_way_not_taken_are_removed(tmp_path, healthy_evaluation):
    """The checkpoint is older than the last policies when the run is set back to it."""
    folder = tmp_path / "run"
    config = config_of("LateBreak", "restore", checkpoint_epochs=3, cost_limit=1000.0)
    with pytest.raises(RunError):
        train(config, folder)
    assert checkpoint.latest(folder / "checkpoints" / "state") == WARMUP
    assert steps(folder) == [WARMUP + EPOCH]  # Made once more, on the last try.


@pytest.mark.parametrize("on_bad_number", ["skip-update", "restore"])
def test_where_nothing_is_bad_nothing_differs(tmp_path, on_bad_number):
    """... to rounding: these are other programs."""
    logs = []
    for policy in ("stop", on_bad_number):
        train(config_of("ActionProbe", policy, checkpoint_epochs=2), tmp_path / policy)
        logs.append(without_clock(read_lines(tmp_path / policy / "metrics.jsonl")))
    for first, second in zip(*logs, strict=True):
        assert first.keys() == second.keys()
        for name in first:
            # None, where nothing was confirmed, becomes NaN.
            values = np.float64(first[name]), np.float64(second[name])
            np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-4)


def test_what_diverges_is_told_once(tmp_path):
    folder = tmp_path / "run"
    health = HealthConfig(lam_bound=0.1)  # λ starts at 0.69.
    train(dataclasses.replace(tiny_config(), health=health), folder, stop_requested=stop_after(3))
    (line,) = notes(folder)
    lam = read_lines(folder / "metrics.jsonl")[0]["lam"]
    assert line == (
        f"lam is {lam:.4g} at step {WARMUP + EPOCH}, beyond lam_bound 0.1: "
        "the limit may be out of reach"
    )


def test_values_and_parts_have_bounds_too():
    health = HealthConfig(lam_bound=2.0, value_bound=10.0)
    config = dataclasses.replace(tiny_config(), health=health)
    record = {"step": 5, "reward_value": -11.0, "risk/cost_low": 10.5, "lam/cost_low": 2.0}
    assert dict(diverging(record, config)) == {
        "reward_value": "reward_value is -11 at step 5, beyond value_bound 10: "
        "the reward critics diverge",
        "risk/cost_low": "risk/cost_low is 10.5 at step 5, beyond value_bound 10: "
        "the cost critics diverge",
    }


def test_a_final_evaluation_that_is_not_finite_is_one_clear_line(tmp_path, monkeypatch):
    def broken(*arguments, **named):
        return evaluate_checkpoint(*arguments, **named)._replace(return_mean=np.nan)

    monkeypatch.setattr("algd_jax.runs.final.evaluate_checkpoint", broken)
    folder = tmp_path / "run"
    with pytest.raises(RunError) as error:
        train(tiny_config(), folder)
    assert str(error.value) == (
        "the final evaluation is NaN or infinite; the last good policy, of step "
        f"{LAST_STEP}, is kept in {folder}/checkpoints/last"
    )
    assert not (folder / "evaluation.json").exists()


def test_restoring_needs_checkpoints(tmp_path):
    with pytest.raises(ConfigError, match="on_bad_number: got restore, allowed is restore only"):
        train(config_of("ProbeEnv", "restore"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_choice_is_kept_with_the_run(tmp_path):
    folder = tmp_path / "run"
    config = config_of("ProbeEnv", "skip-update")
    train(config, folder, stop_requested=stop_after(1))
    assert resumed_config(folder) == config
