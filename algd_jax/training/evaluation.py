"""Evaluation: fixed-length episodes of a policy, vmapped, with keys of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.state import AgentState
from algd_jax.config import Hyper
from algd_jax.envs import SafetyEnv
from algd_jax.training.epoch import Trainer
from algd_jax.types import TOTAL_COST, Scalar

_JUDGED_STATES = 20
"""The most states of an episode at which the critics are asked."""

Policy = Callable[[jax.Array], jax.Array]
"""Observation [O] -> action [A]."""


class Judged(struct.PyTreeNode):
    """Risks beside what came of them, at S evenly spaced steps of an episode, for C constraints.

    n episodes have a leading axis.

    Attributes:
      risk: [S, C] the critics' risk of the policy's action.
      cost: [S, C] discounted cost from that step until the episode's end.
      alive: [S] whether the episode had not terminated before.
    """

    risk: jax.Array
    cost: jax.Array
    alive: jax.Array


class Episodes(struct.PyTreeNode):
    """Outcome of n episodes.

    Attributes:
      returns: [n] undiscounted sums of rewards.
      costs: [n] sums of costs, as the cost limit sums them.
      lengths: [n] steps until termination or the time limit.
      parts: [n] sums of parts of the cost, by name, likewise.
      judged: what the critics expected on the way, if they were asked; leaves [n, ...].
    """

    returns: jax.Array
    costs: jax.Array
    lengths: jax.Array
    parts: dict[str, jax.Array] = struct.field(default_factory=dict)
    judged: Judged | None = None

    @property
    def named_costs(self) -> dict[str, jax.Array]:
        """Total and parts by name, [n] each."""
        return {TOTAL_COST: self.costs, **self.parts}


class Judge(NamedTuple):
    """What asks the critics.

    Attributes:
      risk: observation [O] -> risk [C] of the policy's action there.
      constraints: names of the C costs.
      discount: [] γ_c.
    """

    risk: Callable[[jax.Array], jax.Array]
    constraints: tuple[str, ...]
    discount: Scalar


def run_episode(
    env: SafetyEnv,
    policy: Policy,
    key: jax.Array,
    parts: tuple[str, ...] = (),
    judge: Judge | None = None,
) -> Episodes:
    """One episode from a full reset; after termination nothing counts any more.

    Args:
      env: a single environment.
      policy: its actions.
      key: of the reset.
      parts: names in ``metrics`` of the parts of the cost to sum as well.
      judge: if given, asks the critics at up to 20 steps, a divisor of the episode's length.
    """

    def step(carry, _):
        state, alive, totals = carry
        state = env.step(state, policy(state.obs))
        # where, not multiplication: a terminated simulation may go on to produce NaN.
        weight = env.spec.cost_discount**totals.lengths
        gains = Episodes(
            returns=state.reward,
            costs=weight * state.metrics[TOTAL_COST],
            lengths=jnp.float32(1),
            parts={name: weight * state.metrics[name] for name in parts},
        )
        totals = jax.tree.map(lambda total, gain: total + jnp.where(alive, gain, 0), totals, gains)
        limited = judge.constraints if judge else ()
        paid = [jnp.where(alive, state.metrics[name], 0.0) for name in limited]
        return (state, alive & (state.done == 0), totals), paid

    zero = jnp.float32(0)
    nothing = Episodes(returns=zero, costs=zero, lengths=zero, parts=dict.fromkeys(parts, zero))
    start, length = (env.reset(key), jnp.bool_(True), nothing), env.spec.episode_length
    if judge is None:
        (_, _, totals), _ = jax.lax.scan(step, start, length=length)
        return totals

    blocks = next(n for n in range(_JUDGED_STATES, 0, -1) if length % n == 0)

    def block(carry, _):
        """The critics at one state, and the steps until they are asked again."""
        state, alive, _ = carry
        risk = judge.risk(state.obs)
        carry, paid = jax.lax.scan(step, carry, length=length // blocks)
        return carry, (risk, discounted_sums(jnp.stack(paid, axis=-1), judge.discount)[0], alive)

    (_, _, totals), (risk, paid, alive) = jax.lax.scan(block, start, length=blocks)
    cost = discounted_sums(paid, judge.discount ** (length // blocks))
    return totals.replace(judged=Judged(risk, cost, alive))


def discounted_sums(gains: jax.Array, discount: Scalar, ends: jax.Array | float = 0.0) -> jax.Array:
    """Sums of what comes from each step on: s_t = g_t + γ (1 − end_t) s_{t+1}.

    Args:
      gains: [T, ...].
      discount: [] γ.
      ends: [T, ...] 1 where nothing is added beyond the step; may have axes of length 1.
    """

    def back(later, gain_and_end):
        gain, end = gain_and_end
        total = gain + discount * (1.0 - end) * later
        return total, total

    ends = jnp.broadcast_to(ends, gains.shape)
    return jax.lax.scan(back, jnp.zeros_like(gains[0]), (gains, ends), reverse=True)[1]


def evaluate(
    env: SafetyEnv,
    policy: Policy,
    key: jax.Array,
    episodes: int,
    parts: tuple[str, ...] = (),
    judge: Judge | None = None,
) -> Episodes:
    """n independent episodes side by side; leaves [n, ...]. See :func:`run_episode`."""
    keys = jax.random.split(key, episodes)
    return jax.vmap(lambda episode_key: run_episode(env, policy, episode_key, parts, judge))(keys)


def evaluate_agent(trainer: Trainer, agent: AgentState, key: jax.Array, hyper: Hyper) -> Episodes:
    """``eval_episodes`` episodes of a trainer's deterministic policy, judged by its critics."""
    algorithm, config = trainer.algorithm, trainer.config

    def policy(obs: jax.Array) -> jax.Array:
        return algorithm.act_deterministic(agent, obs, hyper)

    def risk(obs: jax.Array) -> jax.Array:
        return jnp.atleast_1d(algorithm.judge(agent, obs, policy(obs), hyper)[1])

    judge = Judge(risk, config.constraints, hyper.cost_discount)
    count = config.loop.eval_episodes
    return evaluate(trainer.env, policy, key, count, config.limited_parts, judge)
