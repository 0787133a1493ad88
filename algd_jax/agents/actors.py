"""What an actor is to the rest of an algorithm: draw actions, and say what training minimises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
from flax import struct

from algd_jax.config import Hyper
from algd_jax.types import Scalar

BatchEnergy = Callable[[jax.Array], jax.Array]
"""Actions [..., B, A], one or several for each of B states, -> their energies [..., B].

``jnp.vectorize(energy, signature="(a)->()")`` makes one of an energy of one action.
"""


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
    """Actor loss of a batch, example by example.

    Attributes:
      loss: [B] what the actor minimises.
      energy: [B] energy of the policy's action, differentiated through how it is made.
      auxiliary: [B] the loss's other term, unweighted; each actor says which.
    """

    loss: jax.Array
    energy: jax.Array
    auxiliary: jax.Array


class Actor(Protocol):
    """A policy class; static, its parameters are passed in.

    Acting is for one example, the loss for a batch: critics judge the actions of all examples in
    one product per layer.
    """

    def init(self, key: jax.Array, hyper: Hyper) -> dict:
        """Fresh parameters."""

    def draw(self, params: dict, obs: jax.Array, key: jax.Array, hyper: Hyper) -> Draw:
        """Draw one action at one observation [O]."""

    def act_deterministic(self, params: dict, obs: jax.Array, hyper: Hyper) -> jax.Array:
        """The action [A] without any noise."""

    def draw_noise(self, key: jax.Array) -> Any:
        """The randomness of one example of :meth:`loss_terms`."""

    def loss_terms(
        self, params: dict, obs: jax.Array, energies: BatchEnergy, noise: Any, hyper: Hyper
    ) -> ActorTerms:
        """The loss at observations [B, O] whose energies are ``energies``; noise leaves [B, …]."""
