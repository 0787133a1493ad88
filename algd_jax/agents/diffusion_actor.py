"""Diffusion actors: a reverse chain over actions whose score model follows an energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.actors import ActorTerms, Draw
from algd_jax.agents.networks import ScoreNetwork
from algd_jax.config import AgentConfig, Hyper
from algd_jax.diffusion.chain import (
    ChainNoise,
    ModelFunction,
    SquashFunction,
    ddpm_chain,
    draw_chain_noise,
    squash_to_box,
    ve_chain,
    zero_chain_noise,
)
from algd_jax.diffusion.schedules import denoising, variance_exploding
from algd_jax.diffusion.score_target import EnergyFunction, score_target
from algd_jax.errors import unknown_name


class DiffusionNoise(struct.PyTreeNode):
    """Everything random in the actor loss of one example.

    Attributes:
      chain: noise of the reverse chain.
      k: [] int32, the chain index whose score is regressed, uniform on 0 … K−1.
      target: [M, A] unit-normal draws of the score target.
    """

    chain: ChainNoise
    k: jax.Array
    target: jax.Array


class Models(NamedTuple):
    """The network's heads at one state.

    Attributes:
      score: φ(squashed action, k).
      noise: ε(latent, k); only the DDPM form has and calls it.
    """

    score: ModelFunction
    noise: ModelFunction


class Form(NamedTuple):
    """What tells one form of diffusion from another.

    Attributes:
      schedule: (K, hyper) -> schedule with ``sigmas`` [K].
      chain: (models, schedule, noise, squash, hyper) -> latents [K, A].
      noise_head: whether the network predicts noise besides the score.
    """

    schedule: Callable[[int, Hyper], Any]
    chain: Callable[[Models, Any, ChainNoise, SquashFunction, Hyper], jax.Array]
    noise_head: bool


def _ve_schedule(chain_steps, hyper):
    return variance_exploding(chain_steps, hyper.sigma_min, hyper.sigma_max)


def _ve_chain(models, schedule, noise, squash, hyper):
    return ve_chain(models.score, schedule, noise, squash)


def _ddpm_schedule(chain_steps, hyper):
    return denoising(chain_steps, hyper.ddpm_beta_min, hyper.ddpm_beta_max)


def _ddpm_chain(models, schedule, noise, squash, hyper):
    return ddpm_chain(models.noise, models.score, schedule, noise, squash, hyper.guidance)


FORMS: dict[str, Form] = {
    "ve": Form(_ve_schedule, _ve_chain, noise_head=False),
    "ddpm": Form(_ddpm_schedule, _ddpm_chain, noise_head=True),
}


@dataclasses.dataclass(frozen=True)
class DiffusionActor:
    """Diffusion policy (paper, section on the diffusion policy); an ``Actor``.

    Attributes:
      network: the score model.
      squash: latent to action.
      score_samples: M, Monte Carlo samples of the score target.
      form: schedule and reverse step.
    """

    network: ScoreNetwork
    squash: SquashFunction
    score_samples: int
    form: Form

    def init(self, key: jax.Array, hyper: Hyper) -> dict:
        """Parameters of the score model."""
        del hyper
        obs, action = jnp.zeros(self.network.obs_size), jnp.zeros(self.network.action_size)
        return self.network.init(key, obs, action, jnp.int32(0), method="heads")["params"]

    def draw(self, params: dict, obs: jax.Array, key: jax.Array, hyper: Hyper) -> Draw:
        """Draw one action at one observation [O]."""
        noise = draw_chain_noise(key, self.network.chain_steps, self.network.action_size)
        return Draw(self.squash(self.latents(params, obs, noise, hyper)[0]), bonus=0.0)

    def act_deterministic(self, params: dict, obs: jax.Array, hyper: Hyper) -> jax.Array:
        """The chain's action [A] without any noise."""
        noise = zero_chain_noise(self.network.chain_steps, self.network.action_size)
        return self.squash(self.latents(params, obs, noise, hyper)[0])

    def draw_noise(self, key: jax.Array) -> DiffusionNoise:
        """The randomness of one example of :meth:`loss_terms`."""
        chain_key, index_key, target_key = jax.random.split(key, 3)
        chain_steps, action_size = self.network.chain_steps, self.network.action_size
        return DiffusionNoise(
            chain=draw_chain_noise(chain_key, chain_steps, action_size),
            k=jax.random.randint(index_key, (), 0, chain_steps),
            target=jax.random.normal(target_key, (self.score_samples, action_size)),
        )

    def loss_terms(
        self,
        params: dict,
        obs: jax.Array,
        energy: EnergyFunction,
        noise: DiffusionNoise,
        hyper: Hyper,
    ) -> ActorTerms:
        """Energy of the action + ``score_weight`` · mean squared error of the score (auxiliary).

        The score is regressed at (a_k, k) of the very chain that produced the action. As in the
        paper's reference, a_k stays in the graph; only the target is a constant.
        """
        models, schedule = self._models(params, obs), self.schedule(hyper)
        latents = self.form.chain(models, schedule, noise.chain, self.squash, hyper)
        noisy_action = self.squash(latents[noise.k])
        target = jax.lax.stop_gradient(
            score_target(
                energy, noisy_action, schedule.sigmas[noise.k], noise.target, hyper.temperature
            )
        )
        action_energy = energy(self.squash(latents[0]))
        score_error = jnp.mean((models.score(noisy_action, noise.k) - target) ** 2)
        return ActorTerms(
            loss=action_energy + hyper.score_weight * score_error,
            energy=action_energy,
            auxiliary=score_error,
        )

    def schedule(self, hyper: Hyper) -> Any:
        """The noise schedule these hyperparameters ask for."""
        return self.form.schedule(self.network.chain_steps, hyper)

    def latents(self, params: dict, obs: jax.Array, noise: ChainNoise, hyper: Hyper) -> jax.Array:
        """The chain [K, A] at one observation [O]; row k is the latent after the step k."""
        models, schedule = self._models(params, obs), self.schedule(hyper)
        return self.form.chain(models, schedule, noise, self.squash, hyper)

    def _models(self, params: dict, obs: jax.Array) -> Models:
        embeddings = self.network.apply({"params": params}, obs, method="embed")

        def score(action, k):
            return self.network.apply({"params": params}, embeddings[k], action)

        def noise(latent, k):
            return self.network.apply({"params": params}, embeddings[k], latent, method="noise")

        return Models(score, noise)


def make_diffusion_actor(
    obs_size: int,
    action_low: tuple[float, ...],
    action_high: tuple[float, ...],
    sizes: AgentConfig,
) -> DiffusionActor:
    """A diffusion actor for the action box [action_low, action_high].

    Raises:
      ConfigError: for an unknown form of diffusion.
    """
    if sizes.diffusion not in FORMS:
        raise unknown_name("diffusion", sizes.diffusion, FORMS)
    form = FORMS[sizes.diffusion]
    network = ScoreNetwork(
        obs_size,
        len(action_low),
        sizes.chain_steps,
        sizes.time_features,
        (sizes.actor_width,) * sizes.actor_layers,
        form.noise_head,
    )
    return DiffusionActor(
        network, squash_to_box(action_low, action_high), sizes.score_samples, form
    )
