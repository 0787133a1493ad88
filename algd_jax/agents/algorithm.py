"""An algorithm: its parts, how it acts, and one learning update in the paper's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp
import optax

from algd_jax.agents.actors import Actor, BatchEnergy, Draw
from algd_jax.agents.critics import (
    CriticParams,
    Critics,
    pessimistic,
    td_targets,
)
from algd_jax.agents.state import AgentState, Pressure, UpdateMetrics
from algd_jax.agents.statistics import (
    Experience,
    Normalizer,
    Units,
    init_statistics,
    normalizer,
    units,
)
from algd_jax.config import Hyper, validate_hyper
from algd_jax.errors import ConfigError
from algd_jax.lagrangian.energy import discounted_budget
from algd_jax.lagrangian.multiplier import MultiplierRule, rectified
from algd_jax.lagrangian.penalty import PenaltyRule
from algd_jax.types import Scalar, Transition

Lagrangian = Callable[[Scalar, Scalar, Scalar, Scalar, Scalar], jax.Array]
"""(reward_value, risk, lam, rho, budget) -> energy []."""

Tree = TypeVar("Tree")
_Stage = tuple[AgentState, dict[str, jax.Array]]
"""The agent after one stage of the update, and the stage's share of ``UpdateMetrics``."""

_ADAM = optax.scale_by_adam()
# Step sizes are traced values (they may differ within a population), so they scale Adam's
# direction here instead of living inside the optimiser object.


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """An algorithm as pure functions of its state, in the way of an optax transformation.

    All fields are static; everything that is learnt is in the ``AgentState``.

    Attributes:
      actor: how actions are drawn and the policy is trained.
      critics: the networks that judge actions.
      lagrangian: the energy the policy descends.
      multiplier: how λ moves; a rule for each hyper.
      penalty: how ρ moves, likewise.
      rectified: whether the energy sees λ − rect (CAL) instead of λ.
      constraints: shape of costs and limits, () or (C,).
      horizon: H, steps per episode, which turns the cost limit into a discounted budget; None if
        the limit is one already.
      episode_length: time limit [steps], by which measured costs are those of an episode.
      target_period: updates between two steps of the target critics.
      average_actor: whether the deterministic policy is a running mean of the actor.
      normalize_obs: whether networks see observations in standard deviations from their mean.
      scale_energy: whether critics and energies measure rewards and costs in running units.
      measured: whether λ follows the cost that the environments pay; else what the critics expect.
    """

    actor: Actor
    critics: Critics
    lagrangian: Lagrangian
    multiplier: Callable[[Hyper], MultiplierRule]
    penalty: Callable[[Hyper], PenaltyRule]
    rectified: bool = False
    constraints: tuple[int, ...] = ()
    horizon: int | None = None
    episode_length: int | None = None
    target_period: int = 1
    average_actor: bool = False
    normalize_obs: bool = False
    scale_energy: bool = False
    measured: bool = False

    @property
    def has_statistics(self) -> bool:
        """Whether it learns from ``observe``."""
        return self.normalize_obs or self.scale_energy or self.measured

    def budget(self, hyper: Hyper) -> jax.Array:
        """[] (or [C]) discounted cost allowed, in the environment's units."""
        return self._discounted(jnp.asarray(hyper.cost_limit), hyper)

    def units(self, state: AgentState, hyper: Hyper) -> Units:
        """What the critics' values are measured in."""
        if not self.scale_energy:
            return Units()
        return units(state.statistics, self.budget(hyper))

    def init(self, key: jax.Array, hyper: Hyper) -> AgentState:
        """A fresh agent; target critics start equal to the critics.

        Raises:
          ConfigError: unless there is one cost limit per constraint, and for a number that cannot
            work (where it is known: inside ``jit`` it is not).
        """
        validate_hyper(hyper)
        shape, limits = self.constraints, jnp.asarray(hyper.cost_limit).shape
        if limits != shape:
            raise ConfigError(f"cost_limit: got an array of shape {limits}, allowed is {shape}")
        actor_key, critic_key = jax.random.split(key)
        actor, critics = self.actor.init(actor_key, hyper), self.critics.init(critic_key)
        lam = jnp.broadcast_to(jnp.float32(hyper.initial_lam), shape)
        return AgentState(
            actor=actor,
            critics=critics,
            target_critics=jax.tree.map(jnp.copy, critics),
            multiplier=self.multiplier(hyper).init(lam),
            penalty=self.penalty(hyper).init(lam),
            actor_optimizer=_ADAM.init(actor),
            critic_optimizer=_ADAM.init(critics),
            updates=jnp.int32(0),
            statistics=init_statistics(
                obs_size=self.critics.reward.obs_size if self.normalize_obs else None,
                sums=self.constraints if self.scale_energy else None,
                paid=self.constraints if self.measured else None,
            ),
            average=jax.tree.map(jnp.copy, actor) if self.average_actor else (),
        )

    def act(self, state: AgentState, obs: jax.Array, key: jax.Array, hyper: Hyper) -> jax.Array:
        """An action [A] drawn from the policy at one observation [O]."""
        return self.actor.draw(state.actor, self.seen(state, obs), key, hyper).action

    def act_deterministic(self, state: AgentState, obs: jax.Array, hyper: Hyper) -> jax.Array:
        """The policy's action [A] without noise at one observation [O]."""
        return self.actor.act_deterministic(self.policy(state), self.seen(state, obs), hyper)

    def policy(self, state: AgentState) -> dict:
        """The parameters of the policy that is deployed."""
        return state.average if self.average_actor else state.actor

    def seen(self, state: AgentState, obs: jax.Array) -> jax.Array:
        """Observations [..., O] as the networks see them."""
        seen = self.normalizer(state)
        return obs if seen is None else seen(obs)

    def normalizer(self, state: AgentState) -> Normalizer | None:
        """What turns observations into what the networks see, if it is not the same."""
        return normalizer(state.statistics.obs) if self.normalize_obs else None

    def judge(
        self, state: AgentState, obs: jax.Array, action: jax.Array, hyper: Hyper
    ) -> tuple[jax.Array, jax.Array]:
        """(smaller reward value, risk) of pairs [..., O], [..., A] in the environment's units."""
        values = self.critics.at_state(state.critics, self.seen(state, obs))(action)
        reward_value, risk = pessimistic(values, hyper.kappa)
        unit = self.units(state, hyper)
        return reward_value * unit.reward, risk * unit.cost

    def pressure(self, state: AgentState, hyper: Hyper) -> Pressure:
        """λ, ρ and the budget as they are now, unrectified, in the critics' units."""
        return Pressure(
            lam=self.multiplier(hyper).lam(state.multiplier),
            rho=self.penalty(hyper).rho(state.penalty),
            budget=self.budget(hyper) / self.units(state, hyper).cost,
        )

    def observe(self, state: AgentState, experience: Experience, hyper: Hyper) -> AgentState:
        """Take one step of the environments into the running statistics."""
        statistics = state.statistics.updated(experience, hyper.measuring_rate)
        return state.replace(statistics=statistics)

    def energies(
        self, critics: CriticParams, obs: jax.Array, pressure: Pressure, hyper: Hyper
    ) -> BatchEnergy:
        """The energy landscape over actions: action [A] -> Lagrangian [], at one state or at many.

        Args:
          critics: parameters of the critics.
          obs: [O], or [B, O] for actions [..., B, A], as the networks see them.
          pressure: λ, ρ and the budget.
          hyper: scalars.
        """
        values_at = self.critics.at_state(critics, obs)

        def of_one(reward_value: jax.Array, risk: jax.Array) -> jax.Array:
            return self.lagrangian(reward_value, risk, *pressure)

        def energies(action: jax.Array) -> jax.Array:
            reward_values, risks = pessimistic(values_at(action), hyper.kappa)
            lagrangian = of_one
            for _ in range(reward_values.ndim):
                lagrangian = jax.vmap(lagrangian)
            return lagrangian(reward_values, risks)

        return energies

    def critic_loss(
        self,
        critics: CriticParams,
        target_critics: CriticParams,
        batch: Transition,
        next_draws: Draw,
        hyper: Hyper,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Mean loss of all critics on a batch, and its (reward, cost) parts.

        Args:
          critics: parameters that learn.
          target_critics: parameters that judge the next actions.
          batch: transitions, leaves [B, …], in the critics' units.
          next_draws: from the current policy at the next observations, leaves [B, …].
          hyper: scalars.
        """
        next_values = self.critics.at_state(target_critics, batch.next_obs)(next_draws.action)
        next_values = next_values.replace(reward=next_values.reward + next_draws.bonus)
        outputs = self.critics.outputs_at_state(critics, batch.obs)(batch.action)

        def example(transition, next_values, outputs):
            targets = td_targets(transition, next_values, hyper.discount, hyper.cost_discount)
            return self.critics.losses(outputs, jax.lax.stop_gradient(targets))

        losses = jax.vmap(example, in_axes=(0, 1, 1))(batch, next_values, outputs)
        reward_loss, cost_loss = jax.tree.map(jnp.mean, losses)
        return reward_loss + cost_loss, (reward_loss, cost_loss)

    def actor_loss(
        self,
        actor: dict,
        critics: CriticParams,
        pressure: Pressure,
        obs: jax.Array,
        noise: Any,
        hyper: Hyper,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Mean actor loss on a batch, and its (energy, auxiliary) parts.

        Args:
          actor: parameters that learn.
          critics: parameters of the critics.
          pressure: λ, ρ and the budget, constants here.
          obs: [B, O] as the networks see them.
          noise: the actor's randomness, leaves [B, …].
          hyper: scalars.
        """
        energies = self.energies(critics, obs, pressure, hyper)
        terms = jax.tree.map(jnp.mean, self.actor.loss_terms(actor, obs, energies, noise, hyper))
        return terms.loss, (terms.energy, terms.auxiliary)

    def update(
        self, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
    ) -> tuple[AgentState, UpdateMetrics]:
        """One update on one batch (paper, algorithm box).

        Args:
          state: the agent.
          batch: transitions, leaves [B, …]; rewards and costs are [B], not [B, 1].
          key: one PRNG key, consumed.
          hyper: scalars.
        """
        critic_key, actor_key = jax.random.split(key)
        state, critic_metrics = self.update_critics(state, batch, critic_key, hyper)
        state, actor_metrics = self.update_policy(state, batch, actor_key, hyper)
        return state, UpdateMetrics(**critic_metrics, **actor_metrics)

    def update_critics(
        self, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
    ) -> _Stage:
        """The critics' half of an update, with the step of their targets.

        Arguments as those of :meth:`update`.
        """
        self._check(batch)
        state, metrics = self._update_critics(
            state, self._digested(state, batch, hyper), key, hyper
        )
        return self._update_targets(state, hyper), metrics

    def update_policy(
        self, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
    ) -> _Stage:
        """The other half: actor, multiplier and penalty learn from the critics just updated."""
        batch = self._digested(state, batch, hyper)
        reward_value, risk = self._mean_values(state, batch, hyper)
        violation = self._violation(state, risk, hyper)
        state, actor_metrics = self._update_actor(state, batch, risk, violation, key, hyper)
        state, multiplier_metrics = self._update_multiplier(state, violation, hyper)
        unit = self.units(state, hyper)
        judgement = dict(
            reward_value=reward_value * unit.reward,
            risk=risk * unit.cost,
            violation=violation * unit.cost,
        )
        return state, judgement | actor_metrics | multiplier_metrics

    def _check(self, batch: Transition) -> None:
        chex.assert_rank([batch.obs, batch.action, batch.next_obs], 2)
        chex.assert_rank([batch.reward, batch.terminated, batch.cost_terminated], 1)
        chex.assert_shape(batch.cost, (*batch.reward.shape, *self.constraints))

    def _digested(self, state: AgentState, batch: Transition, hyper: Hyper) -> Transition:
        """A batch as the networks see it: observations normalised, rewards and costs in units."""
        if self.normalize_obs:
            batch = batch.replace(
                obs=self.seen(state, batch.obs), next_obs=self.seen(state, batch.next_obs)
            )
        if self.scale_energy:
            unit = self.units(state, hyper)
            batch = batch.replace(reward=batch.reward / unit.reward, cost=batch.cost / unit.cost)
        return batch

    def _discounted(self, cost: jax.Array, hyper: Hyper) -> jax.Array:
        """A cost per episode as the discounted sum that critics predict."""
        if self.horizon is None:
            return cost
        return discounted_budget(cost, hyper.cost_discount, self.horizon)

    def _update_critics(
        self, state: AgentState, batch: Transition, key: jax.Array, hyper: Hyper
    ) -> _Stage:
        def draw(obs, sample_key):
            return self.actor.draw(state.actor, obs, sample_key, hyper)

        keys = jax.random.split(key, batch.reward.shape[0])
        next_draws = jax.vmap(draw)(batch.next_obs, keys)

        def loss(critics):
            return self.critic_loss(critics, state.target_critics, batch, next_draws, hyper)

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

    def _mean_values(
        self, state: AgentState, batch: Transition, hyper: Hyper
    ) -> tuple[jax.Array, jax.Array]:
        """What the critics think of the replayed pairs on average: (reward value, risk)."""
        values = self.critics.at_state(state.critics, batch.obs)(batch.action)
        reward_values, risks = pessimistic(values, hyper.kappa)
        return jnp.mean(reward_values), jnp.mean(risks, axis=0)

    def _violation(self, state: AgentState, risk: jax.Array, hyper: Hyper) -> jax.Array:
        """What λ follows: cost above the budget, expected by the critics or really paid."""
        unit = self.units(state, hyper)
        budget = self.budget(hyper) / unit.cost
        if not self.measured:
            return risk - budget
        per_episode = state.statistics.paid.per_episode(self.episode_length)
        return self._discounted(per_episode, hyper) / unit.cost - budget

    def _update_actor(
        self,
        state: AgentState,
        batch: Transition,
        risk: jax.Array,
        violation: jax.Array,
        key: jax.Array,
        hyper: Hyper,
    ) -> _Stage:
        noise = jax.vmap(self.actor.draw_noise)(jax.random.split(key, batch.reward.shape[0]))
        pressure = self.pressure(state, hyper)
        if self.rectified:
            pressure = pressure._replace(lam=rectified(pressure.lam, violation, hyper.rectifier))
        if self.measured:
            # The critics rank states and actions; the measurement says where the budget lies.
            pressure = pressure._replace(budget=risk - violation)

        def loss(actor):
            return self.actor_loss(actor, state.critics, pressure, batch.obs, noise, hyper)

        gradients, (energy, auxiliary) = jax.grad(loss, has_aux=True)(state.actor)
        actor, optimizer = _adam_step(state.actor, gradients, state.actor_optimizer, hyper.actor_lr)
        metrics = dict(
            energy=energy, auxiliary=auxiliary, actor_gradient=optax.global_norm(gradients)
        )
        state = state.replace(actor=actor, actor_optimizer=optimizer)
        if self.average_actor:
            average = optax.incremental_update(actor, state.average, hyper.average_rate)
            state = state.replace(average=average)
        return state, metrics

    def _update_multiplier(self, state: AgentState, violation: jax.Array, hyper: Hyper) -> _Stage:
        rule, penalty_rule = self.multiplier(hyper), self.penalty(hyper)
        multiplier = rule.update(state.multiplier, violation)
        penalty = penalty_rule.update(state.penalty, violation)
        rho = jnp.broadcast_to(penalty_rule.rho(penalty), violation.shape)
        metrics = dict(lam=rule.lam(multiplier), rho=rho)
        return state.replace(multiplier=multiplier, penalty=penalty), metrics

    def _update_targets(self, state: AgentState, hyper: Hyper) -> AgentState:
        updates = state.updates + 1
        # A rate of zero instead of a branch: in a population a branch would run both sides.
        rate = jnp.where(updates % self.target_period == 0, hyper.polyak, 0.0)
        target_critics = optax.incremental_update(state.critics, state.target_critics, rate)
        return state.replace(target_critics=target_critics, updates=updates)


def _adam_step(
    params: Tree, gradients: Tree, optimizer_state: optax.OptState, lr: Scalar
) -> tuple[Tree, optax.OptState]:
    direction, optimizer_state = _ADAM.update(gradients, optimizer_state, params)
    return jax.tree.map(lambda p, d: p - lr * d, params, direction), optimizer_state
