"""Diffusion actors: a reverse chain over actions whose score model follows an energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.actors import ActorTerms, BatchEnergy, Draw
from algd_jax.agents.networks import COMPUTE_TYPES, ScoreNetwork
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
from algd_jax.diffusion.score_target import weighted_score


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
      chain_gradient: whether the score error's gradient reaches the chain through a_k.
    """

    network: ScoreNetwork
    squash: SquashFunction
    score_samples: int
    form: Form
    chain_gradient: bool = True

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
        energies: BatchEnergy,
        noise: DiffusionNoise,
        hyper: Hyper,
    ) -> ActorTerms:
        """Energy of the action + ``score_weight`` · mean squared error of the score (auxiliary).

        The score is regressed at (a_k, k) of the very chain that produced the action. As in the
        paper's reference, a_k stays in the graph, unless ``chain_gradient`` is false; the target is
        a constant. A share of the batch, ``quiet_share``, has chains without noise: it teaches the
        deterministic action, which is no mean of the others where those have several modes.
        """
        quiet = jnp.arange(len(obs)) < hyper.quiet_share * len(obs)

        def chain(obs, noise, quiet):
            chain_noise = jax.tree.map(lambda draws: jnp.where(quiet, 0.0, draws), noise.chain)
            latents = self.latents(params, obs, chain_noise, hyper)
            noisy_action = self.squash(_row(latents, noise.k))
            if not self.chain_gradient:
                noisy_action = jax.lax.stop_gradient(noisy_action)
            score = self._models(params, obs).score(noisy_action, noise.k)
            return self.squash(latents[0]), noisy_action, score

        actions, noisy_actions, scores = jax.vmap(chain)(obs, noise, quiet)
        targets = self._score_targets(energies, noisy_actions, noise, hyper)
        action_energies = energies(actions)
        score_errors = jnp.mean((scores - targets) ** 2, axis=-1)
        return ActorTerms(
            loss=action_energies + hyper.score_weight * score_errors,
            energy=action_energies,
            auxiliary=score_errors,
        )

    def schedule(self, hyper: Hyper) -> Any:
        """The noise schedule these hyperparameters ask for."""
        return self.form.schedule(self.network.chain_steps, hyper)

    def latents(self, params: dict, obs: jax.Array, noise: ChainNoise, hyper: Hyper) -> jax.Array:
        """The chain [K, A] at one observation [O]; row k is the latent after the step k."""
        models, schedule = self._models(params, obs), self.schedule(hyper)
        return self.form.chain(models, schedule, noise, self.squash, hyper)

    def _score_targets(
        self, energies: BatchEnergy, actions: jax.Array, noise: DiffusionNoise, hyper: Hyper
    ) -> jax.Array:
        """``score_target`` at each of the actions [B, A], as constants, the critics asked once."""
        sigmas = self.schedule(hyper).sigmas[noise.k]
        samples = actions + sigmas[:, None] * jnp.moveaxis(noise.target, 1, 0)
        values, pull_back = jax.vjp(energies, jax.lax.stop_gradient(samples))
        # Each energy depends on its own action only: one pull-back holds all gradients.
        (gradients,) = pull_back(jnp.ones_like(values))
        return jax.lax.stop_gradient(weighted_score(values, gradients, hyper.temperature))

    def _models(self, params: dict, obs: jax.Array) -> Models:
        def apply(*inputs: jax.Array, method: str = "__call__") -> Any:
            return self.network.apply({"params": params}, *inputs, method=method)

        embedding, times = apply(obs, method="embed"), apply(method="embed_times")

        def score(action, k):
            return apply(embedding + _row(times, k), action)

        def noise(latent, k):
            return apply(embedding + _row(times, k), latent, method="noise")

        return Models(score, noise)


def _row(table: jax.Array, k: jax.Array) -> jax.Array:
    """Row k of a small table [K, …] as a product, whose derivative is one too and not a scatter.

    In full precision, whatever the device's default for products: a look-up must not round.
    """
    chosen = jax.nn.one_hot(k, table.shape[0], dtype=table.dtype)
    return jnp.matmul(chosen, table, precision=jax.lax.Precision.HIGHEST)


def make_diffusion_actor(
    obs_size: int,
    action_low: tuple[float, ...],
    action_high: tuple[float, ...],
    sizes: AgentConfig,
) -> DiffusionActor:
    """A diffusion actor for the action box [action_low, action_high]."""
    form = FORMS[sizes.diffusion]
    network = ScoreNetwork(
        obs_size,
        len(action_low),
        sizes.chain_steps,
        sizes.time_features,
        (sizes.actor_width,) * sizes.actor_layers,
        form.noise_head,
        COMPUTE_TYPES[sizes.compute],
    )
    squash = squash_to_box(action_low, action_high)
    return DiffusionActor(network, squash, sizes.score_samples, form, sizes.chain_gradient)
