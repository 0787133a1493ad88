"""The training loop as pure functions: init, warm-up, epoch.

``TrainState -> TrainState`` with nothing outside: environments, replay, agent, keys and counters
all live in the state, so a run is a value that can be jitted, vmapped, saved and resumed.
"""

from __future__ import annotations

import dataclasses
import functools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import State
from flax import struct

from algd_jax.agents.algorithm import Algorithm
from algd_jax.agents.state import AgentState, UpdateMetrics
from algd_jax.agents.statistics import DiscountedSums, Experience
from algd_jax.config import Config, Hyper
from algd_jax.envs import EnvSpec, EpisodeWrapper, SafetyEnv
from algd_jax.envs.base import FLAGS, named_costs
from algd_jax.training.health import Health, are_finite, healthy, is_finite, note_first_bad
from algd_jax.training.replay import Replay, add, init_replay, sample, sample_multi_step
from algd_jax.types import TOTAL_COST, Transition

_CHECKED_TRANSITION = ("action", "next_obs", "reward", "cost")
_CHECKED_UPDATE = tuple(field.name for field in dataclasses.fields(UpdateMetrics))
CHECKED = (*_CHECKED_TRANSITION, "state", *FLAGS, *_CHECKED_UPDATE)
"""Names of the quantities watched, in the order in which they arise.

For NaN and infinity, a cost also for being negative; a flag of the environment must not be set.
``state`` is the environments' own. The quantities of updates are ``CHECKED_IN_UPDATES``.
"""

CHECKED_IN_UPDATES = frozenset(_CHECKED_UPDATE)


class TrainState(struct.PyTreeNode):
    """A whole run.

    Attributes:
      agent: everything learnt.
      replay: rings of transitions, one for each environment.
      env: batched environment state, leaves [N, …].
      key: PRNG key of the loop.
      env_steps: [] int32, environment steps made, summed over environments.
      health: the first non-finite quantity, if any.
      sums: discounted sums since each episode's start, if the algorithm learns its units.
    """

    agent: AgentState
    replay: Replay
    env: State
    key: jax.Array
    env_steps: jax.Array
    health: Health
    sums: Any = ()


class EpochMetrics(struct.PyTreeNode):
    """What an epoch reports; scalars, but [C] where ``UpdateMetrics`` has them.

    Attributes:
      updates: means over the epoch's updates; where some were left out, means over the steps that
        made any, of the means of each.
      episodes: episodes that ended in the epoch; those cut short to spread them do not count.
      episode_return: their mean return, 0 if none ended.
      episode_cost: their mean cost, 0 if none ended.
      episode_parts: the same of each limited part of the cost, by name.
      step_cost: mean cost per environment step.
      skipped: updates that were left out because a number was bad (see ``HealthConfig``).
    """

    updates: UpdateMetrics
    episodes: jax.Array
    episode_return: jax.Array
    episode_cost: jax.Array
    episode_parts: dict[str, jax.Array]
    step_cost: jax.Array
    skipped: jax.Array


class EpisodeSums(struct.PyTreeNode):
    """Sums over the N environments at one step.

    Attributes:
      episodes: [] episodes that ended; those cut short to spread them do not count.
      episode_return, episode_cost, episode_parts: [] sums over those episodes.
      step_cost: [] mean cost of the step.
    """

    episodes: jax.Array
    episode_return: jax.Array
    episode_cost: jax.Array
    episode_parts: dict[str, jax.Array]
    step_cost: jax.Array


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The run's pure functions; jit them with the state donated, so that replay exists once.

    Attributes:
      env: a single (not vectorised) environment.
      algorithm: made for its sizes.
      config: sizes of the loop.
    """

    env: SafetyEnv
    algorithm: Algorithm
    config: Config

    def init(self, key: jax.Array, hyper: Hyper) -> TrainState:
        """The state before the first step: fresh agent, reset environments, empty replay."""
        loop = self.config.loop
        agent_key, env_key, loop_key = jax.random.split(key, 3)
        return TrainState(
            agent=self.algorithm.init(agent_key, hyper),
            replay=init_replay(
                empty_transition(self.env.spec, self.config), loop.num_envs, loop.replay_capacity
            ),
            env=self._vector_env.reset(jax.random.split(env_key, loop.num_envs)),
            key=loop_key,
            env_steps=jnp.int32(0),
            health=healthy(),
            sums=self._no_sums() if self.algorithm.scale_energy else (),
        )

    def placed(self, state: TrainState) -> TrainState:
        """The shapes of a state, with where it lies: here, wherever the arguments do."""
        return state

    def warmup(self, state: TrainState, hyper: Hyper) -> TrainState:
        """Fill replay with the untrained policy. Apart from the epoch, so that no loop branches."""

        def iteration(state, _):
            key, act_key = jax.random.split(state.key)
            return self._interact(state.replace(key=key), act_key, hyper), None

        return jax.lax.scan(iteration, state, length=self.config.warmup_iterations)[0]

    def train_epoch(self, state: TrainState, hyper: Hyper) -> tuple[TrainState, EpochMetrics]:
        """Alternate one step of the N environments with a round of updates."""

        def iteration(state, _):
            key, act_key, learn_key = jax.random.split(state.key, 3)
            state = self._interact(state.replace(key=key), act_key, hyper)
            agent, updates = self._learn(state.agent, state.replay, learn_key, hyper)
            finite = are_finite({name: getattr(updates, name) for name in _CHECKED_UPDATE})
            health = note_first_bad(state.health, CHECKED, _CHECKED_UPDATE, finite, state.env_steps)
            state = state.replace(agent=agent, health=health)
            made = jnp.all(finite, axis=1) if self._skips else None
            return state, (_mean(updates, made), episode_sums(state.env), made)

        if self._skips:  # What has been told does not hide what comes.
            state = state.replace(health=healthy())
        length = self.config.steps_per_epoch
        state, (updates, sums, made) = jax.lax.scan(iteration, state, length=length)
        if made is None:
            return state, epoch_metrics(_mean(updates), sums, jnp.int32(0))
        return state, epoch_metrics(_mean(updates, jnp.any(made, axis=1)), sums, jnp.sum(~made))

    @property
    def _skips(self) -> bool:
        return self.config.health.skips_updates

    @functools.cached_property
    def _vector_env(self) -> EpisodeWrapper:
        config = self.config
        return EpisodeWrapper(self.env, config.limited_parts, config.loop.spread_episodes)

    def _interact(self, state: TrainState, key: jax.Array, hyper: Hyper) -> TrainState:
        """One step of all N environments, stored in replay."""
        loop = self.config.loop

        def act(obs, act_key):
            return self.algorithm.act(state.agent, obs, act_key, hyper)

        actions = jax.vmap(act)(state.env.obs, jax.random.split(key, loop.num_envs))
        env_state = self._vector_env.step(state.env, actions)
        transitions = make_transition(self.config, state.env.obs, actions, env_state)
        env_steps = state.env_steps + loop.num_envs
        quantities = watched(self.config, transitions, env_state)
        finite = are_finite(quantities)
        # A bad transition would make every update bad that draws it.
        kept = jnp.all(finite, axis=1) if self._skips else None
        return self._observe(state, transitions, env_state, hyper).replace(
            env=env_state,
            replay=add(state.replay, transitions, env_state.done > 0, kept),
            env_steps=env_steps,
            health=note_first_bad(state.health, CHECKED, tuple(quantities), finite, env_steps),
        )

    def _no_sums(self) -> DiscountedSums:
        environments = self.config.loop.num_envs
        cost = jnp.zeros((environments, *self.algorithm.constraints))
        return DiscountedSums(jnp.zeros(environments), cost)

    def _observe(
        self, state: TrainState, transitions: Transition, after: State, hyper: Hyper
    ) -> TrainState:
        """Take one step into the sums of the episodes and into the agent's statistics."""
        if not self.algorithm.has_statistics:
            return state
        sums = state.sums
        if self.algorithm.scale_energy:
            sums = DiscountedSums(
                hyper.discount * sums.reward + transitions.reward,
                hyper.cost_discount * sums.cost + transitions.cost,
            )
        info = after.info
        age = info["steps"] - info.get("skipped_steps", 0.0) - 1.0
        weight = self.env.spec.cost_discount**age
        experience = Experience(
            obs=transitions.obs,
            sums=sums,
            costs=(transitions.cost.T * weight).T,
            terminated=after.done - info["truncation"],
            rate=1.0 / self.env.spec.episode_length,
        )
        agent = self.algorithm.observe(state.agent, experience, hyper)
        goes_on = 1.0 - after.done
        sums = jax.tree.map(lambda total: (total.T * goes_on).T, sums)
        return state.replace(agent=agent, sums=sums)

    def _learn(
        self, agent: AgentState, replay: Replay, key: jax.Array, hyper: Hyper
    ) -> tuple[AgentState, UpdateMetrics]:
        """The updates that follow one step; metrics gain a leading axis of policy updates.

        The policy learns from the last batch of each round, the critics from all.
        """
        loop, count = self.config.loop, self.config.policy_updates
        updates, period = loop.updates_per_step, loop.updates_per_step // count
        sample_key, update_key = jax.random.split(key)
        # All batches in one gather, before the loop over updates.
        batches = self._batches(replay, sample_key, (updates, loop.batch_size), hyper)

        def update_critics(agent, batch_and_key):
            batch, key = batch_and_key
            return self.algorithm.update_critics(agent, batch, key, hyper)

        def round_of_updates(agent, batches_and_keys):
            *batches_and_keys, policy_key = batches_and_keys
            last, critic_key = jax.tree.map(lambda leaf: leaf[-1], batches_and_keys)
            if period == 1:
                updated, metrics = self.algorithm.update(agent, last, critic_key, hyper)
            else:
                updated, losses = jax.lax.scan(update_critics, agent, batches_and_keys)
                updated, judgement = self.algorithm.update_policy(updated, last, policy_key, hyper)
                metrics = UpdateMetrics(**jax.tree.map(jnp.mean, losses), **judgement)
            if self._skips:
                fine = is_finite(metrics)
                updated = jax.tree.map(partial(jnp.where, fine), updated, agent)
            return updated, metrics

        keys = jax.random.split(update_key, updates if period == 1 else updates + count)
        rounds = jax.tree.map(
            lambda leaf: leaf.reshape(count, period, *leaf.shape[1:]), (batches, keys[:updates])
        )
        return jax.lax.scan(round_of_updates, agent, (*rounds, keys[-count:]))

    def _batches(
        self, replay: Replay, key: jax.Array, shape: tuple[int, ...], hyper: Hyper
    ) -> Transition:
        steps = self.config.loop.target_steps
        if steps == 1:
            return sample(replay, key, shape)
        return sample_multi_step(replay, key, shape, steps, hyper.discount, hyper.cost_discount)


def make_transition(config: Config, obs: jax.Array, actions: jax.Array, after: State) -> Transition:
    """Transitions [N, …] of one step, with the configured meanings of "terminal" and "cost".

    Args:
      config: says what ends a value besides the environment's own termination, and which costs
        are limited.
      obs: [N, O] before the step.
      actions: [N, A].
      after: the environments' state after the step (and after any reset).
    """
    loop, timeout = config.loop, after.info["truncation"]
    terminated = after.done - timeout
    if loop.timeout_terminates:
        terminated = jnp.maximum(terminated, timeout)
    goal_met = after.metrics.get("goal_met", jnp.zeros_like(timeout))
    return Transition(
        obs=obs,
        action=actions,
        reward=after.reward,
        cost=named_costs(after.metrics, config.constraints),
        next_obs=after.info["final_obs"],
        terminated=jnp.maximum(terminated, goal_met * loop.goal_terminates),
        cost_terminated=terminated * loop.termination_frees_cost,
    )


def watched(config: Config, transitions: Transition, after: State) -> dict[str, jax.Array]:
    """What is checked of one step, as arrays [N, …] in which all that is wrong is not finite."""
    quantities = {name: getattr(transitions, name) for name in _CHECKED_TRANSITION}
    costs = named_costs(after.metrics, (TOTAL_COST, *config.limited_parts))
    quantities["cost"] = jnp.where(costs >= 0, costs, jnp.nan)
    info = after.info
    flags = {name: jnp.where(info[name] > 0, jnp.nan, 0.0) for name in FLAGS if name in info}
    return quantities | {"state": _nan_if_any(after.pipeline_state, len(costs))} | flags


def empty_transition(spec: EnvSpec, config: Config) -> Transition:
    """An all-zero transition of an environment of these sizes, with its limited costs."""
    obs, scalar = jnp.zeros(spec.observation_size), jnp.float32(0)
    action = jnp.zeros(spec.action_size)
    cost = named_costs(dict.fromkeys(config.constraints, scalar), config.constraints)
    return Transition(obs, action, scalar, cost, obs, scalar, scalar)


def episode_sums(after: State) -> EpisodeSums:
    """What one step of the N environments, which led to this state, adds to the statistics."""
    done, info = after.done, after.info
    if "skipped_steps" in info:
        done = jnp.where(info["skipped_steps"] > 0, 0.0, done)

    def of_ended(sums: jax.Array) -> jax.Array:
        # No product with done: a bad number in an episode that goes on would count.
        return jnp.sum(jnp.where(done > 0, sums, 0.0))

    return EpisodeSums(
        episodes=jnp.sum(done),
        episode_return=of_ended(info["episode_return"]),
        episode_cost=of_ended(info["episode_cost"]),
        episode_parts=jax.tree.map(of_ended, info.get("episode_parts", {})),
        step_cost=jnp.mean(after.metrics[TOTAL_COST]),
    )


def epoch_metrics(updates: UpdateMetrics, sums: EpisodeSums, skipped: jax.Array) -> EpochMetrics:
    """What an epoch reports.

    Args:
      updates: means over its updates.
      sums: of its steps, leaves with a leading axis.
      skipped: [] updates left out.
    """
    episodes = jnp.sum(sums.episodes)
    per_episode = 1.0 / jnp.maximum(episodes, 1.0)
    return EpochMetrics(
        updates=updates,
        episodes=episodes,
        episode_return=jnp.sum(sums.episode_return) * per_episode,
        episode_cost=jnp.sum(sums.episode_cost) * per_episode,
        episode_parts={
            name: jnp.sum(costs) * per_episode for name, costs in sums.episode_parts.items()
        },
        step_cost=jnp.mean(sums.step_cost),
        skipped=skipped,
    )


def _mean(records: UpdateMetrics, counted: jax.Array | None = None) -> UpdateMetrics:
    """Over the leading axis; of those that are counted ([I] bool), or all."""

    def mean(values):
        where = None if counted is None else jnp.expand_dims(counted, range(1, values.ndim))
        return jnp.mean(values, axis=0, where=where)

    return jax.tree.map(mean, records)


def _nan_if_any(states: Any, count: int) -> jax.Array:
    """[N] zeros, but NaN where a number of trees [N, …] is. Infinity may be meant there."""
    leaves = [leaf for leaf in jax.tree.leaves(states) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    has_nan = [jnp.any(jnp.isnan(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in leaves]
    bad = functools.reduce(jnp.logical_or, has_nan, jnp.zeros(count, bool))
    return jnp.where(bad, jnp.nan, 0.0)
