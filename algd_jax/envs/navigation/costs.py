"""What is charged for: standing in hazards, touching wrong buttons, touching gremlins.

Safety-Gym looks at contacts only where an environment step ends, and so do these functions: the
shapes overlap there or they do not. Each returns a boolean; a step costs 1 if any of them is true.
"""

import jax
import jax.numpy as jnp

from algd_jax.envs.navigation.geometry import point_square_distance, to_body, unit_vector
from algd_jax.envs.navigation.objects import Buttons, Hazards
from algd_jax.envs.navigation.robots import Footprint

__all__ = ["in_hazard", "pressed"]


def in_hazard(row: Hazards, origin: jax.Array) -> jax.Array:
    """Whether the robot's origin [2] lies strictly inside a hazard."""
    offsets = jnp.asarray(row.centres) - origin
    return jnp.any(jnp.sum(offsets**2, axis=1) < row.radius**2)


def pressed(row: Buttons, footprint: Footprint, origin: jax.Array, heading: jax.Array) -> jax.Array:
    """Which buttons [B] the robot touches; robot at origin [2], heading [] in the world.

    Buttons, disc and square have their centres at one height, so distances are planar.
    """
    centres = jnp.asarray(row.centres)
    disc_gap = jnp.linalg.norm(centres - origin, axis=1) - footprint.disc_radius
    in_body = to_body(centres - origin, unit_vector(heading))
    from_square = in_body - jnp.asarray(footprint.square_centre)
    square_gap = point_square_distance(from_square, footprint.square_half)
    return jnp.minimum(disc_gap, square_gap) <= row.radius
