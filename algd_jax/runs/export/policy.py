"""A trained policy alone: its actions as functions of observations and unit-normal noise."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.agents.actors import Actor
from algd_jax.agents.diffusion_actor import DiffusionActor
from algd_jax.agents.gaussian_actor import GaussianActor
from algd_jax.agents.networks import LOG_STD_RANGE
from algd_jax.agents.statistics import OBSERVATION_RANGE, Normalizer
from algd_jax.config import Hyper
from algd_jax.diffusion.chain import ChainNoise, draw_chain_noise
from algd_jax.envs import EnvSpec

Arrays = dict[str, np.ndarray]
"""float32; what the NumPy runner computes with, by name; ``runner.py`` says what they are."""


def make_policy(
    actor: Actor, params: dict, hyper: Hyper, spec: EnvSpec, normalizer: Normalizer | None = None
) -> ExportedPolicy:
    """The policy of an actor with its parameters, for environments of this specification.

    Args:
      actor: which computes.
      params: its parameters.
      hyper: of the chain.
      spec: of the environment.
      normalizer: what the network sees of an observation, if it is not the observation itself.

    Raises:
      TypeError: for an actor of another class than the two of ``ALGORITHMS``.
    """
    if isinstance(actor, DiffusionActor):
        actor = _with_constant_schedule(actor, hyper)
    elif not isinstance(actor, GaussianActor):
        raise TypeError(f"a {type(actor).__name__} cannot be exported")
    return ExportedPolicy(
        actor,
        jax.device_get(params),
        hyper,
        spec.action_low,
        spec.action_high,
        spec.observation_size,
        None if normalizer is None else Normalizer(*jax.device_get(tuple(normalizer))),
    )


def _with_constant_schedule(actor: DiffusionActor, hyper: Hyper) -> DiffusionActor:
    # 1 − ᾱ_0 of DDPM keeps three digits in float32: computed by another compiler it is another one.
    schedule = jax.jit(actor.schedule)(hyper.as_arrays())
    form = actor.form._replace(schedule=lambda chain_steps, hyper: schedule)
    return dataclasses.replace(actor, form=form)


class ExportedPolicy(NamedTuple):
    """An actor with its parameters, and what it takes to call it.

    One action consumes noise [D, A]; without noise it is the deterministic action.

    Attributes:
      actor: which computes.
      params: its parameters, NumPy arrays: they become constants of what is exported.
      hyper: of the chain.
      low, high: [A] action box.
      obs_size: O.
      normalizer: of observations, or None.
    """

    actor: DiffusionActor | GaussianActor
    params: dict
    hyper: Hyper
    low: tuple[float, ...]
    high: tuple[float, ...]
    obs_size: int
    normalizer: Normalizer | None = None

    @property
    def kind(self) -> str:
        """Class of the policy."""
        if isinstance(self.actor, GaussianActor):
            return "gaussian"
        return "diffusion_ddpm" if self.actor.form.noise_head else "diffusion_ve"

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(D, A): a chain of K steps takes K draws, a Gaussian one."""
        draws = self.actor.network.chain_steps if isinstance(self.actor, DiffusionActor) else 1
        return draws, len(self.low)

    def draw_noise(self, key: jax.Array) -> jax.Array:
        """The noise [D, A] behind what the policy draws with the same key while it trains."""
        if isinstance(self.actor, GaussianActor):
            return self.actor.draw_noise(key)[None]
        noise = draw_chain_noise(key, *self.noise_shape)
        return jnp.concatenate([noise.initial[None], noise.steps])

    def deterministic(self, obs: jax.Array) -> jax.Array:
        """[B, O] -> [B, A]."""
        return jax.vmap(lambda one: self._act(one, jnp.zeros(self.noise_shape)))(obs)

    def sampled(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        """[B, O], unit-normal noise [B, D, A] -> [B, A]."""
        return jax.vmap(self._act)(obs, noise)

    def arrays(self) -> Arrays:
        """The same policy as named float32 arrays."""
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        box = {"action_scale": (high - low) / 2, "action_centre": (high + low) / 2}
        if isinstance(self.actor, GaussianActor):
            arrays = _gaussian_arrays(self.params["network"])
        else:
            arrays = self._network_arrays() | self._schedule_arrays(self.actor)
        return box | self._normalizer_arrays() | arrays

    def _normalizer_arrays(self) -> Arrays:
        if self.normalizer is None:
            return {}
        return {
            "obs_centre": np.asarray(self.normalizer.centre, np.float32),
            "obs_scale": np.asarray(self.normalizer.scale, np.float32),
            "obs_range": np.asarray([-OBSERVATION_RANGE, OBSERVATION_RANGE], np.float32),
        }

    def _act(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        if self.normalizer is not None:
            obs = self.normalizer(obs)
        if isinstance(self.actor, GaussianActor):
            mean, log_std = self.actor.gaussian(self.params, obs)
            return self.actor.squash(mean + jnp.exp(log_std) * noise[0])
        chain = ChainNoise(initial=noise[0], steps=noise[1:])
        return self.actor.squash(self.actor.latents(self.params, obs, chain, self.hyper)[0])

    def _network_arrays(self) -> Arrays:
        params, first = self.params, self.params["first"]
        of_obs, of_action, of_time = np.split(
            first["kernel"], [self.obs_size, self.obs_size + len(self.low)]
        )
        hidden = [params[f"hidden_{i}"] for i in range(len(params)) if f"hidden_{i}" in params]
        heads = {"output": params["output"]}
        if "noise_output" in params:
            heads["noise"] = params["noise_output"]
        return {
            "obs_kernel": of_obs,
            "action_kernel": of_action,
            "first_biases": params["time_embedding"]["embedding"] @ of_time + first["bias"],
            **_layers(hidden, heads),
        }

    def _schedule_arrays(self, actor: DiffusionActor) -> Arrays:
        """Each step as a linear combination of latent, score, predicted noise and draw."""
        schedule: Any = jax.tree.map(np.asarray, actor.schedule(self.hyper))
        if not actor.form.noise_head:
            return {
                "start_scale": schedule.sigmas[-1],
                "score_weights": schedule.deltas,
                "spread": np.sqrt(schedule.deltas),
            }
        of_clean = schedule.clean_weights / schedule.signals
        return {
            "start_scale": np.ones((), np.float32),
            "latent_weights": of_clean + schedule.latent_weights,
            "noise_weights": -of_clean * schedule.sigmas,
            "score_weights": np.full_like(schedule.sigmas, self.hyper.guidance),
            "spread": schedule.posterior_stds,
        }


def _gaussian_arrays(params: dict) -> Arrays:
    first, *hidden, mean, log_std = [params[f"Dense_{i}"] for i in range(len(params))]
    return {
        "obs_kernel": first["kernel"],
        "first_biases": first["bias"][None],
        "log_std_range": np.asarray(LOG_STD_RANGE, np.float32),
        **_layers(hidden, {"output": mean, "log_std": log_std}),
    }


def _layers(hidden: list[dict], heads: dict[str, dict]) -> Arrays:
    named = {(name, ""): layer for name, layer in heads.items()}
    named |= {("hidden", f"_{i}"): layer for i, layer in enumerate(hidden)}
    return {
        f"{name}_{part}{number}": layer[part]
        for (name, number), layer in named.items()
        for part in ("kernel", "bias")
    }
