"""A probe environment that can be drawn: all there is to see is known in closed form."""

from __future__ import annotations

import jax.numpy as jnp
import mujoco
import numpy as np

from algd_jax.runs.render.episodes import Episode
from tests.probes import ProbeEnv

COSTLY = (3, 4)
"""Steps, counted from 1, that cost 1 each."""


class SceneProbe(ProbeEnv):
    """A robot runs along x at 0.5 m a step, past a hazard at (1, 0); a vase glides, a goal jumps.

    Every step brings a reward of 1; the goal is met at every second.
    """

    def __init__(self, cameras: tuple[str, ...] = ("top", "side")):
        super().__init__(episode_length=6)
        self._cameras = cameras

    def gains(self, obs, action, time):
        return jnp.float32(1), ((time == COSTLY[0]) | (time == COSTLY[1])).astype(jnp.float32)

    def goal_met(self, time):
        return (time % 2 == 0).astype(jnp.float32)

    def draw(self, pipeline_state):
        time = float(pipeline_state["time"])
        spec = mujoco.MjSpec()
        spec.visual.global_.offwidth = spec.visual.global_.offheight = 512
        kinds = mujoco.mjtGeom
        body = spec.worldbody.add_body(name="robot", pos=[0.5 * time, 0, 0.1])
        body.add_geom(type=kinds.mjGEOM_SPHERE, size=[0.1, 0, 0])
        for name, kind, size, place in (
            ("floor", kinds.mjGEOM_PLANE, [5, 5, 0.1], [0, 0, 0]),
            ("hazards 0", kinds.mjGEOM_CYLINDER, [0.3, 0.01, 0], [1, 0, 0]),
            ("goal 1", kinds.mjGEOM_CYLINDER, [0.2, 0.01, 0], [time // 3, 2, 0]),
            ("vases 2", kinds.mjGEOM_BOX, [0.1, 0.2, 0.1], [-1, 0.1 * time, 0]),
        ):
            spec.worldbody.add_geom(name=name, type=kind, size=size, pos=place)
        for name in self._cameras:
            spec.worldbody.add_camera(name=name, pos=[1, 0, 6])
        model = spec.compile()
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        return model, data


def known_episode(number: int = 1, steps: int = 6, **metrics: np.ndarray) -> Episode:
    """An episode of the probe, without playing it."""
    times = np.arange(steps + 1, dtype=np.float32)
    costs = np.isin(times[1:], COSTLY).astype(np.float32)
    met = (times[1:] % 2 == 0).astype(np.float32)
    rewards = np.ones(steps, np.float32)
    told = {"cost": costs, "cost_hazards": costs, "goal_met": met, **metrics}
    return Episode(number, {"time": times}, rewards, told)
