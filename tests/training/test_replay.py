import collections

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.training.replay import add, init_replay, sample


@hypothesis.given(capacity=st.integers(1, 12), counts=st.lists(st.integers(1, 12), max_size=8))
@hypothesis.settings(deadline=None, max_examples=40)
def test_ring_holds_exactly_the_newest_rows(capacity, counts):
    replay, model, following = init_replay({"x": jnp.int32(0)}, capacity), None, 0
    model = collections.deque(maxlen=capacity)
    for count in (min(count, capacity) for count in counts):
        rows = np.arange(following, following + count, dtype=np.int32)
        replay = add(replay, {"x": jnp.asarray(rows)})
        model.extend(rows.tolist())
        following += count
    assert int(replay.size) == len(model)
    assert sorted(np.asarray(replay.rows["x"])[: len(model)].tolist()) == sorted(model)


def test_adding_more_rows_than_it_holds_is_refused():
    with pytest.raises(ValueError, match="holds 2 rows, cannot add 3"):
        add(init_replay(jnp.zeros(()), 2), jnp.zeros(3))


def test_samples_are_uniform_over_filled_rows_only():
    replay = add(init_replay(jnp.float32(0), 100), jnp.arange(1.0, 11.0))
    drawn = np.asarray(jax.jit(sample, static_argnums=2)(replay, jax.random.key(0), (50, 400)))
    assert drawn.shape == (50, 400)
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(1.0, 11.0))
    # 20,000 draws over 10 rows: 2,000 each, standard deviation 42.
    assert np.abs(counts - 2_000).max() < 5 * 42


def test_rows_of_one_sample_belong_together():
    rows = {"a": jnp.arange(8.0), "b": -jnp.arange(8.0)}
    drawn = sample(add(init_replay({"a": 0.0, "b": 0.0}, 8), rows), jax.random.key(1), (64,))
    np.testing.assert_array_equal(drawn["a"], -drawn["b"])
