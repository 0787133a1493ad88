import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.training.evaluation import evaluate
from tests.probes import ActionProbe, DiscountedProbe, ProbeEnv, TerminatingProbe


def constant_policy(obs):
    return jnp.array([0.5, 0.0])


def test_full_length_sums():
    episodes = evaluate(ActionProbe(episode_length=8), constant_policy, jax.random.key(0), 3)
    np.testing.assert_allclose(episodes.returns, [4.0] * 3)
    np.testing.assert_allclose(episodes.costs, [4.0] * 3)
    np.testing.assert_allclose(episodes.lengths, [8.0] * 3)


def test_costs_are_summed_as_the_limit_sums_them():
    episodes = evaluate(DiscountedProbe(), constant_policy, jax.random.key(0), 2)
    np.testing.assert_allclose(episodes.costs, 0.5 * sum(0.5**t for t in range(8)), rtol=1e-6)
    np.testing.assert_allclose(episodes.returns, 8.0)


def test_nothing_counts_after_termination():
    episodes = jax.jit(
        lambda key: evaluate(TerminatingProbe(episode_length=8), constant_policy, key, 2)
    )(jax.random.key(0))
    np.testing.assert_allclose(episodes.returns, [3.0] * 2)
    np.testing.assert_allclose(episodes.costs, [1.5] * 2)
    np.testing.assert_allclose(episodes.lengths, [3.0] * 2)


def test_episodes_differ_and_keys_repeat():
    class FirstObservation(ProbeEnv):
        def gains(self, obs, action, time):
            return obs[0], jnp.float32(0)

    first, again = (
        evaluate(FirstObservation(), constant_policy, jax.random.key(5), 4) for _ in range(2)
    )
    np.testing.assert_array_equal(first.returns, again.returns)
    assert len(np.unique(first.returns)) == 4
