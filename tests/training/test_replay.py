"""Replay against an independent model: a list of rows for each environment."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import algd_jax.training.replay as module
from algd_jax.training.replay import add, init_replay, sample
from algd_jax.types import Transition
from tests.runs.support import assert_equal_trees

add_jitted, sample_jitted = jax.jit(add), jax.jit(sample, static_argnums=2)


def example(cost_shape=()):
    scalar, obs = jnp.float32(0), jnp.zeros(2)
    return Transition(obs, jnp.zeros(1), scalar, jnp.zeros(cost_shape), obs, scalar, scalar)


class Stream:
    """Transitions of N environments; each observation (serial number, environment) occurs once.

    All other fields follow from the observation, so a mixture of two transitions betrays itself.
    """

    def __init__(self, environments, cost_shape=()):
        self.serial, self.cost_shape = 0, cost_shape
        self.obs = np.stack([self._observe(n) for n in range(environments)])

    def step(self, ended):
        """The transitions [N, …] of a step; ``ended`` [N] says which end their episode."""
        obs = self.obs
        next_obs = np.stack([self._observe(n) for n in range(len(ended))])
        fresh = np.stack([self._observe(n) for n in range(len(ended))])
        self.obs = np.where(np.asarray(ended)[:, None], fresh, next_obs)
        return implied(obs, next_obs, self.cost_shape)

    def _observe(self, environment):
        self.serial += 1
        return np.array([self.serial, environment], np.float32)


def implied(obs, next_obs, cost_shape):
    serial = obs[..., 0]
    cost = serial.reshape(*serial.shape, *(1,) * len(cost_shape)) + np.zeros(cost_shape)
    return Transition(
        obs=obs,
        action=serial[..., None] / 2,
        reward=-serial,
        cost=cost.astype(np.float32),
        next_obs=next_obs,
        terminated=serial % 2,
        cost_terminated=serial % 3,
    )


class Model:
    """N rings of R rows as lists of (obs, next_obs), with None after an episode's end."""

    def __init__(self, environments, capacity):
        self.length = capacity // environments
        self.rows = [[] for _ in range(environments)]

    def add(self, transitions, ended):
        for rows, obs, next_obs, end in zip(
            self.rows, transitions.obs, transitions.next_obs, ended, strict=True
        ):
            rows += [(*obs, *next_obs)] + [None] * bool(end)

    def stored(self):
        """All transitions: of the newest R rows, of which the next one to write may be in use."""
        kept = []
        for rows in self.rows:
            used = rows if rows[-1] is None else [*rows, None]
            kept += [row for row in used[-self.length :] if row is not None]
        return sorted(kept)


def fill(ends, capacity, cost_shape=()):
    """(replay, model) after the steps whose ends [steps, N] are given."""
    environments = len(ends[0])
    replay = init_replay(example(cost_shape), environments, capacity)
    model, stream = Model(environments, capacity), Stream(environments, cost_shape)
    for ended in ends:
        transitions = stream.step(ended)
        replay = add_jitted(replay, transitions, jnp.asarray(ended))
        model.add(transitions, ended)
    return replay, model


def contents(replay):
    """All transitions a replay holds, in the model's form."""
    by_ring = [
        np.asarray(x).reshape(replay.position.size, -1, *x.shape[1:])
        for x in (replay.rows.obs, replay.starts)
    ]
    obs, starts = by_ring
    pairs = np.concatenate([obs, np.roll(obs, -1, axis=1)], axis=-1)
    return sorted(map(tuple, pairs[starts]))


def pairs_of(drawn):
    """Sampled transitions in the model's form."""
    pairs = np.concatenate([drawn.obs, drawn.next_obs], axis=-1)
    return [tuple(pair) for pair in pairs.reshape(-1, 4)]


def random_ends(steps, environments, probability, seed=0):
    return np.random.default_rng(seed).random((steps, environments)) < probability


@st.composite
def streams(draw):
    """(ends [steps, N], capacity): few or many ends, up to many times around the ring."""
    environments = draw(st.sampled_from([1, 3]))
    capacity = draw(st.sampled_from([2, 3, 7])) * environments + draw(
        st.integers(0, environments - 1)
    )
    steps = draw(st.integers(1, 40))
    ended = st.integers(0, 9).map(lambda x: x < threshold)
    threshold = draw(st.sampled_from([0, 1, 5, 9, 10]))
    row = st.lists(ended, min_size=environments, max_size=environments)
    return draw(st.lists(row, min_size=steps, max_size=steps)), capacity


@hypothesis.given(streams(), st.sampled_from([(), (2,)]))
@hypothesis.settings(deadline=None, max_examples=60)
def test_holds_and_draws_exactly_what_the_model_holds(stream, cost_shape):
    replay, model = fill(*stream, cost_shape)
    stored = model.stored()
    assert contents(replay) == stored
    drawn = sample_jitted(replay, jax.random.key(len(stream[0])), (64,))
    assert set(pairs_of(drawn)) <= set(stored)
    expected = implied(np.asarray(drawn.obs), np.asarray(drawn.next_obs), cost_shape)
    assert_equal_trees(jax.tree.map(np.asarray, drawn), expected)


@hypothesis.given(streams())
@hypothesis.settings(deadline=None, max_examples=60)
def test_the_share_of_rows_that_start_nothing_is_bounded(stream):
    """The bound behind the claim about how rarely all candidates fail."""
    replay, _ = fill(*stream)
    length = replay.starts.size // replay.position.size
    drawn_from, starting = replay.position.size * int(replay.filled), int(replay.starts.sum())
    assert 2 * length * (drawn_from - starting) <= (length + 1) * drawn_from


@pytest.mark.parametrize("steps", [20, 200], ids=["partly filled", "wrapped"])
def test_samples_are_uniform_over_the_stored_transitions(steps):
    replay, model = fill(random_ends(steps, 3, 0.1), 90)
    drawn = sample_jitted(replay, jax.random.key(0), (500, 80))
    assert drawn.obs.shape == (500, 80, 2)
    stored = model.stored()
    counts = dict.fromkeys(stored, 0)
    for pair in pairs_of(drawn):
        counts[pair] += 1
    assert len(stored) > 50
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_where_every_candidate_fails_the_newest_transition_stands_in(monkeypatch):
    """With one candidate and episodes of one step it fails for half the rows."""
    monkeypatch.setattr(module, "CANDIDATES", 1)
    replay, model = fill(np.ones((25, 2), bool), 20)
    drawn = sample(replay, jax.random.key(0), (8_000,))
    stored, pairs = model.stored(), pairs_of(drawn)
    newest = {max(p for p in stored if p[1] == n) for n in (0, 1)}
    assert set(pairs) == set(stored)
    # 10 transitions and 10 other rows: a tenth of the draws for the two newest, and the other half.
    assert len(stored) == 10
    share = np.mean([pair in newest for pair in pairs])
    assert abs(share - 0.6) < 4 * np.sqrt(0.6 * 0.4 / 8_000)


def test_plain_jitted_and_vmapped_agree():
    members = [fill(random_ends(steps, 2, 0.3, seed=steps), 11)[0] for steps in (4, 17)]
    transitions = [Stream(2).step([True, False]) for _ in members]
    ended = jnp.array([True, False])
    keys = jax.random.split(jax.random.key(1), 2)

    def add_and_sample(replay, transitions, key):
        replay = add(replay, transitions, ended)
        return replay, sample(replay, key, (3, 5))

    plain = [add_and_sample(*each) for each in zip(members, transitions, keys, strict=True)]
    stack = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)  # noqa: E731
    together = jax.jit(jax.vmap(add_and_sample))(stack(members), stack(transitions), keys)
    assert_equal_trees(together, stack(plain))


def test_capacity_is_shared_out_evenly_and_an_observation_is_stored_once():
    replay = init_replay(example((3,)), environments=4, capacity=23)
    assert jax.tree.map(jnp.shape, replay.rows) == Transition(
        obs=(20, 2),
        action=(20, 1),
        reward=(20,),
        cost=(20, 3),
        next_obs=None,
        terminated=(20,),
        cost_terminated=(20,),
    )


def test_less_than_two_rows_for_an_environment_are_refused():
    with pytest.raises(ValueError, match="7 rows are less than 2 for each of 4 environments"):
        init_replay(example(), environments=4, capacity=7)
