"""Any `SafetyEnv` as a Gymnasium environment, one at a time or as a batch.

NumPy in and out, float32. Physics and resets stay jitted, and one transfer per step brings what the
caller sees to the host. Unlike code inside jit, these classes can raise, and do for what is wrong:

  ValueError    an action of the wrong shape, or with NaN or infinity; an unknown reset option.
  RuntimeError  a set flag (see `FLAGS`), a number that is not finite, or a negative cost.

Each message names the environment and the field.
"""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from algd_jax.envs.base import FLAGS, INVALID_COST, EnvSpec, SafetyEnv, State
from algd_jax.envs.registry import list_envs, make
from algd_jax.envs.wrappers import EpisodeWrapper
from algd_jax.errors import ConfigError

__all__ = [
    "GymnasiumEnv",
    "GymnasiumVectorEnv",
    "SafetyGymnasiumEnv",
    "SafetyGymnasiumVectorEnv",
    "register_gymnasium",
]

_INFO = ("truncation", "final_obs", *FLAGS)
"""What of `state.info` goes to the host."""

Info = dict[str, Any]
Step = tuple[np.ndarray, float, bool, bool, Info]
VectorStep = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]


class GymnasiumEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment as a `gymnasium.Env`.

    `step` returns observation [O], reward, terminated, truncated (the time limit, when nothing
    terminated) and info, which holds `cost` and every other metric of the step as a float.

    Args:
      env: an environment, or a name that `algd_jax.envs.make` takes.
      **options: of `make`, with a name.

    Raises:
      ConfigError: for an unknown name or option.
    """

    metadata: Info = {"render_modes": []}  # noqa: RUF012

    def __init__(self, env: SafetyEnv | str, **options: Any):
        self.safety_env = _resolve(env, options)
        self.observation_space = _observation_space(self.safety_env.spec)
        self.action_space = _action_space(self.safety_env.spec)
        self._reset = jax.jit(self.safety_env.reset)
        self._step = jax.jit(self.safety_env.step)
        self._state: State | None = None
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Starts an episode; with a seed a reproducible one, without the next of the stream."""
        super().reset(seed=seed)
        spec = self.safety_env.spec
        _refuse_options(spec, options)
        self._state, self._steps = self._reset(_draw_key(self.np_random)), 0
        return _to_host(spec, self._state).obs, {}

    def step(self, action: np.ndarray) -> Step:
        spec = self.safety_env.spec
        action = _checked_action(spec, action, self.action_space)
        self._state = self._step(_started(spec, self._state), action)
        self._steps += 1
        after = _to_host(spec, self._state)
        terminated = bool(after.done)
        truncated = not terminated and self._steps >= spec.episode_length
        info = {name: float(value) for name, value in after.metrics.items()}
        return after.obs, float(after.reward), terminated, truncated, info


class GymnasiumVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N environments, stepped in one jitted call, as a `gymnasium.vector.VectorEnv`.

    An environment that ends is reset in the same step (`AutoresetMode.SAME_STEP`): its row of the
    observation is the first of the next episode, and `info["final_obs"]`, `info["final_info"]` and
    their masks hold the last of the old one. Rewards, flags and the metrics in `info`, `cost` among
    them, are always those of the step just made, in every row, so that sums over steps are right.

    Args:
      env: an environment, or a name that `algd_jax.envs.make` takes.
      num_envs: N.
      **options: of `make`, with a name.

    Raises:
      ConfigError: for an unknown name or option, or fewer than one environment.
    """

    metadata: Info = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, env: SafetyEnv | str, num_envs: int = 1, **options: Any):
        if not isinstance(num_envs, int) or isinstance(num_envs, bool) or num_envs < 1:
            raise ConfigError(f"num_envs: got {num_envs!r}, allowed is an integer >= 1")
        self.safety_env = _resolve(env, options)
        self.num_envs = num_envs
        self.single_observation_space = _observation_space(self.safety_env.spec)
        self.single_action_space = _action_space(self.safety_env.spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        batch = EpisodeWrapper(self.safety_env)
        self._reset, self._step = jax.jit(batch.reset), jax.jit(batch.step)
        self._state: State | None = None

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Starts N episodes; with a seed reproducible ones, without the next of the stream."""
        super().reset(seed=seed)
        spec = self.safety_env.spec
        _refuse_options(spec, options)
        self._state = self._reset(jax.random.split(_draw_key(self.np_random), self.num_envs))
        return _to_host(spec, self._state).obs, {}

    def step(self, actions: np.ndarray) -> VectorStep:
        spec = self.safety_env.spec
        actions = _checked_action(spec, actions, self.action_space)
        self._state = self._step(_started(spec, self._state), actions)
        after = _to_host(spec, self._state)
        ended, truncated = after.done > 0, after.info["truncation"] > 0
        return after.obs, after.reward, ended & ~truncated, truncated, self._info(after, ended)

    def _info(self, after: State, ended: np.ndarray) -> Info:
        """Metrics of all rows, and what was last seen of the episodes that ended."""
        info = dict(after.metrics)
        info |= {f"_{name}": np.ones(self.num_envs, bool) for name in after.metrics}
        for row in np.flatnonzero(ended):
            metrics = {name: value[row] for name, value in after.metrics.items()}
            final = {"final_obs": after.info["final_obs"][row], "final_info": metrics}
            info = self._add_info(info, final, int(row))
        return info


class _CostReturned:
    """`step` as in Safety-Gymnasium: six values, the cost after the reward.

    `info` has two more names of Safety-Gymnasium: `cost_sum` for `cost`, and in the batch
    `final_observation` for `final_obs`.
    """

    def step(self, action: np.ndarray) -> tuple:
        obs, reward, terminated, truncated, info = super().step(action)  # type: ignore[misc]
        for theirs, ours in (("cost_sum", "cost"), ("final_observation", "final_obs")):
            for prefix in ("", "_"):  # A batch has a mask with every entry.
                if prefix + ours in info:
                    info[prefix + theirs] = info[prefix + ours]
        return obs, reward, info["cost"], terminated, truncated, info


class SafetyGymnasiumEnv(_CostReturned, GymnasiumEnv):
    """`GymnasiumEnv` whose `step` returns six values, the cost after the reward."""


class SafetyGymnasiumVectorEnv(_CostReturned, GymnasiumVectorEnv):
    """`GymnasiumVectorEnv` whose `step` returns six values, the cost [N] after the reward."""


def register_gymnasium() -> None:
    """Makes every name of `algd_jax.envs.list_envs()` known to `gymnasium.make` as `algd/NAME`.

    `gymnasium.make` then gives a `GymnasiumEnv`, `gymnasium.make_vec` a `GymnasiumVectorEnv`.
    """
    for name in list_envs():
        if f"algd/{name}" not in gymnasium.registry:
            gymnasium.register(
                f"algd/{name}",
                entry_point=f"{__name__}:GymnasiumEnv",
                vector_entry_point=f"{__name__}:GymnasiumVectorEnv",
                kwargs={"env": name},
            )


def _resolve(env: SafetyEnv | str, options: Info) -> SafetyEnv:
    if isinstance(env, str):
        return make(env, **options)
    if not isinstance(env, SafetyEnv):
        raise ConfigError(f"env: got {env!r}, allowed is a name or a SafetyEnv")
    if options:
        raise ConfigError(f"{env.spec.name}: options go with a name, got {', '.join(options)}")
    return env


def _observation_space(spec: EnvSpec) -> Box:
    return Box(-np.inf, np.inf, (spec.observation_size,), np.float32)


def _action_space(spec: EnvSpec) -> Box:
    low, high = (np.array(bound, np.float32) for bound in (spec.action_low, spec.action_high))
    return Box(low, high, dtype=np.float32)


def _draw_key(generator: np.random.Generator) -> jax.Array:
    """The next key of the stream that Gymnasium seeds."""
    return jax.random.key(int(generator.integers(2**32)))


def _refuse_options(spec: EnvSpec, options: Info | None) -> None:
    if options:
        raise ValueError(f"{spec.name}: options: unknown name {next(iter(options))!r}")


def _started(spec: EnvSpec, state: State | None) -> State:
    if state is None:
        raise gymnasium.error.ResetNeeded(f"{spec.name}: call reset before step")
    return state


def _checked_action(spec: EnvSpec, action: np.ndarray, space: gymnasium.Space) -> np.ndarray:
    """The action as float32. Out of range is no mistake: the environment clips."""
    try:
        action = np.asarray(action, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{spec.name}: action is not an array of numbers") from error
    if action.shape != space.shape:
        raise ValueError(f"{spec.name}: action has shape {action.shape}, expected {space.shape}")
    if not np.all(np.isfinite(action)):
        raise ValueError(f"{spec.name}: action is NaN or infinite")
    return action


def _to_host(spec: EnvSpec, state: State) -> State:
    """What the caller sees of a state, as NumPy arrays of its own.

    Raises:
      RuntimeError: if something in it is wrong.
    """
    info = {name: state.info[name] for name in _INFO if name in state.info}
    seen = jax.device_get(state.replace(pipeline_state=None, info=info))
    seen = jax.tree.map(np.array, seen)  # What JAX gives may not be written to.
    costs = {name: seen.metrics[name] for name in ("cost", *spec.cost_names)}
    numbers = {"obs": seen.obs, "reward": seen.reward, **seen.info}
    problems = [
        *((flag, FLAGS[flag], seen.info[flag] == 0) for flag in FLAGS if flag in seen.info),
        *((name, "is NaN or infinite", np.isfinite(value)) for name, value in numbers.items()),
        *((name, INVALID_COST, np.isfinite(cost) & (cost >= 0)) for name, cost in costs.items()),
    ]
    for name, problem, fine in problems:
        if not np.all(fine):
            raise RuntimeError(f"{spec.name}: {name} {problem}")
    return seen
