"""`with_cost`: other people's environments and a cost function."""

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from algd_jax.envs import EpisodeWrapper, SafetyEnv
from algd_jax.envs.adapters import GymnasiumEnv, with_cost
from algd_jax.errors import ConfigError


@struct.dataclass
class PlaygroundState:
    """The fields of `mujoco_playground.State`."""

    data: jax.Array
    obs: dict[str, jax.Array] | jax.Array
    reward: jax.Array
    done: jax.Array
    metrics: dict[str, jax.Array]
    info: dict[str, jax.Array]


class PlaygroundStandIn:
    """A slider on a line, on the interface of `mujoco_playground.MjxEnv` (it is no dependency).

    Observations are a dict; the task's memory lives in `info`; `done` beyond 1 m.
    """

    dt = 0.02
    action_size = 1

    def reset(self, rng: jax.Array) -> PlaygroundState:
        position = jax.random.uniform(rng, (), minval=-0.1, maxval=0.1)
        zero = jnp.zeros(())
        return self._state(position, zero, {"reward/speed": zero}, {"age": zero})

    def step(self, state: PlaygroundState, action: jax.Array) -> PlaygroundState:
        position = state.data + action[0]
        metrics = {"reward/speed": action[0]}
        return self._state(position, action[0], metrics, {"age": state.info["age"] + 1})

    def _state(self, position, reward, metrics, info):
        obs = {"state": position[None], "pixels": jnp.zeros((2, 2, 3))}
        return PlaygroundState(position, obs, reward, jnp.abs(position) > 1.0, metrics, info)


class FlatStandIn(PlaygroundStandIn):
    """The same with one observation array, and no dt."""

    dt = None

    def _state(self, *fields):
        state = super()._state(*fields)
        return state.replace(obs=state.obs["state"])


def pushed(state, action, next_state):
    return jnp.abs(next_state.data - state.data)


def parts(state, action, next_state):
    return {"push": action[0], "far": next_state.data > 0.5}


def slider(cost=pushed, env=None, **options) -> SafetyEnv:
    required = {"name": "Slider", "cost_limit": 3.0, "episode_length": 5, "obs_key": "state"}
    return with_cost(env or PlaygroundStandIn(), cost, **{**required, **options})


def roll(env: SafetyEnv, action: float, steps: int):
    batch = EpisodeWrapper(env)
    states, step = [batch.reset(jax.random.split(jax.random.key(0), 2))], jax.jit(batch.step)
    for _ in range(steps):
        states.append(step(states[-1], jnp.full((2, 1), action)))
    return states


def test_specification() -> None:
    spec = slider(parts, action_low=-2.0, action_high=0.5).spec
    assert (spec.name, spec.observation_size, spec.action_size) == ("Slider", 1, 1)
    assert (spec.action_low, spec.action_high) == ((-2.0,), (0.5,))
    assert (spec.episode_length, spec.cost_limit, spec.control_period) == (5, 3.0, 0.02)
    assert spec.cost_names == ("far", "push")
    assert slider().spec.cost_names == ()


def test_costs_metrics_and_termination() -> None:
    states = roll(slider(parts), action=0.4, steps=3)
    costs = [state.metrics for state in states]
    np.testing.assert_allclose([cost["push"][0] for cost in costs], [0, 0.4, 0.4, 0.4], atol=1e-6)
    assert float(costs[3]["far"][0]) == 1.0
    np.testing.assert_allclose(costs[3]["cost"], costs[3]["push"] + costs[3]["far"])
    np.testing.assert_allclose(costs[3]["reward/speed"], 0.4)
    assert [float(state.done[0]) for state in states] == [0, 0, 0, 1]
    np.testing.assert_array_equal(states[3].info["truncation"], 0)


def test_a_reset_is_complete() -> None:
    states = roll(slider(), action=0.0, steps=6)
    assert [float(state.pipeline_state.info["age"][0]) for state in states] == [0, 1, 2, 3, 4, 0, 1]
    np.testing.assert_array_equal(states[5].info["truncation"], 1)
    assert not np.array_equal(states[0].obs, states[5].obs)


def test_actions_are_clipped_and_checked() -> None:
    states = roll(slider(action_high=0.25), action=7.0, steps=1)
    np.testing.assert_allclose(states[1].metrics["cost"], 0.25, atol=1e-6)
    with pytest.raises(ValueError, match=r"Slider: action has shape \(2,\), expected \(1,\)"):
        jax.eval_shape(lambda: slider().step(slider().reset(jax.random.key(0)), jnp.zeros(2)))


@pytest.mark.parametrize("bad", [-1.0, jnp.nan, jnp.inf])
def test_invalid_costs_cannot_hide_in_a_sum(bad: float) -> None:
    env = GymnasiumEnv(slider(lambda *_: {"good": 5.0, "odd": bad}))
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="Slider: cost is negative, NaN or infinite"):
        env.step(np.zeros(1))


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (lambda *_: jnp.zeros(3), r"Slider: cost 'cost' has shape \(3,\), expected \(\)"),
        (lambda *_: {"a": jnp.zeros((1,))}, r"Slider: cost 'a' has shape \(1,\), expected \(\)"),
        (lambda *_: {}, "Slider: cost is an empty dict"),
        (lambda *_: None, "Slider: cost 'cost' is a NoneType, expected a number"),
        (lambda *_: {"a": "high"}, "Slider: cost 'a' is a str, expected a number"),
        (lambda *_: {1: 1.0}, "Slider: cost 1 has no name, expected a text"),
        (3.0, "Slider: cost is a float, expected a function"),
        (lambda *_: {"cost": 1.0, "b": 1.0}, "Slider: cost 'cost' has the name of the sum"),
        (lambda *_: {"reward/speed": 1.0}, "Slider: cost 'reward/speed' has the name of a metric"),
    ],
)
def test_wrong_cost_functions(cost, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        slider(cost)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"obs_key": None}, "obs_key of Slider: unknown name 'None'; allowed: pixels, state"),
        ({"obs_key": "stat"}, "obs_key of Slider: unknown name 'stat'.*did you mean 'state'"),
        ({"obs_key": "pixels"}, r"Slider: observation has shape \(2, 2, 3\), expected one axis"),
        ({"env": FlatStandIn()}, "Slider: control_period is missing"),
        ({"env": "cartpole"}, "Slider: env is a str and has no reset"),
        ({"cost_limit": -1.0}, "Slider: cost_limit: got -1.0, allowed is a number >= 0"),
        (
            {"episode_length": 0},
            "Slider: episode_length: got 0, allowed is an integer from 1 to 1000000",
        ),
        ({"action_low": 2.0}, r"Slider: action_high: got \(1.0,\), allowed is 1 finite numbers ab"),
        (
            {"env": FlatStandIn(), "control_period": 0.1},
            "Slider: obs_key: got 'state', but the observation is no dict",
        ),
    ],
)
def test_wrong_options(options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        slider(**options)


def test_a_brax_environment() -> None:
    bare = brax.envs.get_environment("fast")
    options = {"obs_key": None, "control_period": 0.02}
    env = slider(lambda state, action, after: after.obs[1], bare, **options)
    assert (env.spec.observation_size, env.spec.action_size) == (2, 1)
    states = roll(env, action=1.0, steps=2)
    np.testing.assert_allclose([state.metrics["cost"][0] for state in states], [0, 0.02, 0.04])
    limited = brax.envs.training.EpisodeWrapper(bare, 1000, 1)
    with pytest.raises(ConfigError, match="Slider: env has a time limit of its own"):
        slider(lambda *_: 0.0, limited, **options)


def test_a_playground_environment() -> None:
    """Only where MuJoCo Playground is installed."""
    suite = pytest.importorskip("mujoco_playground").dm_control_suite
    bare = suite.load("CartpoleBalance", config_overrides={"impl": "jax"})
    cost = lambda state, action, after: jnp.abs(after.data.qpos[0])  # noqa: E731
    env = GymnasiumEnv(slider(cost, bare, obs_key=None))
    obs, _ = env.reset(seed=0)
    assert obs.shape == (5,)
    assert env.step(np.ones(1))[-1]["cost"] > 0
