"""Step-by-step comparison of the velocity tasks with recorded trajectories of the originals.

`python -m tests.envs.velocity_fidelity` prints the table of `docs/velocity.md`. Every recorded step
is replayed on its own, as in `tests.envs.fidelity`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax import envs
from algd_jax.envs.velocity.with_mjx import VelocityState
from algd_jax.envs.velocity.with_mujoco import MujocoState
from tests.envs.fidelity import Comparison, load
from tests.envs.programs import batched_step, blank_states

TASKS = (
    "SafetyHopperVelocity-v1",
    "SafetyHalfCheetahVelocity-v1",
    "SafetyAntVelocity-v1",
    "SafetyHumanoidVelocity-v1",
)
HUMANOID_FORCES = {"cinert": 140, "cvel": 84, "qfrc_actuator": 23, "cfrc_ext": 84}


@functools.cache
def compare(task: str, physics: str) -> Comparison:
    """Replays all recorded steps of a task."""
    golden = load(task)
    after = jax.device_get(replay(task, golden, physics))
    state = after.pipeline_state
    wanted = {
        "qpos": (state.qpos, golden["next_qpos"]),
        "qvel": (state.qvel, golden["next_qvel"]),
        "reward": (after.reward[:, None], golden["reward"][:, None]),
        "x_velocity": (after.metrics["x_velocity"][:, None], golden["x_velocity"][:, None]),
    }
    observed = after.obs.shape[1] - sum(HUMANOID_FORCES.values())
    wanted["observation"] = (after.obs, golden["next_obs"])
    if observed > 0:
        wanted["observation"] = (after.obs[:, :observed], golden["next_obs"][:, :observed])
        for name, size in HUMANOID_FORCES.items():
            part = slice(observed, observed + size)
            wanted[name] = (after.obs[:, part], golden["next_obs"][:, part])
            observed += size
    return Comparison(
        errors={name: np.abs(got - want).max(axis=1) for name, (got, want) in wanted.items()},
        scales={name: float(np.abs(want).max()) for name, (_, want) in wanted.items()},
        cost_differs=after.metrics["cost"] != golden["cost"],
        terminated_differs=(after.done > 0) != golden["terminated"],
        goal_differs=np.zeros(len(golden["t"]), bool),
        contact=np.zeros(len(golden["t"]), bool),
    )


def replay(task: str, golden: dict[str, np.ndarray], physics: str) -> envs.State:
    """States [S] after the recorded steps.

    The recordings lack the place from which the original measures the next velocity, which is that
    of the step before; so all steps run twice, and the second time start from the first's places.
    """
    env, step = batched_step(task, physics=physics)
    make_states, read_places = _STATES[physics]
    action = jnp.asarray(golden["action"], jnp.float32)

    def replay_from(places: np.ndarray) -> envs.State:
        before = make_states(golden, places)
        return step(blank_states(env, len(places), before), action)

    first = start_places(env, golden)
    previous = np.roll(read_places(replay_from(first).pipeline_state, env), 1, axis=0)
    return replay_from(np.where(golden["t"][:, None] == 0, first, previous))


def start_places(env: envs.SafetyEnv, golden: dict[str, np.ndarray]) -> np.ndarray:
    """Places [S, axes] of the recorded coordinates themselves; right at an episode's start."""
    qpos, qvel = (jnp.asarray(golden[name], jnp.float32) for name in ("qpos", "qvel"))
    states = jax.jit(jax.vmap(env._simulator.start))(qpos, qvel).state
    return _STATES[env.physics][1](states, env)


def _mjx_states(golden: dict[str, np.ndarray], places: np.ndarray) -> VelocityState:
    recorded = [golden[name] for name in ("qpos", "qvel", "qacc_warmstart")]
    return VelocityState(*(jnp.asarray(part, jnp.float32) for part in (*recorded, places)))


def _mujoco_states(golden: dict[str, np.ndarray], places: np.ndarray) -> MujocoState:
    recorded = [golden[name] for name in ("qpos", "qvel", "qacc_warmstart")]
    return mujoco_states(*recorded, places)


def mujoco_states(
    qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray, places: np.ndarray
) -> MujocoState:
    """States [S] from float64 numbers; time, on which nothing depends, is 0."""
    time = np.zeros((len(qpos), 1))
    numbers = np.concatenate([time, qpos, qvel, warmstart, places], axis=1)
    return MujocoState(
        jnp.asarray(qpos, jnp.float32),
        jnp.asarray(qvel, jnp.float32),
        jnp.asarray(numbers.astype(np.float64).view(np.uint32)),
    )


def exact_numbers(state: MujocoState) -> np.ndarray:
    """The float64 numbers [S, W / 2] of states: time, qpos, qvel, warm start, place."""
    return np.ascontiguousarray(state.exact).view(np.float64)


_STATES: dict[str, tuple[Any, Any]] = {
    "mjx": (_mjx_states, lambda states, _: np.asarray(states.place)),
    "mujoco": (
        _mujoco_states,
        lambda states, env: exact_numbers(states)[:, -env._task.body.axes :],
    ),
}
"""How states are made of a recording and places, and how places [S, axes] are read from them."""


def table(task: str, physics: str) -> str:
    """Markdown rows: component, then median, 99th percentile and worst error."""
    result = compare(task, physics)
    lines = [
        f"| {task}, {physics} | median | 99 % | worst | largest value |",
        "|---|---|---|---|---|",
    ]
    for name, error in result.errors.items():
        cells = (np.median(error), np.quantile(error, 0.99), error.max(), result.scales[name])
        lines.append(f"| {name} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |")
    steps = len(result.cost_differs)
    for name in ("cost_differs", "terminated_differs"):
        lines.append(f"| {name.replace('_', ' ')} | {getattr(result, name).sum()} of {steps} |")
    return "\n".join(lines)


if __name__ == "__main__":
    for task_name in TASKS:
        for physics_name in ("mujoco", "mjx"):
            print(table(task_name, physics_name), end="\n\n")
