"""The physics of a task: a robot by MJX, its contacts by `constraints`, and what it pushes."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from algd_jax.envs import contact_solver
from algd_jax.envs.contact_solver import Rows
from algd_jax.envs.navigation.geometry import Pose, Rectangle, to_world
from algd_jax.envs.navigation.movables import Bodies, Movable
from algd_jax.envs.navigation.robots import Robot
from algd_jax.envs.navigation.rows import Pushed, floor_rows, obstacle_rows, push_rows, stop_rows
from algd_jax.envs.navigation.touches import Part, box_touches, deepest, parts_of, sphere_touches

__all__ = ["Motion", "Obstacles", "Scene", "build_model", "build_scene"]

# Newton steps at most: six are too few for some recorded steps of a car, seven for none.
_MAX_ITERATIONS = 10
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


class _Push(NamedTuple):
    """The movable body that takes part in the system.

    Attributes:
      is_it: [K, 1] boolean, true for this one of K.
      body: leaves without axis K.
      planar: [3, n] from the velocities of the system to its own.
    """

    is_it: jax.Array
    body: Bodies
    planar: jax.Array


class _System(NamedTuple):
    """Robot and nearest movable body together: n velocities.

    Attributes:
      inertia: [n, n].
      smooth: [n] forces without contact.
      velocity: [n].
      push: the movable body, if there is one.
    """

    inertia: jax.Array
    smooth: jax.Array
    velocity: jax.Array
    push: _Push | None


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
        data = self._free_motion(motion, ctrl)
        pose = self.robot.pose(motion.qpos)
        system = self._system(data, motion, pose)
        acceleration, force = _constrained(system, self._rows(data, pose, system, places))
        nv = self.model.nv
        data = self._integrate(data, system.inertia[:nv, :nv], force[:nv])
        movables = motion.movables
        if self.movable is not None and system.push is not None:
            on_each = jnp.where(system.push.is_it, force[nv:], 0.0)
            movables = self.movable.advance(movables, motion.time, on_each)
        time = motion.time + self.model.opt.timestep
        return Motion(data.qpos, data.qvel, acceleration[:nv], time, movables)

    def _free_motion(self, motion: Motion, ctrl: jax.Array) -> mjx.Data:
        """Poses, inertia and forces of the robot without contact.

        What `mjx.forward` does up to the factor of the inertia, see `solve_positive`.
        """
        model = self.model
        data = self.template.replace(qpos=motion.qpos, qvel=motion.qvel, ctrl=ctrl)
        data = mjx.com_pos(model, mjx.kinematics(model, data))
        data = mjx.transmission(model, mjx.crb(model, data))
        data = mjx.fwd_actuation(model, mjx.fwd_velocity(model, data))
        forces = data.qfrc_passive - data.qfrc_bias + data.qfrc_actuator
        return data.replace(qfrc_smooth=forces)

    def _integrate(self, data: mjx.Data, inertia: jax.Array, force: jax.Array) -> mjx.Data:
        """One semi-implicit Euler step under contact forces [nv], joint damping implicit."""
        model = self.model
        damped = inertia + jnp.diag(model.opt.timestep * model.dof_damping)
        qacc = contact_solver.solve_positive(damped, data.qfrc_smooth + force)
        return mjx.euler(model, data.replace(qacc=qacc))

    def _system(self, data: mjx.Data, motion: Motion, pose: Pose) -> _System:
        """The robot and the nearest movable thing as one system of n velocities."""
        inertia, nv = mjx.full_m(self.model, data), self.model.nv
        if self.movable is None:
            return _System(inertia, data.qfrc_smooth, motion.qvel, None)
        bodies = self.movable.bodies(motion.movables, motion.time)
        is_nearest = _is_nearest(bodies, pose)[:, None]
        body = jax.tree.map(lambda leaf: jnp.sum(jnp.where(is_nearest, leaf, 0.0), 0), bodies)
        both = jnp.zeros((nv + 3, nv + 3)).at[:nv, :nv].set(inertia)
        return _System(
            inertia=both.at[nv:, nv:].set(jnp.diag(jnp.asarray(self.movable.inertia))),
            smooth=jnp.concatenate([data.qfrc_smooth, self.movable.inertia * body.free]),
            velocity=jnp.concatenate([motion.qvel, body.velocity]),
            push=_Push(is_nearest, body, jnp.eye(3, nv + 3, k=nv)),
        )

    def _rows(self, data: mjx.Data, pose: Pose, system: _System, places: jax.Array) -> list[Rows]:
        """All that may touch; places [Q, 2] of the obstacles."""
        upright, extra = self.robot.upright, len(system.velocity) - self.model.nv

        def jacobian(point: jax.Array, body: jax.Array) -> jax.Array:
            return jnp.pad(mjx.jac(self.model, data, point, body)[0], ((0, extra), (0, 0)))

        rows = []
        if self.feet:
            rows.append(self._floor_rows(data, system))
        if self.obstacles is not None:
            touches = sphere_touches(self.parts, pose, places, *self.obstacles)
            touches = deepest(touches, _OBSTACLE_CONTACTS)
            rows.append(obstacle_rows(touches, jacobian, system.velocity))
        if self.movable is None or system.push is None:
            return rows
        body = system.push.body
        pushed = Pushed(body.position, system.push.planar, self.movable.inverse_mass)
        boxes = _rectangles(self.movable, body)
        touches = box_touches(self.parts, pose, boxes, self.movable.span, upright)
        touches = deepest(touches, _PUSH_CONTACTS)
        rows.append(push_rows(touches, jacobian, pushed, system.velocity, upright))
        if self.obstacles is not None and self.movable.slides:
            radius = self.obstacles.radius
            rows.append(stop_rows(boxes, places, radius, pushed, system.velocity))
        return rows

    def _floor_rows(self, data: mjx.Data, system: _System) -> Rows:
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
        return floor_rows(
            depth,
            jnp.pad(linear, padding),
            jnp.pad(angular, padding),
            jnp.array([foot.inverse_mass for foot in self.feet])[owners],
            system.velocity,
        )


def _constrained(system: _System, rows: list[Rows]) -> tuple[jax.Array, jax.Array]:
    """Acceleration and generalised contact force [n]."""
    free = contact_solver.solve_positive(system.inertia, system.smooth)
    if not rows:
        return free, jnp.zeros_like(free)
    stacked = Rows(*(jnp.concatenate(parts) for parts in zip(*rows, strict=True)))
    # Contacts come and go from step to step: the last step's acceleration is a worse guess.
    acceleration, force = contact_solver.solve(
        system.inertia, system.smooth, stacked, free, _MAX_ITERATIONS
    )
    return acceleration, force @ stacked.jacobian


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
    parts = parts_of(model)
    # Damping is made implicit here (`_integrate`), contacts are found and solved here, not by MJX.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP
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
