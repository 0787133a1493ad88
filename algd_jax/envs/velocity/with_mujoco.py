"""The bodies simulated by MuJoCo's own C code, in float64 on the CPU's cores.

One callback steps a whole batch: `mujoco.batch` spreads the simulations over a pool of threads.
The callback calls NumPy and MuJoCo only. `buffer_callback` hands it the program's own memory, where
`jax.pure_callback` would copy through JAX arrays and could wait for the thread it runs on.
"""

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct
from jax.experimental.buffer_callback import buffer_callback
from mujoco.batch import Batch

from algd_jax.envs.velocity.physics import build_model
from algd_jax.envs.velocity.simulator import Moved
from algd_jax.envs.velocity.suites import VelocityTask

__all__ = ["MujocoSimulator", "MujocoState"]

_CARRIED = (
    mujoco.mjtState.mjSTATE_TIME
    | mujoco.mjtState.mjSTATE_QPOS
    | mujoco.mjtState.mjSTATE_QVEL
    | mujoco.mjtState.mjSTATE_ACT
    | mujoco.mjtState.mjSTATE_HISTORY
    | mujoco.mjtState.mjSTATE_WARMSTART
)
"""What MuJoCo goes on from; the head of a `Batch`'s state. Controls are given at every step."""


@struct.dataclass
class MujocoState:
    """Everything that an episode carries from step to step.

    Attributes:
      qpos: [nq] coordinates, rounded.
      qvel: [nv] velocities, rounded.
      exact: [W] uint32, the bits of float64 numbers: MuJoCo's state and the place [axes] from which
        the next velocity is measured. JAX computes in float32 and would round them.
    """

    qpos: jax.Array
    qvel: jax.Array
    exact: jax.Array


class MujocoSimulator:
    """A `Simulator` for programs on the CPU, without derivatives.

    Attributes:
      forces: F, as in `Simulator`.
    """

    def __init__(self, task: VelocityTask):
        self._task = task
        self._model = build_model(task.body.asset)
        # A state that has gone bad is to be found, not replaced by the pose at rest.
        self._model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        # A body is one island of constraints; looking for islands changes no bit and takes time.
        self._model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND
        self._dt = task.body.frame_skip * float(self._model.opt.timestep)
        self._carried = mujoco.mj_stateSize(self._model, int(_CARRIED))
        data = mujoco.MjData(self._model)
        self.forces = sum(getattr(data, name).size for name in task.forces)
        self._lock = threading.Lock()
        self._batches: dict[int, Batch] = {}

    def start(self, qpos: jax.Array, qvel: jax.Array) -> Moved:
        """See `Simulator.start`."""
        return self._call(self._start, qpos, qvel)

    def move(self, before: MujocoState, action: jax.Array) -> Moved:
        """See `Simulator.move`."""
        return self._call(self._move, before.exact, action)

    def _call(self, function: Callable[..., None], *args: jax.Array) -> Moved:
        """What function writes, in one call for the whole batch under `vmap`."""
        model, axes = self._model, self._task.body.axes

        def array(size: int, dtype: Any = jnp.float32) -> Any:
            return jax.ShapeDtypeStruct((size,), dtype)

        exact = array(2 * (self._carried + axes), jnp.uint32)
        state = MujocoState(array(model.nq), array(model.nv), exact)
        written = Moved(state, velocity=array(axes), forces=array(self.forces))
        return buffer_callback(function, written, vmap_method="broadcast_all")(*args)

    def _start(self, _: Any, out: Moved, qpos: Any, qvel: Any) -> None:
        qpos = _rows(qpos)
        with self._batch(len(qpos)) as batch:
            batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
            batch.qpos, batch.qvel = qpos, _rows(qvel)
            batch.forward()
            self._write(out, batch, before=self._place(batch))

    def _move(self, _: Any, out: Moved, exact: Any, action: Any) -> None:
        before = _rows(exact).view(np.float64)
        with self._batch(len(before)) as batch:
            batch.state[:, : self._carried] = before[:, : self._carried]
            batch.ctrl = _rows(action)
            batch.step(nstep=self._task.body.frame_skip)
            self._write(out, batch, before=before[:, self._carried :])

    def _write(self, out: Moved, batch: Batch, before: np.ndarray) -> None:
        """Writes what a call made of its batch, which started at the places before [N, axes]."""
        place = self._place(batch)
        exact = _rows(out.state.exact).view(np.float64)
        exact[:, : self._carried] = batch.state[:, : self._carried]
        exact[:, self._carried :] = place
        _rows(out.state.qpos)[:] = batch.qpos
        _rows(out.state.qvel)[:] = batch.qvel
        _rows(out.velocity)[:] = (place - before) / self._dt
        if self.forces:
            _rows(out.forces)[:] = self._read_forces(batch)

    def _place(self, batch: Batch) -> np.ndarray:
        """Places [N, axes]; those read from data are where forces were last evaluated."""
        body = self._task.body
        if body.place is None:
            return batch.qpos[:, : body.axes]
        name, part = body.place
        return batch.bind(name)[:, part, : body.axes]

    def _read_forces(self, batch: Batch) -> np.ndarray:
        """Numbers [N, F] of `VelocityTask.forces`."""
        fields = {name: batch.bind(name) for name in self._task.forces}
        if "cfrc_ext" in fields:
            fields["cfrc_ext"] = self._contact_forces(batch)
        return np.concatenate([part.reshape(batch.nsim, -1) for part in fields.values()], axis=1)

    def _contact_forces(self, batch: Batch) -> np.ndarray:
        """`cfrc_ext` [N, bodies, 6], which a step leaves out."""
        forces = np.zeros((batch.nsim, self._model.nbody, 6))
        data = mujoco.MjData(self._model)
        for i in np.flatnonzero(batch.bind("ncon")):
            batch.get_data(i, data)
            mujoco.mj_rnePostConstraint(self._model, data)
            forces[i] = data.cfrc_ext
        return forces

    @contextlib.contextmanager
    def _batch(self, size: int) -> Iterator[Batch]:
        """As many simulations, held by one thread at a time: several devices may call at once."""
        with self._lock:
            if size not in self._batches:
                self._batches[size] = self._new_batch(size)
            yield self._batches[size]

    def _new_batch(self, size: int) -> Batch:
        body, forces = self._task.body, self._task.forces
        # Contact forces are computed from all that a call left of a simulation.
        keep = "cfrc_ext" in forces
        batch = Batch(self._model, size, min(size, _usable_cores()), persistent=keep)
        # Now, because what is bound after a call is zero until the next one.
        for name in ("ncon", *forces, *(() if body.place is None else body.place[:1])):
            batch.bind(name)
        return batch


def _rows(buffer: Any) -> np.ndarray:
    """The memory of an array [..., K] of the program as rows [N, K]."""
    array = np.asarray(buffer)
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def _usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
