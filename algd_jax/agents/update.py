"""One learning update: critics, actor, multiplier, targets, in the paper's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from algd_jax.agents.actors import ActorNoise, DiffusionActor
from algd_jax.agents.critics import (
    CriticParams,
    Critics,
    pessimistic,
    td_losses,
    td_targets,
)
from algd_jax.config import Hyper
from algd_jax.diffusion.score_target import EnergyFunction
from algd_jax.lagrangian.energy import discounted_budget
from algd_jax.lagrangian.multiplier import multiplier_loss
from algd_jax.types import Scalar, Transition

Lagrangian = Callable[[Scalar, Scalar, Scalar, Scalar, Scalar], jax.Array]
"""(reward_value, risk, lam, rho, budget) -> energy, all scalars."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts one algorithm is made of; all static.

    Attributes:
      actor: how actions are drawn and the policy is trained.
      critics: the networks that judge actions.
      lagrangian: the energy the policy descends.
      horizon: H, steps per episode, which turns the cost limit into a discounted budget.
      target_period: updates between two steps of the target critics.
    """

    actor: DiffusionActor
    critics: Critics
    lagrangian: Lagrangian
    horizon: int
    target_period: int

    def budget(self, hyper: Hyper) -> jax.Array:
        """[] discounted cost allowed."""
        return discounted_budget(hyper.cost_limit, hyper.cost_discount, self.horizon)


class AgentState(struct.PyTreeNode):
    """Everything an agent learns.

    Attributes:
      actor: parameters of the actor.
      critics: parameters of all critics.
      target_critics: their slowly moving copies.
      log_lam: [] log of the multiplier λ.
      actor_optimizer, critic_optimizer, multiplier_optimizer: Adam moments.
      updates: [] int32, updates made.
    """

    actor: dict
    critics: CriticParams
    target_critics: CriticParams
    log_lam: jax.Array
    actor_optimizer: optax.OptState
    critic_optimizer: optax.OptState
    multiplier_optimizer: optax.OptState
    updates: jax.Array


class UpdateMetrics(struct.PyTreeNode):
    """What one update reports, in the order in which it arises; every field is a scalar.

    Attributes:
      reward_loss: summed squared error of the twin reward critics.
      cost_loss: mean squared error of the cost critics.
      critic_gradient: global norm of the critics' gradient.
      energy: mean energy of the policy's actions.
      score_loss: mean squared error of the score model.
      actor_gradient: global norm of the actor's gradient.
      reward_value: mean value of replayed pairs.
      risk: mean pessimistic discounted cost of replayed pairs.
      violation: risk above the discounted budget; negative when there is slack.
      lam: multiplier λ after the update.
    """

    reward_loss: jax.Array
    cost_loss: jax.Array
    critic_gradient: jax.Array
    energy: jax.Array
    score_loss: jax.Array
    actor_gradient: jax.Array
    reward_value: jax.Array
    risk: jax.Array
    violation: jax.Array
    lam: jax.Array


Tree = TypeVar("Tree")
_Stage = tuple[AgentState, dict[str, jax.Array]]
"""The agent after one stage of the update, and the stage's share of ``UpdateMetrics``."""

_ADAM = optax.scale_by_adam()
# Step sizes are traced values (they may differ within a population), so they scale Adam's
# direction here instead of living inside the optimiser object.


def init_agent(parts: Parts, key: jax.Array, hyper: Hyper) -> AgentState:
    """A fresh agent; target critics start equal to the critics."""
    actor_key, critic_key = jax.random.split(key)
    actor, critics = parts.actor.init(actor_key), parts.critics.init(critic_key)
    log_lam = jnp.log(jnp.float32(hyper.initial_lam))
    return AgentState(
        actor=actor,
        critics=critics,
        target_critics=jax.tree.map(jnp.copy, critics),
        log_lam=log_lam,
        actor_optimizer=_ADAM.init(actor),
        critic_optimizer=_ADAM.init(critics),
        multiplier_optimizer=_ADAM.init(log_lam),
        updates=jnp.int32(0),
    )


def action_energy(
    parts: Parts,
    critics: CriticParams,
    obs: jax.Array,
    lam: Scalar,
    hyper: Hyper,
) -> EnergyFunction:
    """The energy landscape over actions at one state: action [A] -> Lagrangian [].

    Args:
      parts: the algorithm's parts.
      critics: their parameters.
      obs: [O].
      lam: [] multiplier.
      hyper: scalars.
    """
    values_at = parts.critics.at_state(critics, obs)
    budget = parts.budget(hyper)

    def energy(action: jax.Array) -> jax.Array:
        reward_value, risk = pessimistic(values_at(action), hyper.kappa)
        return parts.lagrangian(reward_value, risk, lam, hyper.rho, budget)

    return energy


def critic_loss(
    parts: Parts,
    critics: CriticParams,
    target_critics: CriticParams,
    batch: Transition,
    next_actions: jax.Array,
    hyper: Hyper,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Mean loss of all critics on a batch, and its (reward, cost) parts.

    Args:
      batch: transitions, leaves [B, …].
      next_actions: [B, A] drawn from the current policy at the next observations.
    """

    def example(transition, next_action):
        next_values = parts.critics.at_state(target_critics, transition.next_obs)(next_action)
        targets = td_targets(transition, next_values, hyper.discount, hyper.cost_discount)
        values = parts.critics.at_state(critics, transition.obs)(transition.action)
        return td_losses(values, jax.lax.stop_gradient(targets))

    reward_loss, cost_loss = jax.tree.map(jnp.mean, jax.vmap(example)(batch, next_actions))
    return reward_loss + cost_loss, (reward_loss, cost_loss)


def actor_loss(
    parts: Parts,
    actor: dict,
    critics: CriticParams,
    lam: Scalar,
    obs: jax.Array,
    noise: ActorNoise,
    hyper: Hyper,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Mean energy + score_weight · mean score error on a batch, and the two parts.

    Args:
      lam: [] multiplier, a constant here.
      obs: [B, O].
      noise: the actor's randomness, leaves [B, …].
    """

    def example(obs_i, noise_i):
        energy = action_energy(parts, critics, obs_i, lam, hyper)
        return parts.actor.loss_terms(actor, obs_i, energy, noise_i, hyper)

    terms = jax.tree.map(jnp.mean, jax.vmap(example)(obs, noise))
    loss = terms.energy + hyper.score_weight * terms.score_error
    return loss, (terms.energy, terms.score_error)


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
    chex.assert_rank([batch.reward, batch.cost, batch.terminated, batch.cost_terminated], 1)
    critic_key, actor_key = jax.random.split(key)
    state, critic_metrics = _update_critics(parts, state, batch, critic_key, hyper)
    state, actor_metrics = _update_actor(parts, state, batch, actor_key, hyper)
    state, multiplier_metrics = _update_multiplier(parts, state, batch, hyper)
    state = _update_targets(parts, state, hyper)
    return state, UpdateMetrics(**critic_metrics, **actor_metrics, **multiplier_metrics)


def _update_critics(
    parts: Parts, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
) -> _Stage:
    def sample_action(obs, sample_key):
        return parts.actor.act(state.actor, obs, sample_key, hyper)

    keys = jax.random.split(key, batch.reward.shape[0])
    next_actions = jax.vmap(sample_action)(batch.next_obs, keys)

    def loss(critics):
        return critic_loss(parts, critics, state.target_critics, batch, next_actions, hyper)

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


def _update_actor(
    parts: Parts, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
) -> _Stage:
    # Against the critics just updated.
    noise = jax.vmap(parts.actor.draw_noise)(jax.random.split(key, batch.reward.shape[0]))
    lam = jnp.exp(state.log_lam)

    def loss(actor):
        return actor_loss(parts, actor, state.critics, lam, batch.obs, noise, hyper)

    gradients, (energy, score_loss) = jax.grad(loss, has_aux=True)(state.actor)
    actor, optimizer = _adam_step(state.actor, gradients, state.actor_optimizer, hyper.actor_lr)
    metrics = dict(
        energy=energy, score_loss=score_loss, actor_gradient=optax.global_norm(gradients)
    )
    return state.replace(actor=actor, actor_optimizer=optimizer), metrics


def _update_multiplier(parts: Parts, state: AgentState, batch: Transition, hyper: Hyper) -> _Stage:
    # Likewise.
    def values_of(obs, action):
        return pessimistic(parts.critics.at_state(state.critics, obs)(action), hyper.kappa)

    reward_values, risks = jax.vmap(values_of)(batch.obs, batch.action)
    budget = parts.budget(hyper)
    gradient = jax.grad(multiplier_loss)(state.log_lam, risks, budget)
    log_lam, optimizer = _adam_step(
        state.log_lam, gradient, state.multiplier_optimizer, hyper.multiplier_lr
    )
    risk = jnp.mean(risks)
    metrics = dict(
        lam=jnp.exp(log_lam),
        risk=risk,
        violation=risk - budget,
        reward_value=jnp.mean(reward_values),
    )
    return state.replace(log_lam=log_lam, multiplier_optimizer=optimizer), metrics


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
