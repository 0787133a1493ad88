"""Step-by-step comparison with recorded trajectories of the original environments.

`python -m tests.envs.fidelity` prints the table of `docs/environments.md`. Every recorded step is
replayed on its own: the state before it is set, the recorded action applied, and what comes out
compared with what the original returned.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax import envs
from algd_jax.envs.navigation.env import NavigationState
from algd_jax.envs.navigation.gremlins import CONTACT_LEVER, GremlinState
from algd_jax.envs.navigation.suites import POINT_BUTTON_1
from algd_jax.envs.navigation.tasks import ButtonState, draw_goal

GOLDEN = pathlib.Path(__file__).parents[1] / "data" / "golden"
TASKS = ("PointButton1", "PointButton2")
ROBOT_DOFS = 3


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Errors of S replayed steps.

    Attributes:
      errors: name of a component to the largest absolute error [S] among its entries.
      scales: name of a component to its largest recorded absolute value.
      cost_differs, terminated_differs, goal_differs: [S] boolean.
      contact: [S] boolean, whether anything pushed the robot in that step.
    """

    errors: dict[str, np.ndarray]
    scales: dict[str, float]
    cost_differs: np.ndarray
    terminated_differs: np.ndarray
    goal_differs: np.ndarray
    contact: np.ndarray


def load(task: str) -> dict[str, np.ndarray]:
    """The recorded arrays of a task, each with leading axis S where it is per step."""
    with np.load(GOLDEN / f"{task}.npz") as file:
        return dict(file)


def recorded_states(golden: dict[str, np.ndarray]) -> NavigationState:
    """The states [S] before the recorded steps."""
    steps = len(golden["t"])
    pose, velocity = _world_motion(golden, "agent_pos", "qpos", "qvel")
    return NavigationState(
        qpos=jnp.asarray(pose, jnp.float32),
        qvel=jnp.asarray(velocity, jnp.float32),
        time=jnp.asarray(golden["time"], jnp.float32),
        gremlins=_gremlins(golden, "qpos", "qvel"),
        task=ButtonState(
            goal=jnp.asarray(golden["task_goal_button"], jnp.int32),
            timer=jnp.asarray(golden["task_button_timer"], jnp.int32),
            last_distance=jnp.asarray(golden["task_last_dist_goal"], jnp.float32),
        ),
        key=_keys_that_draw(_next_goals(golden), steps),
    )


def compare(task: str) -> Comparison:
    """Replays all recorded steps of a task."""
    golden = load(task)
    env = envs.make(task)
    blank = env.reset(jax.random.PRNGKey(0))
    before = recorded_states(golden)
    action = jnp.asarray(golden["action"], jnp.float32)

    def step(pipeline_state: NavigationState, action: jax.Array) -> envs.State:
        return env.step(blank.replace(pipeline_state=pipeline_state), action)

    after = jax.device_get(jax.jit(jax.vmap(step))(before, action))
    pose, velocity = _world_motion(golden, "next_agent_pos", "next_qpos", "next_qvel")
    state = after.pipeline_state
    wanted = {
        "position": (state.qpos[:, :2], pose[:, :2]),
        "heading": (state.qpos[:, 2:], pose[:, 2:]),
        "velocity": (state.qvel[:, :2], velocity[:, :2]),
        "yaw rate": (state.qvel[:, 2:], velocity[:, 2:]),
        "reward": (after.reward[:, None], golden["reward"][:, None]),
    }
    swarm = _gremlins(golden, "next_qpos", "next_qvel")
    if swarm is not None:
        rows = (len(pose), -1)
        recorded = np.asarray(swarm.position).reshape(rows)
        wanted["gremlin position"] = (state.gremlins.position.reshape(rows), recorded)
    ends = np.cumsum(golden["obs_sizes"])
    for name, size, end in zip(golden["obs_keys"], golden["obs_sizes"], ends, strict=True):
        part = slice(end - size, end)
        wanted[str(name)] = (after.obs[:, part], golden["next_obs"][:, part])
    return Comparison(
        errors={name: np.abs(got - want).max(axis=1) for name, (got, want) in wanted.items()},
        scales={name: float(np.abs(want).max()) for name, (_, want) in wanted.items()},
        cost_differs=after.metrics["cost"] != golden["cost"],
        terminated_differs=(after.done > 0) != golden["terminated"],
        goal_differs=(after.metrics["goal_met"] > 0) != golden["goal_met"],
        contact=_in_contact(golden),
    )


def _world_motion(
    golden: dict[str, np.ndarray], position: str, qpos: str, qvel: str
) -> tuple[np.ndarray, np.ndarray]:
    """Poses and velocities [S, 3] in the world; recorded ones are in the start's frame."""
    first = golden["agent_mat"][0]
    start = np.arctan2(first[1, 0], first[0, 0])
    turn = np.array([[np.cos(start), -np.sin(start)], [np.sin(start), np.cos(start)]])
    pose = np.column_stack([golden[position][:, :2], start + golden[qpos][:, 2]])
    velocity = golden[qvel][:, :ROBOT_DOFS].copy()
    velocity[:, :2] = velocity[:, :2] @ turn.T
    return pose, velocity


def _gremlins(golden: dict[str, np.ndarray], qpos: str, qvel: str) -> GremlinState | None:
    """Gremlins from the free joints of the original: seven coordinates, six velocities each."""
    steps = len(golden["t"])
    if golden[qpos].shape[1] == ROBOT_DOFS:
        return None
    pose = golden[qpos][:, ROBOT_DOFS:].reshape(steps, -1, 7)
    velocity = golden[qvel][:, ROBOT_DOFS:].reshape(steps, -1, 6)
    w, x, y, z = np.moveaxis(pose[..., 3:], -1, 0)
    # Horizontal part of the box's downward axis, and how fast it turns (small tilt).
    lean = -CONTACT_LEVER * np.stack([2 * (x * z + w * y), 2 * (y * z - w * x)], axis=-1)
    yaw = 2 * np.arctan2(z, w)
    spin_x = np.cos(yaw) * velocity[..., 3] - np.sin(yaw) * velocity[..., 4]
    spin_y = np.sin(yaw) * velocity[..., 3] + np.cos(yaw) * velocity[..., 4]
    lean_velocity = CONTACT_LEVER * np.stack([-spin_y, spin_x], axis=-1)
    parts = (pose[..., :2], velocity[..., :2], lean, lean_velocity)
    return GremlinState(*(jnp.asarray(part, jnp.float32) for part in parts))


def _next_goals(golden: dict[str, np.ndarray]) -> np.ndarray:
    """Index [S] of the goal button after each step."""
    offsets = golden["next_pos_buttons"] - golden["next_pos_goal"]
    return np.linalg.norm(offsets, axis=-1).argmin(axis=1)


def _keys_that_draw(goals: np.ndarray, steps: int) -> jax.Array:
    """Keys [S, 2] from which the environment draws the recorded next goals."""
    candidates = jax.random.split(jax.random.PRNGKey(0), 64)
    draws = [int(draw_goal(POINT_BUTTON_1.buttons, jax.random.split(key)[1])) for key in candidates]
    chosen = np.array([draws.index(goal) for goal in range(4)])
    return candidates[chosen[goals]]


def _in_contact(golden: dict[str, np.ndarray]) -> np.ndarray:
    """Whether the robot's origin came near enough to touch something solid in a step."""
    near = np.zeros(len(golden["t"]), bool)
    for kind, reach in (("buttons", 0.29), ("gremlins", 0.34)):
        for prefix in ("", "next_"):
            if f"{prefix}pos_{kind}" in golden:
                offsets = golden[f"{prefix}pos_{kind}"] - golden[f"{prefix}agent_pos"][:, None]
                near |= (np.linalg.norm(offsets[..., :2], axis=-1) < reach).any(axis=1)
    return near


def table(task: str) -> str:
    """Markdown rows: component, then median, 99th percentile and worst error."""
    result = compare(task)
    lines = [f"| {task} | median | 99 % | worst | largest value |", "|---|---|---|---|---|"]
    for name, error in result.errors.items():
        cells = (np.median(error), np.quantile(error, 0.99), error.max(), result.scales[name])
        lines.append(f"| {name} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |")
    steps = len(result.cost_differs)
    for name in ("cost_differs", "goal_differs", "terminated_differs"):
        lines.append(f"| {name.replace('_', ' ')} | {getattr(result, name).sum()} of {steps} |")
    lines.append(f"| steps in reach of a contact | {result.contact.sum()} of {steps} |")
    return "\n".join(lines)


if __name__ == "__main__":
    for task_name in TASKS:
        print(table(task_name), end="\n\n")
