import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.training.evaluation import run_episode
from algd_jax.training.rollout import rollout
from tests.probes import ActionProbe, PartsProbe, TerminatingProbe


def always(value):
    return lambda obs, key: jnp.full(2, value)


def test_an_episode_is_kept_from_its_start_to_its_time_limit():
    kept = rollout(PartsProbe(episode_length=5), always(0.0), jax.random.key(0), jax.random.key(1))
    np.testing.assert_array_equal(kept.states["time"], np.arange(6))
    np.testing.assert_array_equal(kept.rewards, np.ones(5))
    np.testing.assert_array_equal(kept.metrics["cost"], np.full(5, 1.25))
    np.testing.assert_array_equal(kept.metrics["cost_low"], np.full(5, 0.25))
    assert kept.length == 5


def test_length_counts_up_to_termination():
    kept = rollout(TerminatingProbe(), always(0.0), jax.random.key(0), jax.random.key(1))
    assert kept.length == 3


def test_it_is_the_episode_that_evaluation_sums():
    """The probe's observations, and so these actions and rewards, depend on the reset's key."""
    env, key = ActionProbe(), jax.random.key(7)
    kept = rollout(env, lambda obs, _: obs, key, jax.random.key(1))
    summed = run_episode(env, lambda obs: obs, key)
    assert kept.rewards.sum() == pytest.approx(float(summed.returns), rel=1e-6)
    assert kept.metrics["cost"].sum() == pytest.approx(float(summed.costs), rel=1e-6)


def test_every_step_draws_with_a_key_of_its_own():
    def draw(obs, key):
        return jax.random.uniform(key, (2,))

    kept = rollout(ActionProbe(), draw, jax.random.key(0), jax.random.key(1))
    assert len(np.unique(kept.rewards)) == 8
