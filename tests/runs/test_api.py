"""Runs from Python."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import algd_jax
from algd_jax.errors import ConfigError
from algd_jax.runs import evaluate
from algd_jax.training.evaluation import evaluate_agent
from tests.runs.support import EPOCHS, LAST_STEP, read_lines, tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return algd_jax.train(tiny_config(cost_limit=1000.0), tmp_path_factory.mktemp("api") / "run")


def test_a_loaded_run_is_the_trained_one(run):
    assert algd_jax.Run.load(run.path) == run
    assert run.config == tiny_config(cost_limit=1000.0)


def test_metrics_are_a_frame_of_the_log(run):
    frame = run.metrics
    assert len(frame) == EPOCHS
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert records == read_lines(run.path / "metrics.jsonl")


def test_evaluate_repeats_the_final_evaluation(run):
    assert run.evaluate().figures().items() <= run.evaluation.items()
    assert run.evaluate(episodes=3, which="last").step == LAST_STEP


def test_evaluations_of_one_run_compile_once(run, monkeypatch):
    traced = []

    def counted(*arguments):
        traced.append(1)
        return evaluate_agent(*arguments)

    monkeypatch.setattr(evaluate, "evaluate_agent", counted)
    again = algd_jax.Run.load(run.path)
    first = again.evaluate(seed=1)
    assert again.evaluate(seed=1) == first
    assert again.evaluate(episodes=3, which="last").seed == run.config.seed
    assert len(traced) == 1
    with pytest.raises(
        ConfigError, match="episodes: got 0, allowed is an integer from 1 to 100000"
    ):
        again.evaluate(0)


def test_the_policy_takes_any_leading_axes(run):
    obs = jax.random.normal(jax.random.key(0), (4, 3, 2))
    actions = run.policy(obs)
    assert actions.shape == (4, 3, 2)
    # A batch is another program, so to rounding.
    np.testing.assert_allclose(run.policy(obs[1, 2]), actions[1, 2], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(run.policy(np.asarray(obs)), actions)
    low, high = jnp.array([-1.0, -0.5]), jnp.array([1.0, 1.5])
    assert np.all((actions >= low) & (actions <= high))


def test_samples_differ_by_key_and_by_place(run):
    obs = jnp.zeros((5, 2))
    first, again = (run.policy.sample(obs, jax.random.key(0)) for _ in range(2))
    other = run.policy.sample(obs, jax.random.key(1))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first, other]), axis=0)) == 10
    assert run.policy.sample(obs[0], jax.random.key(0)).shape == (2,)


def test_best_and_last_are_policies_of_their_steps(run):
    confirmed = run.metrics.query(f"confirmed_bound <= {run.config.hyper.cost_limit}")
    best = confirmed.sort_values("confirmed_return").step.iloc[-1]
    assert run.policy.step == best
    assert run.load_policy("last").step == LAST_STEP


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no run directory"):
        algd_jax.Run.load(tmp_path)


def test_the_functions_alone_load_no_simulator():
    script = (
        "import sys, algd_jax; assert 'mujoco' not in sys.modules; "
        "assert 'pandas' not in sys.modules; algd_jax.train; assert 'mujoco' in sys.modules; "
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
