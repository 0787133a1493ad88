"""Batches of environments with a time limit and full resets."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from brax.envs.base import Wrapper

from algd_jax.envs.base import EnvSpec, SafetyEnv, State
from algd_jax.errors import ConfigError

__all__ = ["EpisodeWrapper"]

_Episodes = TypeVar("_Episodes")

_CHUNKS = 16
"""A chunk of new episodes is this part of all environments: few end in one step as a rule."""


class EpisodeWrapper(Wrapper):
    """A batch of N environments with time limit, and a new episode after every ended one.

    Adds to `state.info`, each with leading axis N:

      steps           [N]     steps taken in the episode, this one included.
      truncation      [N]     1 where the time limit, not termination, ended the episode here.
      final_obs       [N, O]  observation after the step and before any reset; bootstrap from it.
      episode_return  [N]     sum of rewards of the episode, this step included.
      episode_cost    [N]     sum of costs, likewise, discounted if the limit bounds such a sum.
      episode_parts   [N]     the same of each part, by name; only if parts are named.
      skipped_steps   [N]     steps by which a first episode was shortened; only with `spread`.
      reset_key       [N]     random keys of the resets to come.

    On a step with `done = 1` the sums and `steps` are those of the episode that just ended, while
    `obs` and `pipeline_state` already belong to the next one; they restart from zero at the step
    after. `done` is 1 for terminated and for truncated. Unlike Brax's AutoResetWrapper, which goes
    back to the first state of the run, every reset is a full `env.reset` with a fresh key.

    Args:
      env: a single environment.
      parts: names in `metrics` of the parts of the cost to sum as well.
      spread: shorten the first episode of each environment to a random length, uniform over 1 to
        `episode_length`, so that episodes which run to the time limit do not all end in one step.
        Its `steps` start at `skipped_steps`, which are 0 in all later episodes; the weights of
        discounted costs still start at 1.
    """

    env: SafetyEnv

    def __init__(self, env: SafetyEnv, parts: tuple[str, ...] = (), spread: bool = False):
        super().__init__(env)
        self._parts = parts
        self._spread = spread

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
        keys = jax.vmap(lambda key: jax.random.split(key, 3 if self._spread else 2))(rng)
        state = jax.vmap(self.env.reset)(keys[:, 0])
        self._check(state)
        zeros = jnp.zeros_like(state.reward)
        info = {
            **state.info,
            "steps": zeros,
            "truncation": zeros,
            "final_obs": state.obs,
            "episode_return": zeros,
            "episode_cost": zeros,
            "reset_key": keys[:, 1],
        }
        if self._parts:
            info["episode_parts"] = dict.fromkeys(self._parts, zeros)
        if self._spread:
            length = self.spec.episode_length
            skipped = jax.vmap(lambda key: jax.random.randint(key, (), 0, length))(keys[:, 2])
            info["steps"] = info["skipped_steps"] = skipped.astype(zeros.dtype)
        return state.replace(info=info)

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
        skipped = so_far(state.info["skipped_steps"]) if self._spread else 0.0
        weight = self.spec.cost_discount ** (steps - 1.0 - skipped)
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
        if self._spread:
            info["skipped_steps"] = skipped
        return self._restart(after.replace(done=done, info=info))

    def _restart(self, state: State) -> State:
        """Puts a new episode in the place of every ended one, keeping reward, done and sums."""

        def new(episodes: Any) -> Any:
            info = episodes[-1]
            keys = jax.vmap(jax.random.split)(info["reset_key"])
            fresh = jax.vmap(self.env.reset)(keys[:, 0])
            info = {name: fresh.info.get(name, value) for name, value in info.items()}
            return fresh.pipeline_state, fresh.obs, {**info, "reset_key": keys[:, 1]}

        info = {name: state.info[name] for name in state.info if name not in _OF_THE_LAST_STEP}
        episodes = (state.pipeline_state, state.obs, info)
        pipeline_state, obs, info = _replaced(episodes, state.done > 0, new)
        return state.replace(pipeline_state=pipeline_state, obs=obs, info={**state.info, **info})


_OF_THE_LAST_STEP = {
    "steps",
    "truncation",
    "final_obs",
    "episode_return",
    "episode_cost",
    "episode_parts",
    "skipped_steps",
}
"""What `info` still says of an episode that has ended."""


def _replaced(
    episodes: _Episodes, ended: jax.Array, new: Callable[[_Episodes], _Episodes]
) -> _Episodes:
    """The episodes with a new one in the place of each that has ended.

    Gradients go through those that go on; a new one owes nothing to the one before.

    Args:
      episodes: leaves [N, ...].
      ended: [N] bool.
      new: makes n new episodes in the place of any n.
    """

    @jax.custom_jvp  # A loop of unknown length has no reverse mode of its own.
    def replaced(episodes: _Episodes, ended: jax.Array) -> _Episodes:
        return _replaced_by_chunks(episodes, ended, new)

    @replaced.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        def of_those_going_on(tangent: jax.Array) -> jax.Array:
            if tangent.dtype == jax.dtypes.float0:
                return tangent
            return jnp.where(ended.reshape(-1, *(1,) * (tangent.ndim - 1)), 0.0, tangent)

        _, ended = primals
        return replaced(*primals), jax.tree.map(of_those_going_on, tangents[0])

    return replaced(episodes, ended)


def _replaced_by_chunks(
    episodes: _Episodes, ended: jax.Array, new: Callable[[_Episodes], _Episodes]
) -> _Episodes:
    """`_replaced` a chunk at a time until none is missing, in place.

    So the cost follows how many ended. Under `vmap` the members' episodes are one batch: a loop
    over each member's own would last as long as the longest of them, in all members.
    """

    @jax.custom_batching.custom_vmap
    def replaced(episodes: _Episodes, ended: jax.Array) -> _Episodes:
        count = len(ended)

        def replace_chunk(carry: tuple[_Episodes, jax.Array]) -> tuple[_Episodes, jax.Array]:
            episodes, missing = carry
            # Where fewer are missing, the rest are made for a place that does not exist.
            (places,) = jnp.nonzero(missing, size=max(1, count // _CHUNKS), fill_value=count)
            made = new(jax.tree.map(lambda leaf: leaf.at[places].get(mode="clip"), episodes))
            episodes = jax.tree.map(
                lambda leaf, fresh: leaf.at[places].set(fresh, mode="drop"), episodes, made
            )
            return episodes, missing.at[places].set(False, mode="drop")

        def any_missing(carry: tuple[_Episodes, jax.Array]) -> jax.Array:
            return jnp.any(carry[1])

        return jax.lax.while_loop(any_missing, replace_chunk, (episodes, ended))[0]

    @replaced.def_vmap
    def replaced_in_all(members: int, batched: Any, *arguments: Any) -> tuple[_Episodes, Any]:
        def joined(leaf: jax.Array, is_batched: bool) -> jax.Array:
            leaf = leaf if is_batched else jnp.broadcast_to(leaf, (members, *leaf.shape))
            return leaf.reshape(-1, *leaf.shape[2:])

        together = replaced(*jax.tree.map(joined, arguments, tuple(batched)))
        apart = jax.tree.map(lambda leaf: leaf.reshape(members, -1, *leaf.shape[1:]), together)
        return apart, jax.tree.map(lambda _: True, apart)

    return replaced(episodes, ended)
