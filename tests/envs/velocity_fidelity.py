"""Step-by-step comparison of the velocity tasks with recorded trajectories of the originals.

`python -m tests.envs.velocity_fidelity` prints the table of `docs/velocity.md`. Every recorded step
is replayed on its own, as in `tests.envs.fidelity`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax import envs
from algd_jax.envs.velocity.env import VelocityState
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
def compare(task: str) -> Comparison:
    """Replays all recorded steps of a task."""
    golden = load(task)
    after = jax.device_get(replay(task, golden))
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


def replay(task: str, golden: dict[str, np.ndarray]) -> envs.State:
    """States [S] after the recorded steps.

    The recordings lack the place from which the original measures the next velocity, which is that
    of the step before; so all steps run twice, and the second time start from the first's places.
    """
    env, step = batched_step(task)
    qpos, qvel, qacc, action = (
        jnp.asarray(golden[name], jnp.float32)
        for name in ("qpos", "qvel", "qacc_warmstart", "action")
    )

    def replay_from(place: jax.Array) -> envs.State:
        before = VelocityState(qpos, qvel, qacc, place)
        return step(blank_states(env, len(qpos), before), action)

    first = jnp.asarray(start_places(env, golden), jnp.float32)
    previous = jnp.roll(replay_from(first).pipeline_state.place, 1, axis=0)
    return replay_from(jnp.where(golden["t"][:, None] == 0, first, previous))


def start_places(env: envs.SafetyEnv, golden: dict[str, np.ndarray]) -> jax.Array:
    """Places [S, axes] of the recorded coordinates themselves; right at an episode's start."""

    def place(qpos: jax.Array, qvel: jax.Array) -> jax.Array:
        scene = env._scene
        return env._derive(scene.model, scene.still(qpos, qvel))[0]

    qpos, qvel = (jnp.asarray(golden[name], jnp.float32) for name in ("qpos", "qvel"))
    return jax.jit(jax.vmap(place))(qpos, qvel)


def table(task: str) -> str:
    """Markdown rows: component, then median, 99th percentile and worst error."""
    result = compare(task)
    lines = [f"| {task} | median | 99 % | worst | largest value |", "|---|---|---|---|---|"]
    for name, error in result.errors.items():
        cells = (np.median(error), np.quantile(error, 0.99), error.max(), result.scales[name])
        lines.append(f"| {name} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |")
    steps = len(result.cost_differs)
    for name in ("cost_differs", "terminated_differs"):
        lines.append(f"| {name.replace('_', ' ')} | {getattr(result, name).sum()} of {steps} |")
    return "\n".join(lines)


if __name__ == "__main__":
    for task_name in TASKS:
        print(table(task_name), end="\n\n")
