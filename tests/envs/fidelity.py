"""Step-by-step comparison with recorded trajectories of the original environments.

`python -m tests.envs.fidelity` prints the tables of `docs/fidelity.md`. Every recorded step is
replayed on its own: the state before it is set, the recorded action applied, and what comes out
compared with what the original returned.
"""

import dataclasses
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.envs.navigation.movables import CONTACT_LEVER, GremlinState, SlidingState
from algd_jax.envs.navigation.rules import ButtonProgress, GoalProgress, PushProgress
from algd_jax.envs.navigation.state import NavigationState
from algd_jax.envs.navigation.task import Layout
from tests.envs.programs import batched_step, blank_states

Golden = dict[str, np.ndarray]

GOLDEN = pathlib.Path(__file__).parents[1] / "data" / "golden"
TASKS = (
    "PointButton1",
    "PointButton2",
    "PointPush1",
    "CarButton1",
    "SafetyPointGoal1-v0",
    "SafetyPointButton1-v0",
    "SafetyPointPush1-v0",
    "SafetyPointCircle1-v0",
    "SafetyCarGoal1-v0",
    "SafetyCarButton1-v0",
)
REACH = {"buttons": 0.19, "gremlins": 0.24, "pillars": 0.29, "vases": 0.24, "push_box": 0.52}
"""Distance from a robot's outline to the centre of something solid within which it may touch."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Errors of S replayed steps.

    Attributes:
      errors: name of a component to the largest absolute error [S] among its entries.
      scales: name of a component to its largest recorded absolute value.
      cost_differs, terminated_differs, goal_differs: [S] boolean.
      contact: [S] boolean, whether anything solid was within reach of the robot in that step.
    """

    errors: dict[str, np.ndarray]
    scales: dict[str, float]
    cost_differs: np.ndarray
    terminated_differs: np.ndarray
    goal_differs: np.ndarray
    contact: np.ndarray


def load(task: str) -> Golden:
    """The recorded arrays of a task, each with leading axis S where it is per step."""
    with np.load(GOLDEN / f"{task}.npz") as file:
        return dict(file)


def recorded_states(golden: Golden) -> NavigationState:
    """The states [S] before the recorded steps."""
    steps = len(golden["t"])
    qpos, qvel = _robot(golden, "")
    return NavigationState(
        qpos=jnp.asarray(qpos, jnp.float32),
        qvel=jnp.asarray(qvel, jnp.float32),
        time=jnp.asarray(golden["time"], jnp.float32),
        layout=Layout(*(_places(golden, kind) for kind in ("hazards", "buttons", "pillars"))),
        movables=_movables(golden, ""),
        task=_task_state(golden),
        key=_keys_that_draw(_next_buttons(golden), steps),
    )


def compare(task: str) -> Comparison:
    """Replays all recorded steps of a task."""
    golden = load(task)
    env, step = batched_step(task)
    before = blank_states(env, len(golden["t"]), recorded_states(golden))
    after = jax.device_get(step(before, jnp.asarray(golden["action"], jnp.float32)))
    wanted = _motion(golden, after.pipeline_state)
    wanted["reward"] = (after.reward[:, None], golden["reward"][:, None])
    ends = np.cumsum(golden["obs_sizes"])
    for name, size, end in zip(golden["obs_keys"], golden["obs_sizes"], ends, strict=True):
        part = slice(end - size, end)
        wanted[str(name)] = (after.obs[:, part], golden["next_obs"][:, part])
    errors = {name: np.abs(got - want).max(axis=1) for name, (got, want) in wanted.items()}
    if "task_goal_button" not in golden and "goal_lidar" in errors:
        # The next goal is drawn at random, and differently.
        errors["goal_lidar"][golden["goal_met"] > 0] = 0.0
    return Comparison(
        errors=errors,
        scales={name: float(np.abs(want).max()) for name, (_, want) in wanted.items()},
        cost_differs=after.metrics["cost"] != golden["cost"],
        terminated_differs=(after.done > 0) != golden["terminated"],
        goal_differs=(after.metrics["goal_met"] > 0) != golden["goal_met"],
        contact=in_reach(golden),
    )


def _motion(golden: Golden, state: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Positions and velocities, computed and recorded."""
    qpos, qvel = _robot(golden, "next_")
    if _has_point(golden):
        wanted = {
            "position": (state.qpos[:, :2], qpos[:, :2]),
            "heading": (state.qpos[:, 2:], qpos[:, 2:]),
            "velocity": (state.qvel[:, :2], qvel[:, :2]),
            "yaw rate": (state.qvel[:, 2:], qvel[:, 2:]),
        }
    else:
        wanted = {
            "position": (state.qpos[:, :3], qpos[:, :3]),
            "orientation": (state.qpos[:, 3:7], qpos[:, 3:7]),
            "velocity": (state.qvel[:, :3], qvel[:, :3]),
            "angular velocity": (state.qvel[:, 3:6], qvel[:, 3:6]),
            "wheel rates": (state.qvel[:, 6:8], qvel[:, 6:8]),
        }
    movables = _movables(golden, "next_")
    if movables is not None:
        rows = (len(qpos), -1)
        recorded = np.asarray(movables.position).reshape(rows)
        wanted["movables' position"] = (state.movables.position.reshape(rows), recorded)
    return wanted


def _has_point(golden: Golden) -> bool:
    return golden["jnt_type"][0] == 2


def _robot(golden: Golden, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and velocities of the robot; the point's recorded ones are in the start frame."""
    qpos, qvel = golden[f"{prefix}qpos"], golden[f"{prefix}qvel"]
    if not _has_point(golden):
        return qpos[:, :13], qvel[:, :11]
    first = _first_of_episode(golden, golden["agent_mat"])
    start = np.arctan2(first[:, 1, 0], first[:, 0, 0])
    cosine, sine = np.cos(start), np.sin(start)
    x, y = qvel[:, 0], qvel[:, 1]
    pose = np.column_stack([golden[f"{prefix}agent_pos"][:, :2], start + qpos[:, 2]])
    return pose, np.column_stack([cosine * x - sine * y, sine * x + cosine * y, qvel[:, 2]])


def _first_of_episode(golden: Golden, values: np.ndarray) -> np.ndarray:
    """For every step, the value at the start of its episode."""
    starts = {episode: i for i, episode in reversed(list(enumerate(golden["episode"])))}
    return values[[starts[episode] for episode in golden["episode"]]]


def _places(golden: Golden, kind: str) -> jax.Array:
    if f"pos_{kind}" not in golden:
        return jnp.zeros((len(golden["t"]), 0, 2))
    return jnp.asarray(golden[f"pos_{kind}"][..., :2], jnp.float32)


def _movables(golden: Golden, prefix: str) -> GremlinState | SlidingState | None:
    """Movable things from the free joints of the original: seven coordinates, six velocities."""
    robot_q, robot_v = (3, 3) if _has_point(golden) else (13, 11)
    steps = len(golden["t"])
    if golden["qpos"].shape[1] == robot_q:
        return None
    pose = golden[f"{prefix}qpos"][:, robot_q:].reshape(steps, -1, 7)
    velocity = golden[f"{prefix}qvel"][:, robot_v:].reshape(steps, -1, 6)
    w, x, y, z = np.moveaxis(pose[..., 3:], -1, 0)
    yaw = 2 * np.arctan2(z, w)
    planar = np.concatenate([velocity[..., :2], velocity[..., 5:]], axis=-1)
    if "pos_gremlins" not in golden:
        return SlidingState(*(_float(part) for part in (pose[..., :2], yaw, planar)))
    first = _first_of_episode(golden, golden["qpos"])[:, robot_q:].reshape(steps, -1, 7)
    rest_yaw = 2 * np.arctan2(first[..., 6], first[..., 3])
    # Horizontal part of the box's downward axis, and how fast it turns (small tilt).
    lean = -CONTACT_LEVER * np.stack([2 * (x * z + w * y), 2 * (y * z - w * x)], axis=-1)
    spin_x = np.cos(yaw) * velocity[..., 3] - np.sin(yaw) * velocity[..., 4]
    spin_y = np.sin(yaw) * velocity[..., 3] + np.cos(yaw) * velocity[..., 4]
    lean_velocity = CONTACT_LEVER * np.stack([-spin_y, spin_x], axis=-1)
    turned = rest_yaw + np.mod(yaw - rest_yaw + np.pi, 2 * np.pi) - np.pi
    parts = (first[..., :2], rest_yaw, pose[..., :2], turned, planar, lean, lean_velocity)
    return GremlinState(*(_float(part) for part in parts))


def _float(values: np.ndarray) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


def _task_state(golden: Golden) -> Any:
    """The state of the task's rules before each step."""
    if "task_goal_button" in golden:
        return ButtonProgress(
            goal=jnp.asarray(golden["task_goal_button"], jnp.int32),
            timer=jnp.asarray(golden["task_button_timer"], jnp.int32),
            last_distance=_float(golden["task_last_dist_goal"]),
        )
    if "pos_goal" not in golden:
        return ()
    goal = _float(golden["pos_goal"][:, 0, :2])
    if "task_last_box_goal" in golden:
        return PushProgress(
            goal=goal,
            last_box=_float(golden["task_last_dist_box"]),
            last_goal=_float(golden["task_last_box_goal"]),
        )
    return GoalProgress(goal=goal, last_distance=_float(golden["task_last_dist_goal"]))


def _next_buttons(golden: Golden) -> np.ndarray:
    """Index [S] of the goal button after each step, 0 where there are no buttons."""
    if "next_pos_buttons" not in golden:
        return np.zeros(len(golden["t"]), int)
    offsets = golden["next_pos_buttons"] - golden["next_pos_goal"]
    return np.linalg.norm(offsets, axis=-1).argmin(axis=1)


def _keys_that_draw(goals: np.ndarray, steps: int) -> jax.Array:
    """Keys [S, 2] from which the environment draws the recorded next goals."""
    candidates = jax.random.split(jax.random.PRNGKey(0), 64)
    draws = [int(jax.random.randint(jax.random.split(key)[1], (), 0, 4)) for key in candidates]
    chosen = np.array([draws.index(goal) for goal in range(4)])
    return candidates[chosen[goals]]


def in_reach(golden: Golden) -> np.ndarray:
    """Whether the robot came near enough to something solid to touch it, in each step."""
    outline = 0.16 if _has_point(golden) else 0.22
    near = np.zeros(len(golden["t"]), bool)
    for kind, reach in REACH.items():
        for prefix in ("", "next_"):
            if f"{prefix}pos_{kind}" in golden:
                offsets = golden[f"{prefix}pos_{kind}"] - golden[f"{prefix}agent_pos"][:, None]
                near |= (np.linalg.norm(offsets[..., :2], axis=-1) < reach + outline).any(axis=1)
    return near


def summary(task: str, result: Comparison) -> str:
    """One Markdown row: what matters most of a task."""
    reward, position, free = result.errors["reward"], result.errors["position"], ~result.contact
    return (
        f"| `{task}` | {result.contact.sum()} of {len(free)} | {result.cost_differs.sum()} | "
        f"{result.goal_differs.sum()} | {reward[free].max():.0e} | "
        f"{np.quantile(reward, 0.99):.0e} | {np.quantile(position, 0.99):.0e} |"
    )


SUMMARY_HEAD = (
    "| task | steps in reach of a contact | costs that differ | goals that differ | "
    "reward's worst error apart from contact | reward, 99 % of all steps | "
    "position, 99 % of all steps [m] |\n|---|---|---|---|---|---|---|"
)


def table(task: str, result: Comparison) -> str:
    """Markdown rows: component, then median, 99th percentile and worst error."""
    free = ~result.contact
    lines = [
        f"| {task} | median | 99 % | worst | 99 % apart from contact | worst apart from contact "
        "| largest value |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, error in result.errors.items():
        cells = [np.median(error), np.quantile(error, 0.99), error.max()]
        cells += [np.quantile(error[free], 0.99), error[free].max(), result.scales[name]]
        lines.append(f"| {name} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |")
    steps = len(result.cost_differs)
    for name in ("cost_differs", "goal_differs", "terminated_differs"):
        lines.append(f"| {name.replace('_', ' ')} | {getattr(result, name).sum()} of {steps} |")
    return "\n".join(lines)


if __name__ == "__main__":
    results = {name: compare(name) for name in sys.argv[1:] or TASKS}
    print(SUMMARY_HEAD)
    for name, result in results.items():
        print(summary(name, result))
    for name, result in results.items():
        print("\n" + table(name, result))
