"""The table of algorithms: each is a record of pure functions assembled from shared parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax

from algd_jax.agents.actors import make_diffusion_actor
from algd_jax.agents.critics import make_critics
from algd_jax.agents.update import (
    AgentState,
    Lagrangian,
    Parts,
    UpdateMetrics,
    init_agent,
    update_agent,
)
from algd_jax.config import AgentConfig, Hyper
from algd_jax.errors import unknown_name
from algd_jax.lagrangian.energy import augmented_lagrangian
from algd_jax.types import Transition


class Algorithm(NamedTuple):
    """An algorithm as pure functions, in the way of an optax transformation.

    Attributes:
      init: (key, hyper) -> AgentState.
      act: (state, obs [O], key, hyper) -> action [A], drawn from the policy.
      act_deterministic: (state, obs [O], hyper) -> action [A].
      update: (state, batch with leaves [B, …], key, hyper) -> (AgentState, UpdateMetrics).
      parts: the parts they are assembled from.
    """

    init: Callable[[jax.Array, Hyper], AgentState]
    act: Callable[[AgentState, jax.Array, jax.Array, Hyper], jax.Array]
    act_deterministic: Callable[[AgentState, jax.Array, Hyper], jax.Array]
    update: Callable[[AgentState, Transition, jax.Array, Hyper], tuple[AgentState, UpdateMetrics]]
    parts: Parts


@dataclasses.dataclass(frozen=True)
class Row:
    """What tells one algorithm from another.

    Attributes:
      lagrangian: the energy that guides the policy.
    """

    lagrangian: Lagrangian


ALGORITHMS: dict[str, Row] = {
    "algd": Row(lagrangian=augmented_lagrangian),
}


def make_algorithm(
    name: str,
    obs_size: int,
    action_low: tuple[float, ...],
    action_high: tuple[float, ...],
    horizon: int,
    sizes: AgentConfig = AgentConfig(),
) -> Algorithm:
    """Assemble an algorithm for one kind of environment.

    Args:
      name: a key of ``ALGORITHMS``.
      obs_size: O.
      action_low, action_high: [A] action box.
      horizon: H, steps per episode.
      sizes: networks, chain length and ensemble size.

    Raises:
      ConfigError: for an unknown name.
    """
    if name not in ALGORITHMS:
        raise unknown_name("algorithm", name, ALGORITHMS)
    parts = Parts(
        actor=make_diffusion_actor(
            obs_size,
            action_low,
            action_high,
            sizes.chain_steps,
            sizes.score_samples,
            sizes.time_features,
            (sizes.actor_width,) * sizes.actor_layers,
        ),
        critics=make_critics(
            obs_size,
            len(action_low),
            (sizes.critic_width,) * sizes.critic_layers,
            sizes.cost_critics,
        ),
        lagrangian=ALGORITHMS[name].lagrangian,
        horizon=horizon,
        target_period=sizes.target_period,
    )

    def act(state: AgentState, obs: jax.Array, key: jax.Array, hyper: Hyper) -> jax.Array:
        return parts.actor.act(state.actor, obs, key, hyper)

    def act_deterministic(state: AgentState, obs: jax.Array, hyper: Hyper) -> jax.Array:
        return parts.actor.act_deterministic(state.actor, obs, hyper)

    return Algorithm(
        init=partial(init_agent, parts),
        act=act,
        act_deterministic=act_deterministic,
        update=partial(update_agent, parts),
        parts=parts,
    )
