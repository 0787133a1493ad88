"""Diffusion actors: how actions are drawn and how the score model is trained."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.networks import ScoreNetwork
from algd_jax.config import Hyper
from algd_jax.diffusion.chain import (
    ChainNoise,
    SquashFunction,
    draw_chain_noise,
    squash_to_box,
    ve_chain,
    zero_chain_noise,
)
from algd_jax.diffusion.schedules import VarianceExploding, variance_exploding
from algd_jax.diffusion.score_target import EnergyFunction, score_target


class ActorNoise(struct.PyTreeNode):
    """Everything random in the actor loss of one example.

    Attributes:
      chain: noise of the reverse chain.
      k: [] int32, the chain index whose score is regressed, uniform on 0 … K−1.
      target: [M, A] unit-normal draws of the score target.
    """

    chain: ChainNoise
    k: jax.Array
    target: jax.Array


class ActorTerms(struct.PyTreeNode):
    """Actor loss terms of one example.

    Attributes:
      energy: [] energy of the chain's action, differentiated through the whole chain.
      score_error: [] mean squared error of the score model over action dimensions.
    """

    energy: jax.Array
    score_error: jax.Array


@dataclasses.dataclass(frozen=True)
class DiffusionActor:
    """Variance-exploding diffusion policy (paper, section on the diffusion policy).

    Attributes:
      network: the score model.
      squash: latent to action.
      score_samples: M, Monte Carlo samples of the score target.
    """

    network: ScoreNetwork
    squash: SquashFunction
    score_samples: int

    def init(self, key: jax.Array) -> dict:
        """Parameters of the score model."""
        obs, action = jnp.zeros(self.network.obs_size), jnp.zeros(self.network.action_size)
        return self.network.init(key, obs, action, jnp.int32(0), method="score")["params"]

    def act(self, params: dict, obs: jax.Array, key: jax.Array, hyper: Hyper) -> jax.Array:
        """Draw one action [A] at one observation [O]."""
        noise = draw_chain_noise(key, self.network.chain_steps, self.network.action_size)
        return self.squash(self._latents(params, obs, noise, hyper)[0])

    def act_deterministic(self, params: dict, obs: jax.Array, hyper: Hyper) -> jax.Array:
        """The chain's action [A] without any noise."""
        noise = zero_chain_noise(self.network.chain_steps, self.network.action_size)
        return self.squash(self._latents(params, obs, noise, hyper)[0])

    def draw_noise(self, key: jax.Array) -> ActorNoise:
        """The randomness of one example of :meth:`loss_terms`."""
        chain_key, index_key, target_key = jax.random.split(key, 3)
        chain_steps, action_size = self.network.chain_steps, self.network.action_size
        return ActorNoise(
            chain=draw_chain_noise(chain_key, chain_steps, action_size),
            k=jax.random.randint(index_key, (), 0, chain_steps),
            target=jax.random.normal(target_key, (self.score_samples, action_size)),
        )

    def loss_terms(
        self, params: dict, obs: jax.Array, energy: EnergyFunction, noise: ActorNoise, hyper: Hyper
    ) -> ActorTerms:
        """Energy of the action and error of the score model at one observation.

        The score is regressed at (a_k, k) of the very chain that produced the action. As in the
        paper's reference, a_k stays in the graph; only the target is a constant.
        """
        embeddings = self._embed(params, obs)
        schedule = self.schedule(hyper)
        latents = self._chain(params, embeddings, schedule, noise.chain)
        noisy_action = self.squash(latents[noise.k])
        target = jax.lax.stop_gradient(
            score_target(
                energy, noisy_action, schedule.sigmas[noise.k], noise.target, hyper.temperature
            )
        )
        score = self._score(params, embeddings[noise.k], noisy_action)
        return ActorTerms(
            energy=energy(self.squash(latents[0])),
            score_error=jnp.mean((score - target) ** 2),
        )

    def schedule(self, hyper: Hyper) -> VarianceExploding:
        """The noise schedule these hyperparameters ask for."""
        return variance_exploding(self.network.chain_steps, hyper.sigma_min, hyper.sigma_max)

    def _latents(self, params, obs, noise, hyper):
        return self._chain(params, self._embed(params, obs), self.schedule(hyper), noise)

    def _chain(self, params, embeddings, schedule, noise):
        def score(action, k):
            return self._score(params, embeddings[k], action)

        return ve_chain(score, schedule, noise, self.squash)

    def _embed(self, params, obs):
        return self.network.apply({"params": params}, obs, method="embed")

    def _score(self, params, embedding, action):
        return self.network.apply({"params": params}, embedding, action)


def make_diffusion_actor(
    obs_size: int,
    action_low: tuple[float, ...],
    action_high: tuple[float, ...],
    chain_steps: int,
    score_samples: int,
    time_features: int,
    widths: tuple[int, ...],
) -> DiffusionActor:
    """A diffusion actor for the action box [action_low, action_high]."""
    network = ScoreNetwork(obs_size, len(action_low), chain_steps, time_features, widths)
    return DiffusionActor(network, squash_to_box(action_low, action_high), score_samples)
