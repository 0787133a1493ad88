"""Multi-step sums against a slow loop in float64, alone and drawn from replay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.training.n_step import multi_step
from algd_jax.training.replay import add, init_replay, sample_multi_step
from algd_jax.types import Transition

N = 5


def slow(gains, ends, follows, discount):
    """(total, bootstrap weight, steps) step by step, in float64."""
    total, weight = np.zeros(np.shape(gains[0])), 1.0
    for i in range(len(gains)):
        if i and not follows[i]:
            return total, weight, i
        total = total + weight * np.asarray(gains[i], np.float64)
        weight *= discount
        if ends[i]:
            return total, 0.0, i + 1
    return total, weight, len(gains)


@pytest.mark.parametrize("constraints", [(), (3,)], ids=["one", "several"])
def test_equals_the_slow_loop(constraints):
    generator = np.random.default_rng(0)
    compiled = jax.jit(jax.vmap(multi_step, in_axes=(0, 0, 0, None)))
    gains = generator.normal(size=(200, N, *constraints)).astype(np.float32)
    ends = (generator.random((200, N)) < 0.15).astype(np.float32)
    follows = generator.random((200, N)) < 0.85
    found = compiled(gains, ends, follows, 0.9)
    for i in range(200):
        total, bootstrap, steps = slow(gains[i], ends[i], follows[i], 0.9)
        np.testing.assert_allclose(found.total[i], total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.bootstrap[i], bootstrap, rtol=1e-6)
        assert found.steps[i] == steps


def test_one_step_is_the_gain_itself():
    found = multi_step(jnp.array([3.0]), jnp.array([0.0]), jnp.array([True]), 0.9)
    assert (float(found.total), int(found.steps)) == (3.0, 1)
    assert float(found.bootstrap) == pytest.approx(0.9)


class Recorder:
    """Two environments that number their steps, and their transitions as a plain list."""

    def __init__(self, rows):
        example = Transition(
            jnp.zeros(1), jnp.zeros(1), *jnp.zeros((2,)), jnp.zeros(1), *jnp.zeros(2)
        )
        self.replay = init_replay(example, 2, rows)
        self.episodes = [[[]], [[]]]

    def step(self, numbers, nexts, terminated, goal, timeout):
        ends = np.maximum(terminated, timeout)
        made = Transition(
            obs=jnp.array(numbers)[:, None],
            action=jnp.zeros((2, 1)),
            reward=jnp.array(numbers),
            cost=jnp.array(numbers) * 10.0,
            next_obs=jnp.array(nexts)[:, None],
            terminated=jnp.array(np.maximum(terminated, goal), jnp.float32),
            cost_terminated=jnp.array(terminated, jnp.float32),
        )
        self.replay = add(self.replay, made, jnp.array(ends) > 0)
        for env in range(2):
            row = jax.tree.map(lambda leaf, env=env: np.asarray(leaf[env]), made)
            self.episodes[env][-1].append(row)
            if ends[env]:
                self.episodes[env].append([])


def test_sums_from_replay_end_with_episodes_and_values():
    """Terminations, time limits, goals and the write head, against episodes kept as lists."""
    generator, recorder, number = np.random.default_rng(1), Recorder(100), 1.0
    for _ in range(80):  # More than a ring holds: the oldest steps are overwritten.
        numbers = [number, number + 1000.0]
        flags = [(generator.random(2) < share).astype(np.float32) for share in (0.04, 0.1, 0.04)]
        terminated, goal, timeout = flags
        ends = np.maximum(terminated, timeout) > 0
        nexts = [n + (0.5 if end else 1.0) for n, end in zip(numbers, ends, strict=True)]
        recorder.step(numbers, nexts, terminated, goal, timeout)
        number += 1.0
    steps = {}
    for episodes in recorder.episodes:
        for episode in episodes:
            for i, row in enumerate(episode):
                steps[float(row.obs[0])] = episode[i : i + N]
    drawn = sample_multi_step(recorder.replay, jax.random.key(0), (4, 100), N, 0.9, 0.8)
    rows = [
        jax.tree.map(lambda leaf, i=i: leaf.reshape(400, *leaf.shape[2:])[i], drawn)
        for i in range(400)
    ]
    seen = set()
    for row in rows:
        following = steps[float(row.obs[0])]
        truth = {}
        for name, ends, discount in (
            ("reward", "terminated", 0.9),
            ("cost", "cost_terminated", 0.8),
        ):
            gains = [getattr(one, name) for one in following]
            stops = [getattr(one, ends) for one in following]
            truth[name] = slow(gains, stops, [True] * len(gains), discount)
        np.testing.assert_allclose(row.reward, truth["reward"][0], rtol=1e-5)
        np.testing.assert_allclose(row.cost, truth["cost"][0], rtol=1e-5)
        np.testing.assert_allclose(row.bootstrap, truth["reward"][1], rtol=1e-5)
        np.testing.assert_allclose(row.cost_bootstrap, truth["cost"][1], rtol=1e-5)
        assert float(row.next_obs[0]) == float(following[truth["cost"][2] - 1].next_obs[0])
        seen.add((truth["reward"][2], truth["cost"][2]))
    assert len(seen) > N  # Whole sums, sums cut short by an end, and by a goal for reward alone.
