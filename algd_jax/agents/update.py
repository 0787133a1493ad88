"""One learning update: critics, actor, multiplier, targets, in the paper's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from algd_jax.agents.actors import Actor, BatchEnergy, Draw
from algd_jax.agents.critics import (
    CriticParams,
    Critics,
    pessimistic,
    td_losses,
    td_targets,
)
from algd_jax.config import Hyper, validate_hyper
from algd_jax.errors import ConfigError
from algd_jax.lagrangian.energy import discounted_budget
from algd_jax.lagrangian.multiplier import MultiplierRule, rectified
from algd_jax.lagrangian.penalty import PenaltyRule
from algd_jax.types import Scalar, Transition

Lagrangian = Callable[[Scalar, Scalar, Scalar, Scalar, Scalar], jax.Array]
"""(reward_value, risk, lam, rho, budget) -> energy []."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts one algorithm is made of; all static.

    Attributes:
      actor: how actions are drawn and the policy is trained.
      critics: the networks that judge actions.
      lagrangian: the energy the policy descends.
      multiplier: how λ moves; a rule for each hyper.
      penalty: how ρ moves, likewise.
      rectified: whether the energy sees λ − rect (CAL) instead of λ.
      horizon: H, steps per episode, which turns the cost limit into a discounted budget; None if
        the limit is one already.
      target_period: updates between two steps of the target critics.
    """

    actor: Actor
    critics: Critics
    lagrangian: Lagrangian
    multiplier: Callable[[Hyper], MultiplierRule]
    penalty: Callable[[Hyper], PenaltyRule]
    rectified: bool
    horizon: int | None
    target_period: int

    def budget(self, hyper: Hyper) -> jax.Array:
        """[] (or [C]) discounted cost allowed."""
        limit = jnp.asarray(hyper.cost_limit)
        if self.horizon is None:
            return limit
        return discounted_budget(limit, hyper.cost_discount, self.horizon)


class AgentState(struct.PyTreeNode):
    """Everything an agent learns.

    Attributes:
      actor: parameters of the actor.
      critics: parameters of all critics.
      target_critics: their slowly moving copies.
      multiplier: state of the multiplier's rule.
      penalty: state of the penalty's rule.
      actor_optimizer, critic_optimizer: Adam moments.
      updates: [] int32, updates made.
    """

    actor: dict
    critics: CriticParams
    target_critics: CriticParams
    multiplier: Any
    penalty: Any
    actor_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    updates: jax.Array


class UpdateMetrics(struct.PyTreeNode):
    """What one update reports, in the order in which it arises; scalars.

    With C constraints ``risk``, ``violation``, ``lam`` and ``rho`` are [C].

    Attributes:
      reward_loss: summed squared error of the twin reward critics.
      cost_loss: mean squared error of the cost critics.
      critic_gradient: global norm of the critics' gradient.
      reward_value: mean value of replayed pairs.
      risk: mean pessimistic discounted cost of replayed pairs.
      violation: risk above the discounted budget; negative when there is slack.
      energy: mean energy of the policy's actions.
      auxiliary: mean of the actor's other loss term (score error, or log density).
      actor_gradient: global norm of the actor's gradient.
      lam: multiplier λ after the update.
      rho: penalty ρ after the update.
    """

    reward_loss: jax.Array
    cost_loss: jax.Array
    critic_gradient: jax.Array
    reward_value: jax.Array
    risk: jax.Array
    violation: jax.Array
    energy: jax.Array
    auxiliary: jax.Array
    actor_gradient: jax.Array
    lam: jax.Array
    rho: jax.Array


class Pressure(NamedTuple):
    """What weighs the cost in the energy of one update.

    Attributes:
      lam: λ as the energy sees it, [] or [C].
      rho: ρ, [] or [C].
    """

    lam: Scalar
    rho: Scalar


Tree = TypeVar("Tree")
_Stage = tuple[AgentState, dict[str, jax.Array]]
"""The agent after one stage of the update, and the stage's share of ``UpdateMetrics``."""

_ADAM = optax.scale_by_adam()
# Step sizes are traced values (they may differ within a population), so they scale Adam's
# direction here instead of living inside the optimiser object.


def init_agent(parts: Parts, key: jax.Array, hyper: Hyper) -> AgentState:
    """A fresh agent; target critics start equal to the critics.

    Raises:
      ConfigError: unless there is one cost limit per constraint, and for a number that cannot
        work (where it is known: inside ``jit`` it is not).
    """
    validate_hyper(hyper)
    shape, limits = parts.critics.cost.value_shape, jnp.asarray(hyper.cost_limit).shape
    if limits != shape:
        raise ConfigError(f"cost_limit: got an array of shape {limits}, allowed is {shape}")
    actor_key, critic_key = jax.random.split(key)
    actor, critics = parts.actor.init(actor_key, hyper), parts.critics.init(critic_key)
    lam = jnp.broadcast_to(jnp.float32(hyper.initial_lam), shape)
    return AgentState(
        actor=actor,
        critics=critics,
        target_critics=jax.tree.map(jnp.copy, critics),
        multiplier=parts.multiplier(hyper).init(lam),
        penalty=parts.penalty(hyper).init(lam),
        actor_optimizer=_ADAM.init(actor),
        critic_optimizer=_ADAM.init(critics),
        updates=jnp.int32(0),
    )


def action_energy(
    parts: Parts,
    critics: CriticParams,
    obs: jax.Array,
    pressure: Pressure,
    hyper: Hyper,
) -> BatchEnergy:
    """The energy landscape over actions: action [A] -> Lagrangian [], at one state or at many.

    Args:
      parts: the algorithm's parts.
      critics: their parameters.
      obs: [O], or [B, O] for actions [..., B, A].
      pressure: λ and ρ.
      hyper: scalars.
    """
    values_at = parts.critics.at_state(critics, obs)
    budget = parts.budget(hyper)

    def of_one(reward_value: jax.Array, risk: jax.Array) -> jax.Array:
        return parts.lagrangian(reward_value, risk, pressure.lam, pressure.rho, budget)

    def energies(action: jax.Array) -> jax.Array:
        reward_values, risks = pessimistic(values_at(action), hyper.kappa)
        lagrangian = of_one
        for _ in range(reward_values.ndim):
            lagrangian = jax.vmap(lagrangian)
        return lagrangian(reward_values, risks)

    return energies


def critic_loss(
    parts: Parts,
    critics: CriticParams,
    target_critics: CriticParams,
    batch: Transition,
    next_draws: Draw,
    hyper: Hyper,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Mean loss of all critics on a batch, and its (reward, cost) parts.

    Args:
      batch: transitions, leaves [B, …].
      next_draws: from the current policy at the next observations, leaves [B, …].
    """
    next_values = parts.critics.at_state(target_critics, batch.next_obs)(next_draws.action)
    next_values = next_values.replace(reward=next_values.reward + next_draws.bonus)
    values = parts.critics.at_state(critics, batch.obs)(batch.action)

    def example(transition, next_values, values):
        targets = td_targets(transition, next_values, hyper.discount, hyper.cost_discount)
        return td_losses(values, jax.lax.stop_gradient(targets))

    losses = jax.vmap(example, in_axes=(0, 1, 1))(batch, next_values, values)
    reward_loss, cost_loss = jax.tree.map(jnp.mean, losses)
    return reward_loss + cost_loss, (reward_loss, cost_loss)


def actor_loss(
    parts: Parts,
    actor: dict,
    critics: CriticParams,
    pressure: Pressure,
    obs: jax.Array,
    noise: Any,
    hyper: Hyper,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Mean actor loss on a batch, and its (energy, auxiliary) parts.

    Args:
      pressure: λ and ρ, constants here.
      obs: [B, O].
      noise: the actor's randomness, leaves [B, …].
    """
    energies = action_energy(parts, critics, obs, pressure, hyper)
    terms = jax.tree.map(jnp.mean, parts.actor.loss_terms(actor, obs, energies, noise, hyper))
    return terms.loss, (terms.energy, terms.auxiliary)


def update_agent(
    parts: Parts, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
) -> tuple[AgentState, UpdateMetrics]:
    """One update on one batch (paper, algorithm box).

    Args:
      parts: the algorithm's parts.
      state: the agent.
      batch: transitions, leaves [B, …]; rewards and costs are [B], not [B, 1].
      key: one PRNG key, consumed.
      hyper: scalars.
    """
    chex.assert_rank([batch.obs, batch.action, batch.next_obs], 2)
    chex.assert_rank([batch.reward, batch.terminated, batch.cost_terminated], 1)
    chex.assert_shape(batch.cost, (*batch.reward.shape, *parts.critics.cost.value_shape))
    critic_key, actor_key = jax.random.split(key)
    state, critic_metrics = _update_critics(parts, state, batch, critic_key, hyper)
    # Actor and multiplier learn from the critics just updated.
    judgement = _judge(parts, state.critics, batch, hyper)
    violation = judgement["violation"]
    state, actor_metrics = _update_actor(parts, state, batch, violation, actor_key, hyper)
    state, multiplier_metrics = _update_multiplier(parts, state, violation, hyper)
    state = _update_targets(parts, state, hyper)
    metrics = critic_metrics | judgement | actor_metrics | multiplier_metrics
    return state, UpdateMetrics(**metrics)


def _update_critics(
    parts: Parts, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
) -> _Stage:
    def draw(obs, sample_key):
        return parts.actor.draw(state.actor, obs, sample_key, hyper)

    keys = jax.random.split(key, batch.reward.shape[0])
    next_draws = jax.vmap(draw)(batch.next_obs, keys)

    def loss(critics):
        return critic_loss(parts, critics, state.target_critics, batch, next_draws, hyper)

    gradients, (reward_loss, cost_loss) = jax.grad(loss, has_aux=True)(state.critics)
    critics, optimizer = _adam_step(
        state.critics, gradients, state.critic_optimizer, hyper.critic_lr
    )
    metrics = dict(
        reward_loss=reward_loss,
        cost_loss=cost_loss,
        critic_gradient=optax.global_norm(gradients),
    )
    return state.replace(critics=critics, critic_optimizer=optimizer), metrics


def _judge(
    parts: Parts, critics: CriticParams, batch: Transition, hyper: Hyper
) -> dict[str, jax.Array]:
    """What the critics think of the replayed pairs, on average."""
    values = parts.critics.at_state(critics, batch.obs)(batch.action)
    reward_values, risks = pessimistic(values, hyper.kappa)
    risk = jnp.mean(risks, axis=0)
    violation = risk - parts.budget(hyper)
    return dict(reward_value=jnp.mean(reward_values), risk=risk, violation=violation)


def _update_actor(
    parts: Parts,
    state: AgentState,
    batch: Transition,
    violation: jax.Array,
    key: jax.Array,
    hyper: Hyper,
) -> _Stage:
    noise = jax.vmap(parts.actor.draw_noise)(jax.random.split(key, batch.reward.shape[0]))
    lam = parts.multiplier(hyper).lam(state.multiplier)
    pressure = Pressure(
        lam=rectified(lam, violation, hyper.rectifier) if parts.rectified else lam,
        rho=parts.penalty(hyper).rho(state.penalty),
    )

    def loss(actor):
        return actor_loss(parts, actor, state.critics, pressure, batch.obs, noise, hyper)

    gradients, (energy, auxiliary) = jax.grad(loss, has_aux=True)(state.actor)
    actor, optimizer = _adam_step(state.actor, gradients, state.actor_optimizer, hyper.actor_lr)
    metrics = dict(energy=energy, auxiliary=auxiliary, actor_gradient=optax.global_norm(gradients))
    return state.replace(actor=actor, actor_optimizer=optimizer), metrics


def _update_multiplier(
    parts: Parts, state: AgentState, violation: jax.Array, hyper: Hyper
) -> _Stage:
    rule, penalty_rule = parts.multiplier(hyper), parts.penalty(hyper)
    multiplier = rule.update(state.multiplier, violation)
    penalty = penalty_rule.update(state.penalty, violation)
    rho = jnp.broadcast_to(penalty_rule.rho(penalty), violation.shape)
    metrics = dict(lam=rule.lam(multiplier), rho=rho)
    return state.replace(multiplier=multiplier, penalty=penalty), metrics


def _update_targets(parts: Parts, state: AgentState, hyper: Hyper) -> AgentState:
    updates = state.updates + 1
    # A rate of zero instead of a branch: in a population a branch would run both sides.
    rate = jnp.where(updates % parts.target_period == 0, hyper.polyak, 0.0)
    target_critics = optax.incremental_update(state.critics, state.target_critics, rate)
    return state.replace(target_critics=target_critics, updates=updates)


def _adam_step(
    params: Tree, gradients: Tree, optimizer_state: optax.OptState, lr: Scalar
) -> tuple[Tree, optax.OptState]:
    direction, optimizer_state = _ADAM.update(gradients, optimizer_state, params)
    return jax.tree.map(lambda p, d: p - lr * d, params, direction), optimizer_state
