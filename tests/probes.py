"""Tiny environments with known answers, in the spirit of probe environments for RL debugging."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from algd_jax.envs import EnvSpec, SafetyEnv, State


class ProbeEnv(SafetyEnv):
    """Observation ~ U(-1, 1)^O anew each step; reward and cost are chosen by subclasses.

    Never terminates, so a constant reward r is worth r / (1 − γ) everywhere.
    """

    def __init__(self, episode_length: int = 8, observation_size: int = 2, cost_limit: float = 2.0):
        self.spec = EnvSpec(
            name=type(self).__name__,
            observation_size=observation_size,
            action_size=2,
            action_low=(-1.0, -0.5),
            action_high=(1.0, 1.5),
            episode_length=episode_length,
            cost_limit=cost_limit,
            control_period=0.1,
        )

    def reset(self, rng: jax.Array) -> State:
        key, obs_key = jax.random.split(rng)
        metrics = {"cost": jnp.float32(0), "goal_met": jnp.float32(0)}
        obs = self._draw(obs_key)
        return State(
            {"key": key, "time": jnp.float32(0)}, obs, jnp.float32(0), jnp.float32(0), metrics
        )

    def step(self, state: State, action: jax.Array) -> State:
        key, obs_key = jax.random.split(state.pipeline_state["key"])
        time = state.pipeline_state["time"] + 1
        reward, cost = self.gains(state.obs, action, time)
        return state.replace(
            pipeline_state={"key": key, "time": time},
            obs=self._draw(obs_key),
            reward=reward,
            done=self.terminates(time),
            metrics={"cost": cost, "goal_met": self.goal_met(time)},
        )

    def gains(self, obs, action, time):
        """(reward [], cost []) of one step."""
        return jnp.float32(1), jnp.float32(0.5)

    def terminates(self, time):
        return jnp.float32(0)

    def goal_met(self, time):
        return jnp.float32(0)

    def _draw(self, key):
        return jax.random.uniform(key, (self.spec.observation_size,), minval=-1.0, maxval=1.0)


class ActionProbe(ProbeEnv):
    """Reward is the first action component, cost its positive part: safety forbids what pays."""

    def gains(self, obs, action, time):
        return action[0], jnp.maximum(action[0], 0.0)


class LuckyProbe(ProbeEnv):
    """Whatever the policy does, each step costs 1 or nothing, and earns something, by chance."""

    def gains(self, obs, action, time):
        return obs[1], (obs[0] > 0).astype(jnp.float32)


class PartsProbe(ProbeEnv):
    """The cost has two parts: 0.25 and 1 at every step."""

    parts: ClassVar = {"cost_low": 0.25, "cost_high": 1.0}

    def __init__(self, **options):
        super().__init__(**options)
        self.spec = dataclasses.replace(self.spec, cost_names=tuple(self.parts))

    def reset(self, rng: jax.Array) -> State:
        return self._with_parts(super().reset(rng), 0.0)

    def step(self, state: State, action: jax.Array) -> State:
        return self._with_parts(super().step(state, action), 1.0)

    def _with_parts(self, state: State, share: float) -> State:
        parts = {name: jnp.float32(share * cost) for name, cost in self.parts.items()}
        return state.replace(metrics={**state.metrics, **parts, "cost": sum(parts.values())})


class OnePartProbe(PartsProbe):
    """The only part of the cost is all of it."""

    parts: ClassVar = {"cost_all": 0.5}


class TerminatingProbe(ProbeEnv):
    """Every episode terminates after three steps."""

    def terminates(self, time):
        return (time >= 3).astype(jnp.float32)


class GoalProbe(ProbeEnv):
    """A goal is met at every second step; the episode goes on."""

    def goal_met(self, time):
        return (time % 2 == 0).astype(jnp.float32)


class DiscountedProbe(ProbeEnv):
    """The limit bounds a discounted sum of costs, and the time limit is a terminal state."""

    def __init__(self):
        super().__init__(cost_limit=3.0)
        self.spec = dataclasses.replace(self.spec, cost_discount=0.5, timeout_terminal=True)


class BrokenProbe(ProbeEnv):
    """The reward turns NaN at the fifth step of each episode."""

    def gains(self, obs, action, time):
        return jnp.where(time >= 5, jnp.nan, 1.0), jnp.float32(0)


class RareBreak(ProbeEnv):
    """The reward is NaN after one observation in twenty."""

    def gains(self, obs, action, time):
        return jnp.where(obs[0] > 0.9, jnp.nan, 1.0), jnp.float32(0)


class ChanceBreak(ProbeEnv):
    """The reward is NaN after one action in about 150, whatever the policy."""

    def gains(self, obs, action, time):
        unlucky = jnp.floor(jnp.abs(action[0]) * 1e4) % 150 == 0
        return jnp.where(unlucky, jnp.nan, 1.0), jnp.float32(0)


class PricedProbe(ProbeEnv):
    """Reward and cost are the first action component, although a cost may not be negative."""

    def gains(self, obs, action, time):
        return action[0], action[0]


class UnplacedProbe(ProbeEnv):
    """Every reset reports that it found no free place."""

    def reset(self, rng: jax.Array) -> State:
        return super().reset(rng).replace(info={"placement_failed": jnp.float32(1)})
