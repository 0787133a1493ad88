"""The robots: body, actuators, sensors, and what others can touch of them, one row each."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco

from algd_jax.envs.navigation.geometry import Pose, to_body, unit_vector

__all__ = ["POINT", "Footprint", "Robot"]

_GRAVITY = 9.81  # m/s^2
_MAGNETIC_FIELD = (0.0, -0.5)  # Horizontal, in the world frame.


@dataclasses.dataclass(frozen=True)
class Footprint:
    """What others can touch of a robot, seen from above in its body frame.

    Attributes:
      disc_radius: radius of the disc around the body origin [m].
      square_centre: centre (x, y) of the square [m].
      square_half: half side of the square [m].
    """

    disc_radius: float
    square_centre: tuple[float, float]
    square_half: float


@dataclasses.dataclass(frozen=True)
class Robot:
    """One robot.

    Attributes:
      build: adds body `robot`, and its actuators to a MuJoCo specification.
      rest: qpos of the robot standing still at a pose.
      pose: pose of the robot at a qpos.
      read: its sensors' readings by name, from qpos, qvel and the acceleration qacc.
      footprint: see `Footprint`.
      keepout: radius kept free around the start position [m].
    """

    build: Callable[[mujoco.MjSpec], None]
    rest: Callable[[Pose], jax.Array]
    pose: Callable[[jax.Array], Pose]
    read: Callable[[jax.Array, jax.Array, jax.Array], dict[str, jax.Array]]
    footprint: Footprint
    keepout: float


_POINT_FOOTPRINT = Footprint(disc_radius=0.1, square_centre=(0.1, 0.0), square_half=0.05)
_POINT_FORCE_LIMIT = 0.05
_POINT_GEAR = 0.3


def _build_point(spec: mujoco.MjSpec) -> None:
    """Adds the point robot: a sphere that slides and turns, and a box that shows its front.

    The body stands at the world origin without rotation, so that

    | index | qpos, qvel | unit |
    |---|---|---|
    | 0, 1 | position of the body origin in the world, its velocity | m, m/s |
    | 2 | heading, counter-clockwise from world x; yaw rate | rad, rad/s |

    | index | action in [-1, 1] | effect |
    |---|---|---|
    | 0 | forward force | 0.3 clip(u, -0.05, 0.05) N along the body x axis |
    | 1 | yaw rate servo | 0.3 clip(u - 0.3 yaw_rate, -0.05, 0.05) N m |

    Any |u_0| >= 0.05 drives with the full 0.015 N. The servo's velocity term is integrated
    explicitly and is unstable at Safety-Gym's time step: bounded by the force limit it ends in a
    limit cycle, which is part of the task.
    """
    body = spec.worldbody.add_body(name="robot", pos=[0.0, 0.0, 0.1])
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    body.add_joint(name="x", type=slide, axis=[1, 0, 0], damping=0.01)
    body.add_joint(name="y", type=slide, axis=[0, 1, 0], damping=0.01)
    body.add_joint(name="z", type=hinge, axis=[0, 0, 1], damping=0.005)
    body.add_geom(
        name="robot",
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[_POINT_FOOTPRINT.disc_radius, 0, 0],
        density=1.0,
        friction=[1.0, 0.01, 0.01],
        condim=6,
    )
    body.add_geom(
        name="pointarrow",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[_POINT_FOOTPRINT.square_half] * 3,
        pos=[*_POINT_FOOTPRINT.square_centre, 0.0],
        density=1.0,
        condim=6,
    )
    body.add_site(name="robot")
    limits = dict(
        gear=[_POINT_GEAR, 0, 0, 0, 0, 0],
        ctrllimited=True,
        ctrlrange=[-1.0, 1.0],
        forcelimited=True,
        forcerange=[-_POINT_FORCE_LIMIT, _POINT_FORCE_LIMIT],
    )
    drive = spec.add_actuator(name="x", target="robot", trntype=mujoco.mjtTrn.mjTRN_SITE, **limits)
    drive.set_to_motor()
    servo = spec.add_actuator(name="z", target="z", trntype=mujoco.mjtTrn.mjTRN_JOINT, **limits)
    servo.set_to_velocity(kv=1.0)


def _rest_point(pose: Pose) -> jax.Array:
    return jnp.append(pose.origin, pose.heading)


def _pose_point(qpos: jax.Array) -> Pose:
    return Pose(origin=qpos[:2], heading=qpos[2])


def _read_point(qpos: jax.Array, qvel: jax.Array, qacc: jax.Array) -> dict[str, jax.Array]:
    """Sensors at the origin of an upright body that moves in the plane, in body axes."""
    axis = unit_vector(qpos[2])
    field = to_body(jnp.asarray(_MAGNETIC_FIELD), axis)
    return {
        "accelerometer": jnp.append(to_body(qacc[:2], axis), _GRAVITY),
        "velocimeter": jnp.append(to_body(qvel[:2], axis), 0.0),
        "gyro": jnp.append(jnp.zeros(2), qvel[2]),
        "magnetometer": jnp.append(field, 0.0),
    }


POINT = Robot(
    build=_build_point,
    rest=_rest_point,
    pose=_pose_point,
    read=_read_point,
    footprint=_POINT_FOOTPRINT,
    keepout=0.4,
)
