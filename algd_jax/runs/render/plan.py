"""An episode from above: the outlines of what a MuJoCo scene holds, and the robot's path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np

from algd_jax.envs import SafetyEnv
from algd_jax.runs.render.episodes import Episode

_CORNERS = 48  # Of the polygon that stands for a circle.
_JUMP = 0.2  # m in one step: what moves farther was put elsewhere.

_ROUND = {
    mujoco.mjtGeom.mjGEOM_CYLINDER.value,
    mujoco.mjtGeom.mjGEOM_SPHERE.value,
    mujoco.mjtGeom.mjGEOM_CAPSULE.value,
}


class Shape(NamedTuple):
    """A thing seen from above.

    Attributes:
      kind: what it is called.
      outline: [m, 2] closed polygon [m].
      color: red, green, blue, opacity, each in [0, 1].
    """

    kind: str
    outline: np.ndarray
    color: tuple[float, ...]

    @property
    def centre(self) -> np.ndarray:
        """[2]."""
        return self.outline[:-1].mean(axis=0)


class Plan(NamedTuple):
    """An episode of L steps from above.

    Attributes:
      path: [L + 1, 2] positions of the robot [m].
      headings: [L + 1] of the robot [rad].
      shapes: of each of the L + 1 moments.
    """

    path: np.ndarray
    headings: np.ndarray
    shapes: list[list[Shape]]

    @property
    def kinds(self) -> list[str]:
        """Names of all things that occur, in the order of their appearance."""
        return list(dict.fromkeys(shape.kind for shapes in self.shapes for shape in shapes))

    def of_kind(self, kind: str, moment: int) -> list[Shape]:
        """The things of one kind at one moment."""
        return [shape for shape in self.shapes[moment] if shape.kind == kind]

    def centres(self, kind: str) -> np.ndarray:
        """[L + 1, things, 2] of a kind of which there are always as many."""
        return np.array(
            [[shape.centre for shape in self.of_kind(kind, i)] for i in range(len(self.shapes))]
        )

    def moves(self, kind: str) -> bool:
        """Whether the things of this kind are not always in the same places."""
        return bool(np.ptp(self.centres(kind), axis=0).max(initial=0) > 1e-6)

    def glides(self, kind: str) -> bool:
        """Whether they move, and never jump."""
        steps = np.linalg.norm(np.diff(self.centres(kind), axis=0), axis=-1)
        return self.moves(kind) and steps.max() < _JUMP

    def places(self, kind: str) -> list[Shape]:
        """Every place where something of this kind stands at some moment, once."""
        seen: dict[tuple[float, ...], Shape] = {}
        for moment in range(len(self.shapes)):
            for shape in self.of_kind(kind, moment):
                seen.setdefault(tuple(shape.centre.round(3).tolist()), shape)
        return list(seen.values())


def has_plan(env: SafetyEnv, state: Any) -> bool:
    """Whether all happens in the plane, see ``SafetyEnv.draw``; false if it cannot be drawn."""
    try:
        model, _ = env.draw(state)
    except NotImplementedError:
        return False
    return mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, "top") >= 0


def plans_of(env: SafetyEnv, episodes: Sequence[Episode]) -> list[Plan]:
    """Of each episode (at least one); none if not all happens in the plane."""
    if not has_plan(env, episodes[0].state(0)):
        return []
    return [plan_of(env, episode) for episode in episodes]


def plan_of(env: SafetyEnv, episode: Episode) -> Plan:
    """An episode from above; ``has_plan`` must be true of its states."""
    path, headings, shapes = [], [], []
    for step in range(len(episode) + 1):
        model, data = env.draw(episode.state(step))
        path.append(data.xpos[1, :2].copy())
        headings.append(np.arctan2(data.xmat[1, 3], data.xmat[1, 0]))
        shapes.append(_shapes(model, data))
    return Plan(np.array(path), np.array(headings), shapes)


def _shapes(model: mujoco.MjModel, data: mujoco.MjData) -> list[Shape]:
    """The geoms of the world but its floor."""
    found = []
    for geom in np.flatnonzero(model.geom_bodyid == 0):
        outline = _outline(model.geom_type[geom], model.geom_size[geom])
        if outline is not None:
            turn = data.geom_xmat[geom].reshape(3, 3)[:2, :2]
            kind = model.geom(geom).name.split(" ")[0] or "obstacle"
            place = outline @ turn.T + data.geom_xpos[geom, :2]
            found.append(Shape(kind, place, tuple(model.geom_rgba[geom].tolist())))
    return found


def _outline(kind: int, size: np.ndarray) -> np.ndarray | None:
    """Closed polygon [m, 2] round the origin; None for what has no outline from above."""
    if kind in _ROUND:
        angles = np.linspace(0, 2 * np.pi, _CORNERS + 1)
        return size[0] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == mujoco.mjtGeom.mjGEOM_BOX.value:
        corners = [(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)]
        return size[:2] * np.array(corners, float)
    return None
