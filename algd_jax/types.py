"""Shared records and the axis glossary.

Axes, wherever a shape is written in this project:

    P  population (agents trained side by side)      N  environments
    B  batch drawn from replay                       D  rows of replay; R in each environment's ring
    K  steps of the diffusion chain                  M  Monte Carlo samples of the score target
    E  members of the cost-critic ensemble           O  observation size
    A  action size                                   C  constraints, where there are several

Mathematics is written for one example (no B, no N) and mapped with ``jax.vmap`` where it is called.
"""

from __future__ import annotations

import jax
from flax import struct

TOTAL_COST = "cost"
"""The name of an environment's whole cost in its ``metrics``."""

Scalar = jax.Array | float
"""A zero-dimensional array, or a Python number that becomes one."""


class Transition(struct.PyTreeNode):
    """One environment step, as replay stores it (float32 throughout).

    Attributes:
      obs: [O] observation before the step.
      action: [A] action taken, in the environment's units.
      reward: [] reward of the step.
      cost: [] cost of the step, >= 0; [C] for C constraints, each on a cost of its own.
      next_obs: [O] observation after the step, before any reset.
      terminated: [] 1 where the reward critic must not bootstrap.
      cost_terminated: [] 1 where the cost critics must not bootstrap.
      bootstrap: [] weight of the next value in the reward's target, if ``reward`` sums several
        steps; None for one step, whose weight is γ (1 − terminated).
      cost_bootstrap: [] likewise for the cost.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    cost: jax.Array
    next_obs: jax.Array
    terminated: jax.Array
    cost_terminated: jax.Array
    bootstrap: jax.Array | None = None
    cost_bootstrap: jax.Array | None = None
