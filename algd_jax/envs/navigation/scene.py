"""The physics of a task: a robot by MJX, its contacts by `constraints`, and what it pushes."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from algd_jax.envs.navigation import constraints, contacts
from algd_jax.envs.navigation.contacts import Part, Pushed
from algd_jax.envs.navigation.geometry import Pose, Rectangle, to_world
from algd_jax.envs.navigation.movables import Bodies, Movable
from algd_jax.envs.navigation.robots import Robot

__all__ = ["Motion", "Obstacles", "Scene", "build_model", "build_scene"]

# Seven Newton steps bring a car on five contact points to rounding; without a floor under it a
# robot has fewer rows, and four do.
_ITERATIONS_ON_FEET, _ITERATIONS = 7, 4
# Contacts that are solved at a time, out of all that could be.
_OBSTACLE_CONTACTS, _PUSH_CONTACTS = 3, 4


class Motion(NamedTuple):
    """What changes from physics step to physics step.

    Attributes:
      qpos: [nq] the robot's coordinates, see its row in `robots`.
      qvel: [nv] its velocities.
      qacc: [nv] its accelerations in the state before the last step.
      time: [] simulated time [s].
      movables: state of the movable things; None where there are none.
    """

    qpos: jax.Array
    qvel: jax.Array
    qacc: jax.Array
    time: jax.Array
    movables: Any


class Obstacles(NamedTuple):
    """Fixed solid things of one kind.

    Attributes:
      radius: [m].
      height: of a sphere's centre [m]; None for upright cylinders.
    """

    radius: float
    height: float | None


class Foot(NamedTuple):
    """A wheel or a sphere that the floor carries.

    Attributes:
      geom, body: ids in the model.
      radius: [m].
      half_width: of a wheel, 0 for a sphere [m].
      inverse_mass: mean inverse mass of its body [1/kg].
    """

    geom: int
    body: int
    radius: float
    half_width: float
    inverse_mass: float


@dataclasses.dataclass(frozen=True)
class Scene:
    """A compiled scene.

    Attributes:
      robot: row of `robots`.
      model: MJX model of the robot alone; contacts are not MJX's.
      template: MJX data in which `qpos` and the like are replaced before use.
      feet: see `Foot`.
      parts: what others can touch of the robot.
      obstacles: the fixed things, if any.
      movable: what can be pushed, if anything.
    """

    robot: Robot
    model: mjx.Model
    template: mjx.Data
    feet: tuple[Foot, ...]
    parts: tuple[Part, ...]
    obstacles: Obstacles | None
    movable: Movable | None

    def step(self, motion: Motion, ctrl: jax.Array, places: jax.Array) -> Motion:
        """One physics step with obstacles at places [Q, 2]."""
        pose = self.robot.pose(motion.qpos)
        data = self._free_motion(motion, ctrl)
        bodies = nearest = None
        if self.movable is not None:
            bodies = self.movable.bodies(motion.movables, motion.time)
            nearest = _is_nearest(bodies, pose)
        system = self._system(data, motion, nearest, bodies)
        rows = self._rows(data, pose, system, places)
        free, force = system.free, jnp.zeros_like(system.free)
        if rows:
            iterations = _ITERATIONS_ON_FEET if self.feet else _ITERATIONS
            free, force = constraints.solve(
                system.inertia, system.free, constraints.stack_rows(rows), iterations
            )
        nv = self.model.nv
        data = mjx.euler(self.model, data.replace(qfrc_constraint=force[:nv]))
        movables = motion.movables
        if self.movable is not None:
            on_each = jnp.where(nearest[:, None], force[nv:], 0.0)
            movables = self.movable.advance(movables, motion.time, on_each)
        time = motion.time + self.model.opt.timestep
        return Motion(data.qpos, data.qvel, free[:nv], time, movables)

    def _free_motion(self, motion: Motion, ctrl: jax.Array) -> mjx.Data:
        """Inertia, forces and accelerations of the robot without contact."""
        data = self.template.replace(qpos=motion.qpos, qvel=motion.qvel, ctrl=ctrl)
        return mjx.forward(self.model, data)

    def _system(
        self, data: mjx.Data, motion: Motion, nearest: jax.Array | None, bodies: Bodies | None
    ) -> "_System":
        """The robot and the nearest movable thing as one system of n velocities."""
        inertia, nv = mjx.full_m(self.model, data), self.model.nv
        if self.movable is None or bodies is None:
            return _System(inertia, data.qacc_smooth, motion.qvel, None, None)
        one = jax.tree.map(lambda leaf: jnp.sum(jnp.where(nearest[:, None], leaf, 0.0), 0), bodies)
        padded = jnp.zeros((nv + 3, nv + 3)).at[:nv, :nv].set(inertia)
        return _System(
            inertia=padded.at[np.arange(nv, nv + 3), np.arange(nv, nv + 3)].set(
                self.movable.inertia
            ),
            free=jnp.concatenate([data.qacc_smooth, one.free]),
            velocity=jnp.concatenate([motion.qvel, one.velocity]),
            pushed=jnp.eye(3, nv + 3, k=nv),
            body=one,
        )

    def _rows(
        self, data: mjx.Data, pose: Pose, system: "_System", places: jax.Array
    ) -> list[constraints.Rows]:
        """All that may touch; places [Q, 2] of the obstacles."""
        upright, extra = self.robot.upright, len(system.velocity) - self.model.nv

        def jacobian(point: jax.Array, body: jax.Array) -> jax.Array:
            return jnp.pad(mjx.jac(self.model, data, point, body)[0], ((0, extra), (0, 0)))

        rows = []
        if self.feet:
            rows.append(self._floor_rows(data, system))
        if self.obstacles is not None:
            touches = contacts.sphere_touches(self.parts, pose, places, *self.obstacles)
            touches = contacts.deepest(touches, _OBSTACLE_CONTACTS)
            rows.append(contacts.obstacle_rows(touches, jacobian, system.velocity))
        if self.movable is None or system.body is None or system.pushed is None:
            return rows
        pushed = Pushed(system.body.position, system.pushed, self.movable.inverse_mass)
        boxes = _rectangles(self.movable, system.body)
        touches = contacts.box_touches(self.parts, pose, boxes, self.movable.span, upright)
        touches = contacts.deepest(touches, _PUSH_CONTACTS)
        rows.append(contacts.push_rows(touches, jacobian, pushed, system.velocity, upright))
        if self.obstacles is not None and self.movable.slides:
            radius = self.obstacles.radius
            rows.append(contacts.stop_rows(boxes, places, radius, pushed, system.velocity))
        return rows

    def _floor_rows(self, data: mjx.Data, system: "_System") -> constraints.Rows:
        """Rows of the feet on the floor."""
        points = [_lowest_points(data, foot) for foot in self.feet]
        owners = np.repeat(np.arange(len(self.feet)), [len(those) for those in points])
        lowest = jnp.concatenate(points)
        depth = lowest[:, 2]
        # MuJoCo puts a contact midway between the two surfaces.
        midway = lowest.at[:, 2].set(0.5 * depth)
        bodies = np.array([foot.body for foot in self.feet])[owners]
        linear, angular = jax.vmap(lambda point, body: mjx.jac(self.model, data, point, body))(
            midway, bodies
        )
        padding = ((0, 0), (0, len(system.velocity) - self.model.nv), (0, 0))
        return contacts.floor_rows(
            depth,
            jnp.pad(linear, padding),
            jnp.pad(angular, padding),
            np.array([foot.inverse_mass for foot in self.feet])[owners],
            system.velocity,
        )


class _System(NamedTuple):
    """Robot and nearest movable body together: n velocities.

    Attributes:
      inertia: [n, n].
      free: [n] acceleration without contact.
      velocity: [n].
      pushed: [3, n] from the velocities to the planar ones of the movable body.
      body: the movable body, leaves without axis K.
    """

    inertia: jax.Array
    free: jax.Array
    velocity: jax.Array
    pushed: jax.Array | None
    body: Bodies | None


def _is_nearest(bodies: Bodies, pose: Pose) -> jax.Array:
    """[K] boolean, true for the body whose centre is nearest to the robot's origin."""
    distances = jnp.sum((bodies.position - pose.origin) ** 2, axis=1)
    return jnp.arange(len(distances)) == jnp.argmin(distances)


def _rectangles(movable: Movable, body: Bodies) -> Rectangle:
    """Outline of one movable body in the world, leaves [Q, …]."""
    centres = jnp.asarray([part.centre for part in movable.prisms])
    axes = jnp.broadcast_to(body.axis, centres.shape)
    halves = jnp.asarray([part.half for part in movable.prisms])
    return Rectangle(body.position + to_world(centres, body.axis), axes, halves)


def _lowest_points(data: mjx.Data, foot: Foot) -> jax.Array:
    """Lowest points [P, 3]: one of a sphere, one of each rim of a wheel."""
    centre, up = data.geom_xpos[foot.geom], jnp.array([0.0, 0.0, 1.0])
    if not foot.half_width:
        return (centre - foot.radius * up)[None]
    axis = data.geom_xmat[foot.geom][:, 2]
    down = axis * axis[2] - up
    # A wheel that lies flat has no lowest point on its rim; any will do.
    down = down / jnp.maximum(jnp.linalg.norm(down), 1e-6)
    lowest = centre + foot.radius * down
    return jnp.stack([lowest + foot.half_width * axis, lowest - foot.half_width * axis])


def build_model(robot: Robot, timestep: float) -> mujoco.MjModel:
    """Compiles the robot alone, without floor."""
    spec = mujoco.MjSpec()
    spec.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    robot.build(spec)
    return spec.compile()


def build_scene(
    robot: Robot, timestep: float, obstacles: Obstacles | None, movable: Movable | None
) -> Scene:
    """Compiles the scene and puts it on the device."""
    model = build_model(robot, timestep)
    feet = tuple(_foot(model, name) for name in robot.feet)
    parts = contacts.parts_of(model)
    # Contacts are found and solved here, not by MJX.
    model.geom_contype[:] = 0
    model.geom_conaffinity[:] = 0
    mjx_model = mjx.put_model(model)
    return Scene(
        robot=robot,
        model=mjx_model,
        template=mjx.make_data(mjx_model),
        feet=feet,
        parts=parts,
        obstacles=obstacles,
        movable=movable,
    )


def _foot(model: mujoco.MjModel, name: str) -> Foot:
    geom = model.geom(name)
    is_cylinder = geom.type[0] == mujoco.mjtGeom.mjGEOM_CYLINDER
    half_width = float(geom.size[1]) if is_cylinder else 0.0
    body = int(geom.bodyid[0])
    return Foot(
        geom=geom.id,
        body=body,
        radius=float(geom.size[0]),
        half_width=half_width,
        inverse_mass=float(model.body_invweight0[body, 0]),
    )
