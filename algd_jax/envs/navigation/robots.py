"""The robots: body, actuators, sensors, and what others can touch of them, one row each."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco

from algd_jax.envs.navigation.geometry import Pose, unit_vector

__all__ = ["CAR", "POINT", "Robot"]

_GRAVITY = (0.0, 0.0, 9.81)  # m/s^2
_MAGNETIC_FIELD = (0.0, -0.5, 0.0)

_Geom, _Joint, _Transmission = mujoco.mjtGeom, mujoco.mjtJoint, mujoco.mjtTrn


@dataclasses.dataclass(frozen=True)
class Robot:
    """One robot.

    Attributes:
      build: adds body `robot`, and its actuators to a MuJoCo specification.
      rest: qpos of the robot standing still, from its origin [2] and heading [].
      pose: pose of the robot at a qpos.
      planar: [3, nv] matrix from qvel to the origin's planar velocity (x, y [m/s], yaw [rad/s]).
      read: its sensors' readings by name, from qpos, qvel and the acceleration qacc.
      sensors: names of the readings, in the order of Safety-Gymnasium's observation.
      feet: names of the geoms that the floor carries.
      upright: whether it cannot tilt.
    """

    build: Callable[[mujoco.MjSpec], None]
    rest: Callable[[jax.Array, jax.Array], jax.Array]
    pose: Callable[[jax.Array], Pose]
    planar: Callable[[jax.Array], jax.Array]
    read: Callable[[jax.Array, jax.Array, jax.Array], dict[str, jax.Array]]
    sensors: tuple[str, ...]
    feet: tuple[str, ...]
    upright: bool


_INERTIAL_SENSORS = ("accelerometer", "velocimeter", "gyro", "magnetometer")


def _inertial_readings(
    rotation: jax.Array, velocity: jax.Array, spin: jax.Array, acceleration: jax.Array
) -> dict[str, jax.Array]:
    """Sensors at the body origin, in body axes; spin is in body axes, the others are world's."""
    felt = acceleration + jnp.asarray(_GRAVITY)
    return {
        "accelerometer": felt @ rotation,
        "velocimeter": velocity @ rotation,
        "gyro": spin,
        "magnetometer": jnp.asarray(_MAGNETIC_FIELD) @ rotation,
    }


_POINT_RADIUS, _POINT_ARROW_HALF, _POINT_ARROW_AT = 0.1, 0.05, 0.1
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
    body.add_joint(name="x", type=_Joint.mjJNT_SLIDE, axis=[1, 0, 0], damping=0.01)
    body.add_joint(name="y", type=_Joint.mjJNT_SLIDE, axis=[0, 1, 0], damping=0.01)
    body.add_joint(name="z", type=_Joint.mjJNT_HINGE, axis=[0, 0, 1], damping=0.005)
    body.add_geom(
        name="robot",
        type=_Geom.mjGEOM_SPHERE,
        size=[_POINT_RADIUS, 0, 0],
        density=1.0,
        friction=[1.0, 0.01, 0.01],
        condim=6,
    )
    body.add_geom(
        name="pointarrow",
        type=_Geom.mjGEOM_BOX,
        size=[_POINT_ARROW_HALF] * 3,
        pos=[_POINT_ARROW_AT, 0.0, 0.0],
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
    drive = spec.add_actuator(name="x", target="robot", trntype=_Transmission.mjTRN_SITE, **limits)
    drive.set_to_motor()
    servo = spec.add_actuator(name="z", target="z", trntype=_Transmission.mjTRN_JOINT, **limits)
    servo.set_to_velocity(kv=1.0)


def _rest_point(origin: jax.Array, heading: jax.Array) -> jax.Array:
    return jnp.append(origin, heading)


def _pose_point(qpos: jax.Array) -> Pose:
    position = jnp.stack([qpos[0], qpos[1], jnp.asarray(_POINT_RADIUS)])
    return Pose(position, _upright(qpos[2]))


def _upright(heading: jax.Array) -> jax.Array:
    """Rotation matrix [3, 3] of a turn about the vertical."""
    cosine, sine = unit_vector(heading)
    zero, one = jnp.zeros(()), jnp.ones(())
    return jnp.stack(
        [
            jnp.stack([cosine, -sine, zero]),
            jnp.stack([sine, cosine, zero]),
            jnp.stack([zero, zero, one]),
        ]
    )


def _read_point(qpos: jax.Array, qvel: jax.Array, qacc: jax.Array) -> dict[str, jax.Array]:
    level = jnp.array([1.0, 1.0, 0.0])
    turning = jnp.array([0.0, 0.0, 1.0])
    return _inertial_readings(_upright(qpos[2]), qvel * level, qvel * turning, qacc * level)


POINT = Robot(
    build=_build_point,
    rest=_rest_point,
    pose=_pose_point,
    planar=lambda qpos: jnp.eye(3),
    read=_read_point,
    sensors=_INERTIAL_SENSORS,
    # Its sphere meets the floor at distance zero, which is no contact to MuJoCo.
    feet=(),
    upright=True,
)

_CAR_DENSITY = 5.0  # kg / m^3
_CAR_BOXES = {
    "robot": ((0.0, 0.0, 0.0), (0.1, 0.1, 0.05)),
    "back_bumper": ((0.0, 0.15, 0.0), (0.1, 0.01, 0.05)),
    "back_connector": ((0.0, 0.125, 0.0), (0.01, 0.025, 0.03)),
    "front_bumper": ((0.0, -0.165, 0.0), (0.05, 0.01, 0.05)),
    "front_connector": ((0.0, -0.13, 0.04), (0.05, 0.03, 0.01)),
}
"""Boxes of the chassis: centre and half sides [m]."""
_CAR_WHEELS = {"left": -1.0, "right": 1.0}
_WHEEL_RADIUS, _WHEEL_HALF_WIDTH, _WHEEL_OUT = 0.05, 0.025, 0.03
_CAR_FORCE_LIMIT = 0.02


def _build_car(spec: mujoco.MjSpec) -> None:
    """Adds the car: a chassis on two driven wheels and a caster. Its front is the body's -y.

    | index | qpos | unit |
    |---|---|---|
    | 0-2 | position of the chassis in the world | m |
    | 3-6 | its orientation, quaternion (w, x, y, z) | |
    | 7, 8 | angles of the left and the right wheel | rad |
    | 9-12 | orientation of the caster against the chassis, quaternion | |

    | index | qvel | unit |
    |---|---|---|
    | 0-2 | velocity of the chassis in the world | m/s |
    | 3-5 | its angular velocity in body axes | rad/s |
    | 6, 7 | rates of the wheels | rad/s |
    | 8-10 | angular velocity of the caster against the chassis, in the caster's axes | rad/s |

    | index | action in [-1, 1] | effect |
    |---|---|---|
    | 0, 1 | torque on the left, the right wheel | clip(u, -0.02, 0.02) N m |
    """
    body = spec.worldbody.add_body(name="robot", pos=[0.0, 0.0, 0.1])
    body.add_freejoint(name="robot")
    solid = dict(density=_CAR_DENSITY, condim=6)
    for name, (centre, half) in _CAR_BOXES.items():
        body.add_geom(name=name, type=_Geom.mjGEOM_BOX, pos=centre, size=half, **solid)
    for name, side in _CAR_WHEELS.items():
        wheel = body.add_body(name=name, pos=[0.1 * side, 0.1, -0.05])
        wheel.add_joint(name=name, type=_Joint.mjJNT_HINGE, axis=[1, 0, 0], damping=0.001)
        wheel.add_geom(
            name=name,
            type=_Geom.mjGEOM_CYLINDER,
            size=[_WHEEL_RADIUS, _WHEEL_HALF_WIDTH, 0],
            pos=[_WHEEL_OUT * side, 0.0, 0.0],
            quat=[0.5**0.5, 0.0, 0.5**0.5, 0.0],  # Its axis along x.
            **solid,
        )
        motor = spec.add_actuator(
            name=name,
            target=name,
            trntype=_Transmission.mjTRN_JOINT,
            gear=[1, 0, 0, 0, 0, 0],
            ctrllimited=True,
            ctrlrange=[-1.0, 1.0],
            forcelimited=True,
            forcerange=[-_CAR_FORCE_LIMIT, _CAR_FORCE_LIMIT],
        )
        motor.set_to_motor()
    caster = body.add_body(name="rear", pos=[0.0, -0.1, -0.05])
    caster.add_joint(name="rear", type=_Joint.mjJNT_BALL, damping=0.001)
    caster.add_geom(name="rear", type=_Geom.mjGEOM_SPHERE, size=[_WHEEL_RADIUS, 0, 0], **solid)


def _rest_car(origin: jax.Array, heading: jax.Array) -> jax.Array:
    zero = jnp.zeros(())
    turned = jnp.stack([jnp.cos(heading / 2), zero, zero, jnp.sin(heading / 2)])
    straight = jnp.array([1.0, 0.0, 0.0, 0.0])
    return jnp.concatenate([origin, jnp.array([0.1]), turned, jnp.zeros(2), straight])


def _pose_car(qpos: jax.Array) -> Pose:
    return Pose(qpos[:3], _rotation(qpos[3:7]))


def _rotation(quaternion: jax.Array) -> jax.Array:
    """Rotation matrix [3, 3] of a unit quaternion (w, x, y, z)."""
    w, x, y, z = quaternion
    return jnp.stack(
        [
            jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ]
    )


def _planar_car(qpos: jax.Array) -> jax.Array:
    moving = jnp.eye(2, 11)
    turning = jnp.zeros(11).at[3:6].set(_rotation(qpos[3:7])[2])
    return jnp.concatenate([moving, turning[None]])


def _read_car(qpos: jax.Array, qvel: jax.Array, qacc: jax.Array) -> dict[str, jax.Array]:
    rotation = _rotation(qpos[3:7])
    return {
        **_inertial_readings(rotation, qvel[:3], qvel[3:6], qacc[:3]),
        "ballangvel_rear": qvel[8:11],
        "ballquat_rear": _rotation(qpos[9:13]).ravel(),
    }


CAR = Robot(
    build=_build_car,
    rest=_rest_car,
    pose=_pose_car,
    planar=_planar_car,
    read=_read_car,
    sensors=(*_INERTIAL_SENSORS, "ballangvel_rear", "ballquat_rear"),
    feet=("left", "right", "rear"),
    upright=False,
)
