"""Batches of environments with a time limit and full resets."""

import jax
import jax.numpy as jnp
from brax.envs.base import Wrapper

from algd_jax.envs.base import EnvSpec, SafetyEnv, State
from algd_jax.errors import ConfigError

__all__ = ["EpisodeWrapper"]


@jax.custom_batching.custom_vmap
def _any(flags: jax.Array) -> jax.Array:
    """Whether any flag is set, of those of all members under ``vmap`` too.

    So the answer has no batch axis, and a ``lax.cond`` on it remains one branch or the other.
    """
    return jnp.any(flags)


@_any.def_vmap
def _any_of_all(axis_size: int, batched: list[bool], flags: jax.Array) -> tuple[jax.Array, bool]:
    return _any(flags), False


class EpisodeWrapper(Wrapper):
    """A batch of N environments with time limit, and a new episode after every ended one.

    Adds to `state.info`, each with leading axis N:

      steps           [N]     steps taken in the episode, this one included.
      truncation      [N]     1 where the time limit, not termination, ended the episode here.
      final_obs       [N, O]  observation after the step and before any reset; bootstrap from it.
      episode_return  [N]     sum of rewards of the episode, this step included.
      episode_cost    [N]     sum of costs, likewise, discounted if the limit bounds such a sum.
      episode_parts   [N]     the same of each part, by name; only if parts are named.
      reset_key       [N]     random keys of the resets to come.

    On a step with `done = 1` the sums and `steps` are those of the episode that just ended, while
    `obs` and `pipeline_state` already belong to the next one; they restart from zero at the step
    after. `done` is 1 for terminated and for truncated. Unlike Brax's AutoResetWrapper, which goes
    back to the first state of the run, every reset is a full `env.reset` with a fresh key.

    Args:
      env: a single environment.
      parts: names in `metrics` of the parts of the cost to sum as well.
    """

    env: SafetyEnv

    def __init__(self, env: SafetyEnv, parts: tuple[str, ...] = ()):
        super().__init__(env)
        self._parts = parts

    @property
    def spec(self) -> EnvSpec:
        return self.env.spec

    def reset(self, rng: jax.Array) -> State:
        """Starts N episodes from N keys.

        Raises:
          ValueError: for a single key.
          ConfigError: if the environment's observations or costs are not those of its spec.
        """
        is_typed = jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
        if rng.ndim < (1 if is_typed else 2):
            raise ValueError(f"{self.spec.name}: rng is a single key, expected one per environment")
        keys = jax.vmap(jax.random.split)(rng)
        state = jax.vmap(self.env.reset)(keys[:, 0])
        self._check(state)
        zeros = jnp.zeros_like(state.reward)
        parts = {"episode_parts": dict.fromkeys(self._parts, zeros)} if self._parts else {}
        return state.replace(
            info={
                **state.info,
                "steps": zeros,
                "truncation": zeros,
                "final_obs": state.obs,
                "episode_return": zeros,
                "episode_cost": zeros,
                **parts,
                "reset_key": keys[:, 1],
            }
        )

    def _check(self, state: State) -> None:
        spec, shape = self.spec, jnp.shape(state.obs)[1:]
        if shape != (spec.observation_size,):
            raise ConfigError(
                f"{spec.name}: observation_size: got {spec.observation_size}, but reset returns "
                f"observations of shape {shape}"
            )
        for name in spec.limitable_costs:
            if name not in state.metrics:
                raise ConfigError(f"{spec.name}: reset returns no {name!r} in its metrics")

    def step(self, state: State, action: jax.Array) -> State:
        """Steps all N environments; those that end are reset in the same call.

        Raises:
          ValueError: for actions of the wrong shape.
        """
        expected = (len(state.done), self.spec.action_size)
        if jnp.shape(action) != expected:
            shape = jnp.shape(action)
            raise ValueError(f"{self.spec.name}: action has shape {shape}, expected {expected}")
        # As Brax does: an environment need not set what it leaves alone, and a new episode is not
        # over because the one before was.
        going_on = state.replace(done=jnp.zeros_like(state.done))
        after = jax.vmap(self.env.step)(going_on, action)

        def so_far(total: jax.Array) -> jax.Array:
            # No product with 1 − done: that of a NaN would stay one for good.
            return jnp.where(state.done > 0, 0.0, total)

        steps = so_far(state.info["steps"]) + 1.0
        timed_out = (steps >= self.spec.episode_length).astype(jnp.float32)
        done = jnp.maximum(after.done, timed_out)
        weight = self.spec.cost_discount ** (steps - 1.0)
        cost = weight * after.metrics["cost"]
        info = {
            **state.info,
            **after.info,
            "steps": steps,
            "truncation": timed_out * (1.0 - after.done),
            "final_obs": after.obs,
            "episode_return": so_far(state.info["episode_return"]) + after.reward,
            "episode_cost": so_far(state.info["episode_cost"]) + cost,
        }
        if self._parts:
            info["episode_parts"] = {
                name: so_far(total) + weight * after.metrics[name]
                for name, total in state.info["episode_parts"].items()
            }
        after = after.replace(done=done, info=info)
        # Episodes of one batch end together as a rule, so the reset is skipped on most steps.
        return jax.lax.cond(_any(done > 0), self._reset_done, lambda state: state, after)

    def _reset_done(self, state: State) -> State:
        """Puts a new episode in the place of every ended one, keeping reward, done and sums."""
        # Cloned, because a key remains unused where no episode has ended.
        keys = jax.vmap(jax.random.split)(jax.random.clone(state.info["reset_key"]))
        fresh = jax.vmap(self.env.reset)(keys[:, 0])

        def where_done(new: jax.Array, old: jax.Array) -> jax.Array:
            done = state.done.reshape(state.done.shape + (1,) * (old.ndim - 1))
            return jnp.where(done > 0, new, old)

        started = {**fresh.info, "reset_key": keys[:, 1]}
        going_on = {name: state.info[name] for name in started}
        pipeline_state, obs, info = jax.tree.map(
            where_done,
            (fresh.pipeline_state, fresh.obs, started),
            (state.pipeline_state, state.obs, going_on),
        )
        return state.replace(pipeline_state=pipeline_state, obs=obs, info={**state.info, **info})
