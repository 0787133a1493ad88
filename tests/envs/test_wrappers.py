"""Time limit, sums and full resets of `EpisodeWrapper`."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax import envs
from algd_jax.envs import EnvSpec, SafetyEnv, State
from algd_jax.errors import ConfigError
from tests.envs.conftest import STEPS, N, Rollout


class CountingEnv(SafetyEnv):
    """Counts steps; terminates when the count, started at a random multiple of ten, hits `end`."""

    def __init__(self, end: int, episode_length: int):
        self.spec = EnvSpec("Counting", 1, 1, (-1.0,), (1.0,), episode_length, 1.0, 0.1)
        self._end = float(end)

    def reset(self, rng: jax.Array) -> State:
        count = 10.0 * jax.random.randint(rng, (), 1, 1000)
        zero = jnp.zeros(())
        return State((count, zero), count[None], zero, zero, {"cost": zero}, {"tag": zero})

    def step(self, state: State, action: jax.Array) -> State:
        self.check_action(action)
        count, age = state.pipeline_state
        count, age = count + 1.0, age + 1.0
        return state.replace(
            pipeline_state=(count, age),
            obs=count[None],
            reward=age,
            done=(age >= self._end).astype(jnp.float32),
            metrics={"cost": jnp.ones(())},
            info={"tag": state.info["tag"] + 1.0},
        )


def run(env: SafetyEnv, steps: int, n: int = 2, seed: int = 0, spread: bool = False) -> list[State]:
    wrapped = envs.EpisodeWrapper(env, spread=spread)
    state = wrapped.reset(jax.random.split(jax.random.key(seed), n))
    states, step = [state], jax.jit(wrapped.step)
    for _ in range(steps):
        states.append(step(states[-1], jnp.zeros((n, 1))))
    return states


def test_truncation_is_not_termination() -> None:
    truncated = run(CountingEnv(end=99, episode_length=3), 3)[-1]
    np.testing.assert_array_equal(truncated.done, 1.0)
    np.testing.assert_array_equal(truncated.info["truncation"], 1.0)
    terminated = run(CountingEnv(end=3, episode_length=3), 3)[-1]
    np.testing.assert_array_equal(terminated.done, 1.0)
    np.testing.assert_array_equal(terminated.info["truncation"], 0.0)


def test_sums_include_the_last_step_and_then_start_afresh() -> None:
    states = run(CountingEnv(end=3, episode_length=100), 5)
    info = [state.info for state in states]
    assert [float(i["episode_return"][0]) for i in info] == [0, 1, 3, 6, 1, 3]
    assert [float(i["episode_cost"][0]) for i in info] == [0, 1, 2, 3, 1, 2]
    assert [float(i["steps"][0]) for i in info] == [0, 1, 2, 3, 1, 2]
    assert [float(state.done[0]) for state in states] == [0, 0, 0, 1, 0, 0]


class StepCountingEnv(CountingEnv):
    """Has steps of its own in its info, as environments of other libraries do."""

    def reset(self, rng: jax.Array) -> State:
        state = super().reset(rng)
        return state.replace(info={**state.info, "steps": jnp.zeros(())})


def test_steps_are_those_of_the_ended_episode_whatever_the_environment_counts() -> None:
    states = run(StepCountingEnv(end=3, episode_length=100), 4)
    assert [float(state.info["steps"][0]) for state in states] == [0, 1, 2, 3, 1]


class CarelessEnv(CountingEnv):
    """Never says that it is not over, as an environment of nothing but time-outs may."""

    def step(self, state: State, action: jax.Array) -> State:
        return super().step(state, action).replace(done=state.done)


def test_a_new_episode_is_not_over_because_the_one_before_was() -> None:
    states = run(CarelessEnv(end=99, episode_length=3), 7)
    assert [float(state.done[0]) for state in states] == [0, 0, 0, 1, 0, 0, 1, 0]
    assert [float(state.info["truncation"][0]) for state in states[3::3]] == [1, 1]


class WrongSizeEnv(CountingEnv):
    def reset(self, rng: jax.Array) -> State:
        state = super().reset(rng)
        return state.replace(obs=jnp.tile(state.obs, 2))


class CostlessEnv(CountingEnv):
    def reset(self, rng: jax.Array) -> State:
        return super().reset(rng).replace(metrics={})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            WrongSizeEnv,
            r"^Counting: observation_size: got 1, but reset returns observations of shape \(2,\)$",
        ),
        (CostlessEnv, r"^Counting: reset returns no 'cost' in its metrics$"),
    ],
)
def test_an_environment_that_is_not_what_its_spec_says_is_refused(
    kind: type[CountingEnv], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(kind(end=9, episode_length=9), 0)


class BadRewardEnv(CountingEnv):
    """Reward and cost of the third step are NaN."""

    def step(self, state: State, action: jax.Array) -> State:
        after = super().step(state, action)
        bad = jnp.where(after.reward == 3, jnp.nan, 1.0)
        return after.replace(reward=bad, metrics={"cost": bad})


def test_a_bad_number_ends_with_its_episode() -> None:
    for state in run(BadRewardEnv(end=4, episode_length=100), 11):
        for name in ("episode_return", "episode_cost"):
            is_fine = np.isfinite(state.info[name])
            np.testing.assert_array_equal(is_fine, state.info["steps"] < 3)


def test_final_obs_is_the_observation_before_the_reset() -> None:
    states = run(CountingEnv(end=3, episode_length=100), 3)
    first, last = float(states[0].obs[0, 0]), states[-1]
    np.testing.assert_allclose(last.info["final_obs"][0, 0], first + 3)
    assert float(last.obs[0, 0]) % 10 == 0
    np.testing.assert_array_equal(states[2].info["final_obs"], states[2].obs)


def test_every_reset_is_new_and_complete() -> None:
    states = run(CountingEnv(end=2, episode_length=100), 8)
    starts = [float(state.obs[0, 0]) for state in states[::2]]
    assert len(set(starts)) == len(starts), "fresh keys give fresh starts"
    assert float(states[2].info["tag"][0]) == 0.0
    assert float(states[3].info["tag"][0]) == 1.0


def test_only_ended_environments_are_reset() -> None:
    wrapped = envs.EpisodeWrapper(CountingEnv(end=4, episode_length=100))
    state = wrapped.reset(jax.random.split(jax.random.key(0), 2))
    count, age = state.pipeline_state
    state = state.replace(pipeline_state=(count, age.at[0].set(3.0)))
    after = wrapped.step(state, jnp.zeros((2, 1)))
    np.testing.assert_array_equal(after.done, [1.0, 0.0])
    np.testing.assert_array_equal(after.pipeline_state[1], [0.0, 1.0])
    assert float(after.obs[1, 0]) == float(count[1]) + 1


def aged(wrapped: envs.EpisodeWrapper, seed: int, ages: Any) -> State:
    """A batch whose environments are that many steps into their episodes."""
    state = wrapped.reset(jax.random.split(jax.random.key(seed), len(ages)))
    return state.replace(pipeline_state=(state.pipeline_state[0], jnp.array(ages)))


class ResetCountingEnv(CountingEnv):
    """Notes each reset that is computed, whatever becomes of it."""

    def __init__(self, *arguments: int):
        super().__init__(*arguments)
        self.resets: list[int] = []

    def reset(self, rng: jax.Array) -> State:
        jax.debug.callback(lambda _: self.resets.append(1), jax.random.bits(jax.random.clone(rng)))
        return super().reset(rng)


@pytest.mark.parametrize(
    ("ended", "resets"), [([], 0), ([5], 2), ([0, 31], 2), ([1, 2, 30], 4), (range(32), 32)]
)
def test_a_step_resets_as_many_as_ended(ended: Any, resets: int) -> None:
    """To whole chunks, which hold a sixteenth of the environments."""
    env = ResetCountingEnv(4, 100)
    wrapped, ages = envs.EpisodeWrapper(env), np.zeros(32, np.float32)
    ages[list(ended)] = 3
    before = aged(wrapped, 0, ages)
    jax.effects_barrier()
    env.resets.clear()
    after = jax.jit(wrapped.step)(before, jnp.zeros((32, 1)))
    jax.block_until_ready(after)
    jax.effects_barrier()
    assert len(env.resets) == resets
    keys = jax.vmap(jax.random.split)(before.info["reset_key"])
    fresh = jax.vmap(env.reset)(keys[:, 0])
    count, done = before.pipeline_state[0], np.isin(np.arange(32), list(ended))
    np.testing.assert_array_equal(after.obs[:, 0], np.where(done, fresh.obs[:, 0], count + 1))
    np.testing.assert_array_equal(after.info["tag"], np.where(done, 0, 1))
    data = jax.random.key_data
    expected = jnp.where(done[:, None], data(keys[:, 1]), data(before.info["reset_key"]))
    np.testing.assert_array_equal(data(after.info["reset_key"]), expected)


@pytest.mark.parametrize("batch_axes", [1, 2])
def test_members_of_a_population_reset_only_what_has_ended(batch_axes: int) -> None:
    env = ResetCountingEnv(4, 100)
    wrapped = envs.EpisodeWrapper(env)
    members = [aged(wrapped, 0, [1.0, 0.0]), aged(wrapped, 1, [0.0, 0.0])]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    step, alone = wrapped.step, jax.jit(wrapped.step)
    for _ in range(batch_axes):
        step = jax.vmap(step, in_axes=(0, None))  # An argument without the axis of members.
    for _ in range(batch_axes - 1):
        together = jax.tree.map(lambda leaf: leaf[None], together)
    step, actions = jax.jit(step), jnp.zeros((2, 1))
    counts = []
    for _ in range(6):
        env.resets.clear()
        together = step(together, actions)
        jax.block_until_ready(together)
        jax.effects_barrier()
        counts.append(len(env.resets))
        members = [alone(state, actions) for state in members]
        expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
        assert_same(
            jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[batch_axes:]), together),
            expected,
        )
        jax.effects_barrier()
    assert counts == [0, 0, 1, 3, 0, 0], "the first ends in step 3, the others in step 4"


def test_gradients_go_through_a_step() -> None:
    wrapped = envs.EpisodeWrapper(CountingEnv(end=4, episode_length=100))
    state = aged(wrapped, 0, [1.0, 3.0])

    def total_reward(ages: jax.Array) -> jax.Array:
        aged_state = state.replace(pipeline_state=(state.pipeline_state[0], ages))
        return jnp.sum(wrapped.step(aged_state, jnp.zeros((2, 1))).reward)

    gradient = jax.vmap(jax.grad(total_reward))(jnp.array([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(gradient, 1.0)


def assert_same(actual: State, expected: State) -> None:
    for left, right in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        is_key = jnp.issubdtype(left.dtype, jax.dtypes.prng_key)
        plain = jax.random.key_data if is_key else np.asarray
        np.testing.assert_array_equal(plain(left), plain(right))


def test_first_episodes_are_spread_over_all_lengths() -> None:
    n, length = 4_000, 5
    states = run(CountingEnv(end=99, episode_length=length), length + 1, n, spread=True)
    skipped = states[0].info["skipped_steps"]
    np.testing.assert_array_equal(states[0].info["steps"], skipped)
    # Five equal shares, to four standard deviations of a binomial draw.
    np.testing.assert_allclose(np.bincount(skipped.astype(int)), n / 5, atol=4 * (n * 0.16) ** 0.5)
    for steps, state in enumerate(states[1:], start=1):
        np.testing.assert_array_equal(state.done, (skipped + steps) % length == 0)
        in_first = skipped + steps <= length
        np.testing.assert_array_equal(state.info["skipped_steps"], np.where(in_first, skipped, 0))
        made = np.where(in_first, steps, skipped + steps - length)
        np.testing.assert_array_equal(state.info["episode_cost"], made)


class DiscountedCountingEnv(CountingEnv):
    def __init__(self, episode_length: int):
        super().__init__(99, episode_length)
        self.spec = dataclasses.replace(self.spec, cost_discount=0.5)


def test_costs_of_a_shortened_episode_are_discounted_from_its_start() -> None:
    states = run(DiscountedCountingEnv(4), 7, 64, spread=True)
    skipped = states[0].info["skipped_steps"]
    assert set(np.unique(skipped)) == {0, 1, 2, 3}
    for steps, state in enumerate(states[1:], start=1):
        made = np.where(skipped + steps <= 4, steps, (skipped + steps - 1) % 4 + 1)
        np.testing.assert_allclose(state.info["episode_cost"], 2 - 0.5 ** (made - 1.0))


def test_without_spreading_nothing_is_skipped() -> None:
    for state in run(CountingEnv(end=99, episode_length=3), 3):
        assert "skipped_steps" not in state.info


def test_info_of_the_caller_is_left_alone() -> None:
    wrapped = envs.EpisodeWrapper(CountingEnv(end=1, episode_length=1))
    state = wrapped.reset(jax.random.split(jax.random.key(0), 2))
    before = dict(state.info)
    wrapped.step(state, jnp.zeros((2, 1)))
    assert state.info.keys() == before.keys()
    for name, value in before.items():
        assert state.info[name] is value


def test_raw_keys_are_accepted() -> None:
    wrapped = envs.EpisodeWrapper(CountingEnv(end=1, episode_length=5))
    state = wrapped.reset(jax.random.split(jax.random.PRNGKey(0), 2))
    after = wrapped.step(state, jnp.zeros((2, 1)))
    assert after.info["reset_key"].shape == (2, 2)


def test_a_batch_takes_keys_and_actions_of_a_batch() -> None:
    wrapped = envs.EpisodeWrapper(CountingEnv(end=1, episode_length=5))
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        with pytest.raises(ValueError, match="Counting: rng is a single key, expected one per env"):
            wrapped.reset(key)
    state = wrapped.reset(jax.random.split(jax.random.key(0), 2))
    for shape in ((3, 1), (2, 2), (1,)):
        with pytest.raises(ValueError, match=r"Counting: action has shape .*, expected \(2, 1\)"):
            wrapped.step(state, jnp.zeros(shape))


@pytest.fixture(scope="module")
def full_episode(start: State, rollout: Rollout) -> tuple[State, State, State]:
    """First state, the 400th step and the 500th of random driving in PointButton1."""
    states = [start]
    for key in jax.random.split(jax.random.key(1), 5):
        actions = jax.random.uniform(key, (STEPS, N, 2), minval=-1.0)
        after = rollout(states[-1], actions)
        states.append(jax.tree.map(lambda leaf: leaf[-1], after))
    return start, states[4], states[5]


def test_navigation_episode_ends_at_400_and_starts_afresh(
    full_episode: tuple[State, State, State],
) -> None:
    first, last, beyond = full_episode
    np.testing.assert_array_equal(last.done, 1.0)
    np.testing.assert_array_equal(last.info["truncation"], 1.0)
    np.testing.assert_array_equal(last.info["steps"], 400)
    np.testing.assert_array_equal(beyond.info["steps"], STEPS)
    np.testing.assert_array_equal(beyond.done, 0.0)
    # The constant start again, all task state included; only the keys are new.
    np.testing.assert_allclose(last.obs, first.obs, atol=1e-6)
    fresh, again = first.pipeline_state, last.pipeline_state
    same = jax.tree.map(np.array_equal, fresh.replace(key=0), again.replace(key=0))
    assert all(jax.tree.leaves(same))
    assert not np.array_equal(jax.random.key_data(fresh.key), jax.random.key_data(again.key))
    assert not np.allclose(last.info["final_obs"], last.obs)


def test_random_driving_stays_finite(full_episode: tuple[State, State, State]) -> None:
    for state in full_episode:
        assert np.isfinite(state.obs).all()
        assert np.isfinite(state.info["final_obs"]).all()
        assert np.isfinite(state.reward).all()
