"""What an actor is to the rest of an algorithm: draw actions, and say what training minimises."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
from flax import struct

from algd_jax.config import Hyper
from algd_jax.diffusion.score_target import EnergyFunction
from algd_jax.types import Scalar


class Draw(NamedTuple):
    """One action drawn from a policy.

    Attributes:
      action: [A] inside the action box.
      bonus: [] what the policy's randomness is worth in its own objective [reward]; 0 for a
        policy without entropy regularisation.
    """

    action: jax.Array
    bonus: Scalar


class ActorTerms(struct.PyTreeNode):
    """Actor loss of one example.

    Attributes:
      loss: [] what the actor minimises.
      energy: [] energy of the policy's action, differentiated through how it is made.
      auxiliary: [] the loss's other term, unweighted; each actor says which.
    """

    loss: jax.Array
    energy: jax.Array
    auxiliary: jax.Array


class Actor(Protocol):
    """A policy class; static, its parameters are passed in. All functions are of one example."""

    def init(self, key: jax.Array, hyper: Hyper) -> dict:
        """Fresh parameters."""

    def draw(self, params: dict, obs: jax.Array, key: jax.Array, hyper: Hyper) -> Draw:
        """Draw one action at one observation [O]."""

    def act_deterministic(self, params: dict, obs: jax.Array, hyper: Hyper) -> jax.Array:
        """The action [A] without any noise."""

    def draw_noise(self, key: jax.Array) -> Any:
        """The randomness of :meth:`loss_terms`."""

    def loss_terms(
        self, params: dict, obs: jax.Array, energy: EnergyFunction, noise: Any, hyper: Hyper
    ) -> ActorTerms:
        """The loss at one observation [O] whose energy landscape is ``energy``."""
