"""Each form against the policy as it was trained: differences, and how long a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from algd_jax.agents.algorithm import Algorithm
from algd_jax.agents.state import AgentState
from algd_jax.config import Hyper
from algd_jax.errors import ConfigError
from algd_jax.runs.export.forms import Calls
from algd_jax.runs.export.policy import ExportedPolicy

OBSERVATIONS = 1000
"""On which each form is compared with the original."""

TOLERANCE = 1e-4
"""Largest difference of an action that is let pass [action]."""

BATCHES = (1, 1024)
CALLS, LONGEST = 200, 2.0
"""Timed calls of one form at one batch, and the seconds after which there are no more of them."""


def original(algorithm: Algorithm, agent: AgentState, hyper: Hyper) -> tuple[Callable, Callable]:
    """The policy that is deployed, for a batch.

    Returns:
      (obs [B, O] -> actions [B, A], (obs, keys [B]) -> actions), jitted.
    """

    def deterministic(obs):
        return jax.vmap(lambda one: algorithm.act_deterministic(agent, one, hyper))(obs)

    def sampled(obs, keys):
        params = algorithm.policy(agent)
        seen = algorithm.seen(agent, obs)
        draw = jax.vmap(lambda one, key: algorithm.actor.draw(params, one, key, hyper).action)
        return draw(seen, keys)

    return jax.jit(deterministic), jax.jit(sampled)


def differences(
    forms: Mapping[str, Calls],
    policy: ExportedPolicy,
    originals: tuple[Callable, Callable],
    key: jax.Array,
) -> dict[str, dict[str, float]]:
    """Largest absolute difference of each form's actions from the original's [action].

    Compared on unit-normal observations, sampled actions for the very noise that the original
    draws.

    Raises:
      ConfigError: for a form that differs by more than ``TOLERANCE``.
    """
    obs_key, noise_key = jax.random.split(key)
    obs = np.asarray(jax.random.normal(obs_key, (OBSERVATIONS, policy.obs_size)))
    keys = jax.random.split(noise_key, OBSERVATIONS)
    noise = np.asarray(jax.vmap(policy.draw_noise)(keys))
    deterministic, sampled = np.asarray(originals[0](obs)), np.asarray(originals[1](obs, keys))
    found = {}
    for name, calls in forms.items():
        found[name] = {"deterministic": _largest(calls.deterministic(obs), deterministic)}
        if calls.sampled is not None:
            found[name]["sampled"] = _largest(calls.sampled(obs, noise), sampled)
        worst = float(np.max([*found[name].values()]))
        if not worst <= TOLERANCE:  # NaN is no small difference.
            raise ConfigError(
                f"run_dir: actions of the form {name} differ by {worst:.2g} from the policy, "
                f"allowed is {TOLERANCE:g}; nothing was exported"
            )
    return found


def latencies(
    calls: Mapping[str, Callable[[np.ndarray], Any]], obs_size: int
) -> list[dict[str, Any]]:
    """Time of single calls from Python until the actions are there.

    One form after the other, not in turn: their threads would wait for work beside each other.

    Returns:
      A row per batch and form: median and quartiles [µs].
    """
    rows = []
    for batch in BATCHES:
        obs = np.zeros((batch, obs_size), np.float32)
        for name, call in calls.items():
            seconds = _time(call, obs)
            lower, median, upper = np.percentile(1e6 * np.asarray(seconds), [25, 50, 75])
            rows.append(
                {
                    "form": name,
                    "batch": batch,
                    "median_us": round(float(median), 1),
                    "lower_quartile_us": round(float(lower), 1),
                    "upper_quartile_us": round(float(upper), 1),
                    "calls": len(seconds),
                }
            )
    return rows


def _time(call: Callable[[np.ndarray], Any], obs: np.ndarray) -> list[float]:
    """Seconds of each call after the first, which may compile."""
    np.asarray(call(obs))
    seconds: list[float] = []
    end = time.perf_counter() + LONGEST
    while not seconds or (len(seconds) < CALLS and time.perf_counter() < end):
        start = time.perf_counter()
        np.asarray(call(obs))
        seconds.append(time.perf_counter() - start)
    return seconds


def _largest(actions: Any, wanted: np.ndarray) -> float:
    return float(np.max(np.abs(np.asarray(actions) - wanted)))
