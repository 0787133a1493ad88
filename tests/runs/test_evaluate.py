import jax
import numpy as np
import pytest

from algd_jax.runs.evaluate import mean_interval, run_episodes, summarize
from algd_jax.training.evaluation import Episodes
from tests.runs.support import tiny_config


def episodes(returns, costs):
    returns, costs = np.float32(returns), np.float32(costs)
    return Episodes(returns=returns, costs=costs, lengths=np.full_like(returns, 8))


def test_summary_by_hand():
    outcome = episodes([1, 2, 3], [0, 2, 4])
    summary = summarize(tiny_config(cost_limit=2.0), outcome, 7, "best", 3)
    assert summary.figures() == {
        "env": "ActionProbe",
        "episodes": 3,
        "return_mean": 2.0,
        "return_std": 1.0,
        "cost_mean": 2.0,
        "cost_std": 2.0,
        "cost_limit": 2.0,
        "within_limit": pytest.approx(2 / 3),
        "feasible": True,
        "step": 7,
    }


def test_interval_is_the_t_interval():
    # Table value t(0.975, 2) = 4.3027; standard error 1 / sqrt(3).
    low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert mean_interval(np.array([5.0, 5.0])) == (5.0, 5.0)
    assert mean_interval(np.array([5.0])) is None


def test_one_episode_has_no_spread():
    summary = summarize(tiny_config(), episodes([1], [3]), 7, "last", 0)
    assert (summary.return_std, summary.cost_std, summary.cost_interval) == (0.0, 0.0, None)
    assert not summary.feasible


def test_batches_have_keys_of_their_own_and_are_cut_to_the_count():
    seen = []

    def batch(agent, key, hyper):
        seen.append(tuple(np.asarray(jax.random.key_data(key))))
        return episodes([len(seen)] * 2, [0, 0])

    outcome = run_episodes(batch, None, jax.random.key(0), None, 5)
    np.testing.assert_array_equal(outcome.returns, [1, 1, 2, 2, 3])
    assert len(set(seen)) == 3
