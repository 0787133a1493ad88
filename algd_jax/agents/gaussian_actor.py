"""The squashed Gaussian actor of soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from algd_jax.agents.actors import ActorTerms, BatchEnergy, Draw
from algd_jax.agents.networks import COMPUTE_TYPES, GaussianNetwork
from algd_jax.config import AgentConfig, Hyper
from algd_jax.diffusion.chain import SquashFunction, squash_to_box


@dataclasses.dataclass(frozen=True)
class GaussianActor:
    """Squashed Gaussian policy with an entropy bonus of learnt weight α; an ``Actor``.

    Entropy is that of the action rescaled to [−1, 1]^A, and α is steered towards the entropy −A
    (section 5 of the paper above).

    Attributes:
      network: mean and log standard deviation of the latent.
      squash: latent to action.
      obs_size: O.
    """

    network: GaussianNetwork
    squash: SquashFunction
    obs_size: int

    def init(self, key: jax.Array, hyper: Hyper) -> dict:
        """Parameters of the network, and log α."""
        network = self.network.init(key, jnp.zeros(self.obs_size))["params"]
        return {"network": network, "log_alpha": jnp.log(jnp.float32(hyper.initial_alpha))}

    def draw(self, params: dict, obs: jax.Array, key: jax.Array, hyper: Hyper) -> Draw:
        """Draw one action at one observation [O]; its bonus is −α log π."""
        del hyper
        action, log_density = self._sample(params, obs, self.draw_noise(key))
        return Draw(action, bonus=-jnp.exp(params["log_alpha"]) * log_density)

    def act_deterministic(self, params: dict, obs: jax.Array, hyper: Hyper) -> jax.Array:
        """The squashed mean [A]."""
        del hyper
        return self.squash(self.gaussian(params, obs)[0])

    def draw_noise(self, key: jax.Array) -> jax.Array:
        """Unit-normal noise [A] of one action."""
        return jax.random.normal(key, (self.network.action_size,))

    def loss_terms(
        self, params: dict, obs: jax.Array, energies: BatchEnergy, noise: jax.Array, hyper: Hyper
    ) -> ActorTerms:
        """Energy + α log π (auxiliary: log π), and the loss of α, which sees log π as constant."""
        del hyper
        actions, log_density = jax.vmap(self._sample, in_axes=(None, 0, 0))(params, obs, noise)
        alpha = jnp.exp(params["log_alpha"])
        target_entropy = -float(self.network.action_size)
        excess_entropy = jax.lax.stop_gradient(-log_density - target_entropy)
        action_energies = energies(actions)
        policy_loss = action_energies + jax.lax.stop_gradient(alpha) * log_density
        return ActorTerms(
            loss=policy_loss + alpha * excess_entropy,
            energy=action_energies,
            auxiliary=log_density,
        )

    def gaussian(self, params: dict, obs: jax.Array) -> Any:
        """Mean [A] and log standard deviation [A] of the latent at one observation [O]."""
        return self.network.apply({"params": params["network"]}, obs)

    def _sample(
        self, params: dict, obs: jax.Array, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        mean, log_std = self.gaussian(params, obs)
        latent = mean + jnp.exp(log_std) * noise
        return self.squash(latent), squashed_log_density(latent, log_std, noise)


def squashed_log_density(latent: jax.Array, log_std: jax.Array, noise: jax.Array) -> jax.Array:
    """Log density [] of tanh(latent) in [−1, 1]^A for latent = mean + exp(log_std) · noise.

    Args:
      latent: [A].
      log_std: [A] of the Gaussian.
      noise: [A] the unit-normal draw behind the latent.

    Source: appendix C of arXiv 1812.05905; log(1 − tanh² x) = 2 (log 2 − x − softplus(−2x)).
    """
    gaussian = jax.scipy.stats.norm.logpdf(noise) - log_std
    log_slope = 2 * (jnp.log(2.0) - latent - jax.nn.softplus(-2 * latent))
    return jnp.sum(gaussian - log_slope)


def make_gaussian_actor(
    obs_size: int,
    action_low: tuple[float, ...],
    action_high: tuple[float, ...],
    sizes: AgentConfig,
) -> GaussianActor:
    """A Gaussian actor for the action box [action_low, action_high]."""
    widths = (sizes.actor_width,) * sizes.actor_layers
    network = GaussianNetwork(len(action_low), widths, COMPUTE_TYPES[sizes.compute])
    return GaussianActor(network, squash_to_box(action_low, action_high), obs_size)
