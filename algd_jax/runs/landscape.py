"""``algd landscape``: both energies around a policy at one state, as numbers and pictures."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.agents.landscape import Curvatures, Survey, random_directions, survey
from algd_jax.agents.state import AgentState
from algd_jax.envs import SafetyEnv
from algd_jax.envs.base import in_full_precision
from algd_jax.errors import ConfigError
from algd_jax.files import read, replace
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory, write_json
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import (
    Which,
    check_seed,
    choose_checkpoint,
    episode_keys,
    load_agent,
)
from algd_jax.runs.extras import is_installed
from algd_jax.runs.landscape_pictures import Picture, draw_png, make_html
from algd_jax.runs.memory import check_evaluation_memory
from algd_jax.runs.new_folder import check_folder
from algd_jax.training.epoch import Trainer
from algd_jax.training.evaluation import Policy
from algd_jax.types import Scalar

_LARGEST_STATE = 2**24


@dataclasses.dataclass(frozen=True)
class View:
    """What to look at, and how closely.

    Attributes:
      step: of the first episode that ``algd evaluate`` plays with this seed; its state is taken.
      state: the state instead, a .npy file with one observation [O].
      seed: of that episode, of the drawn actions and of random directions; the run's by default.
      directions: two action dimensions, such as 0,1, or random for two orthogonal directions.
      points: grid points per axis.
      actions: actions drawn from the policy.
      reach: half the length over which the averaged curvature is taken, in units of the action.
    """

    step: int | None = None
    state: Path | None = None
    seed: int | None = None
    directions: str = "0,1"
    points: int = 61
    actions: int = 256
    reach: float = 0.1


class Landscape(NamedTuple):
    """A finished look at a run.

    Attributes:
      figures: JSON-ready numbers.
      survey: NumPy arrays.
      picture: what the pictures show.
    """

    figures: dict[str, Any]
    survey: Survey
    picture: Picture


def save_landscape(
    run_dir: Path,
    view: View = View(),
    which: Which | None = None,
    out: Path | None = None,
    html: bool = False,
    env: str | None = None,
    display: Display | None = None,
) -> dict[str, Any]:
    """Write ``landscape.json``, ``landscape.png`` and, if asked for, ``landscape.html``.

    Args:
      run_dir: the run's folder.
      view: what to look at.
      which: checkpoint; by default the best feasible one, else the last.
      out: folder to write to, RUN_DIR/landscape by default.
      html: whether to write the interactive picture, which needs Plotly.
      env: the run's environment, needed if it is "module:attribute".
      display: what the user sees meanwhile; nothing by default.

    Returns:
      The numbers, as written to ``landscape.json``, files included.

    Raises:
      ConfigError: for bad input, before anything is written.
    """
    if html and not is_installed("plotly"):
        raise ConfigError("html: needs Plotly, which is missing: pip install 'algd-jax[report]'")
    out = out or run_dir / "landscape"
    check_folder(out)
    (display := display or Display()).phase("compiling and measuring energies")
    landscape = explore(run_dir, view, which, env)
    display.phase("drawing")
    files = {"json": out / "landscape.json", "png": out / "landscape.png"}
    if html:
        files["html"] = out / "landscape.html"
    figures = landscape.figures | {"files": {kind: str(path) for kind, path in files.items()}}
    try:
        out.mkdir(parents=True, exist_ok=True)
        replace(files["png"], draw_png(landscape.survey, landscape.picture))
        if html:
            replace(files["html"], make_html(landscape.survey, landscape.picture))
        write_json(files["json"], figures)
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror})") from error
    return figures


def explore(
    run_dir: Path, view: View = View(), which: Which | None = None, env: str | None = None
) -> Landscape:
    """Survey the landscape of a run's policy at one state; writes nothing.

    Raises:
      ConfigError: if this is no run, it has no such checkpoint, or the view does not fit it.
    """
    _check(view)
    directory = RunDirectory(run_dir)
    config = directory.read_config(env)
    which = choose_checkpoint(directory, which)
    trainer = build(config)
    check_evaluation_memory(trainer)
    seed = config.seed if view.seed is None else view.seed
    action_key, direction_key = jax.random.split(stream_key(seed, Stream.LANDSCAPE))
    directions, labels = choose_directions(
        view.directions, trainer.env.spec.action_size, direction_key
    )
    agent, trained_steps = load_agent(trainer, directory, which)
    obs, origin = _choose_state(trainer, agent, view, seed)
    hyper = trainer.config.hyper.as_arrays()
    found = jax.device_get(_jitted_survey(trainer, view)(agent, obs, directions, action_key, hyper))
    pressure = trainer.algorithm.pressure(agent, hyper)
    lam, rho = _plain(pressure.lam), _plain(pressure.rho)
    figures = {
        "env": config.env,
        "algorithm": config.algorithm,
        "checkpoint": which,
        "step": trained_steps,
        "state": origin,
        "directions": np.asarray(directions).tolist(),
        "lam": lam,
        "rho": rho,
        "budget": _plain(trainer.algorithm.budget(hyper)),
        "actions": view.actions,
        "actions_within_budget": float(np.mean(found.action_excess <= 0)),
        "reach": view.reach,
        "hessian": curvature_figures(found.hessian),
        "mean_hessian": curvature_figures(found.mean_hessian),
    }
    where = ", ".join(f"{name} {value}" for name, value in origin.items())
    title = f"{config.env}, {config.algorithm}, {trained_steps:,} steps: energies at {where}"
    return Landscape(figures, found, Picture(title, labels, lam, rho))


def _plain(number: Scalar) -> float | list[float]:
    """A number, or one for each of several constraints, ready for JSON."""
    return np.asarray(number, np.float64).tolist()


def _choose_state(
    trainer: Trainer, agent: AgentState, view: View, seed: int
) -> tuple[jax.Array, dict[str, Any]]:
    """The observation [O] to look at, and where it comes from."""
    if view.state is not None:
        obs = read_state(view.state, trainer.env.spec.observation_size)
        return obs, {"file": str(view.state)}
    step = view.step or 0
    return state_of_episode(trainer, agent, seed, step), {"seed": seed, "step": step}


def choose_directions(
    text: str, action_size: int, key: jax.Array
) -> tuple[jax.Array, tuple[str, str]]:
    """Two orthonormal directions [2, A] from their description, and their names.

    Args:
      text: ``i,j`` for two action dimensions, or ``random``.
      action_size: A.
      key: of random directions.
    """
    if action_size < 2:
        raise ConfigError(f"env: has {action_size} action dimension, a landscape needs 2")
    if text == "random":
        names = ("direction 1 [action units]", "direction 2 [action units]")
        return random_directions(key, action_size), names
    parts = text.split(",")
    dimensions = [int(part) for part in parts if part.isdecimal() and int(part) < action_size]
    if len(parts) != 2 or len(set(dimensions)) != 2:
        raise ConfigError(
            f"directions: got {text!r}, allowed is a pair of different action dimensions 0 to "
            f"{action_size - 1}, such as 0,1, or random"
        )
    first, second = dimensions
    return jnp.eye(action_size)[jnp.array(dimensions)], (f"action[{first}]", f"action[{second}]")


def read_state(path: Path, obs_size: int) -> jax.Array:
    """One finite observation [O] from a .npy file."""
    try:
        file = io.BytesIO(read(path, _LARGEST_STATE))
        shape, dtype = _npy_header(file)
        if shape != (obs_size,):
            raise ConfigError(f"state: {path} has shape {shape}, allowed is ({obs_size},)")
        if dtype.kind not in "iuf":
            raise ConfigError(f"state: {path} holds something else than finite numbers")
        state = np.load(file, allow_pickle=False)
    except ConfigError:
        raise
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise ConfigError(f"state: {path} is no readable .npy file") from error
    with np.errstate(over="ignore"):
        obs = state.astype(np.float32)
    if not np.isfinite(obs).all():
        raise ConfigError(f"state: {path} holds something else than finite numbers")
    return jnp.asarray(obs)


def _npy_header(file: io.BytesIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype that a .npy file claims, before anything of that size is allocated."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    one, two = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, _, dtype = (one if version == (1, 0) else two)(file)
    file.seek(0)
    return shape, dtype


def state_of_episode(trainer: Trainer, agent: AgentState, seed: int, step: int) -> jax.Array:
    """The observation [O] at a step of the first episode that ``algd evaluate --seed`` plays."""
    env, config = trainer.env, trainer.config
    if not 0 <= step < env.spec.episode_length:
        raise ConfigError(
            f"step: got {step}, allowed is an integer from 0 to {env.spec.episode_length - 1}"
        )

    @jax.jit
    def visit(agent, key, step, hyper):
        def policy(obs):
            return trainer.algorithm.act_deterministic(agent, obs, hyper)

        return visited_obs(env, policy, key, step)

    hyper = config.hyper.as_arrays()
    obs, lived = visit(agent, episode_keys(config, seed, 1)[0], jnp.int32(step), hyper)
    if lived < step:
        raise ConfigError(f"step: got {step}, allowed is at most {lived}: there the episode ended")
    return obs


def visited_obs(
    env: SafetyEnv, policy: Policy, key: jax.Array, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Observation [O] after ``step`` [] steps from a full reset, and how many were not terminal."""

    def advance(_, carry):
        state, alive, lived = carry
        state = env.step(state, policy(state.obs))
        alive &= state.done == 0
        return state, alive, lived + alive

    start = (env.reset(key), jnp.bool_(True), jnp.int32(0))
    state, _, lived = jax.lax.fori_loop(0, step, advance, start)
    return state.obs, lived


def curvature_figures(curvatures: Curvatures) -> dict[str, dict[str, float]]:
    """Median smallest eigenvalue and fraction of negative ones, per energy."""
    return {
        field.name: {"median": float(np.median(values)), "negative": float(np.mean(values < 0))}
        for field in dataclasses.fields(curvatures)
        for values in [getattr(curvatures, field.name)]
    }


def _jitted_survey(trainer: Trainer, view: View) -> jax.stages.Wrapped:
    """(agent, obs, directions, key, hyper) -> Survey."""
    spec = trainer.env.spec

    # Curvature is a difference of gradients, which TensorFloat-32 would drown.
    @jax.jit
    @in_full_precision
    def run(agent, obs, directions, key, hyper):
        return survey(
            trainer.algorithm,
            agent,
            obs,
            directions,
            key,
            hyper,
            low=jnp.array(spec.action_low),
            high=jnp.array(spec.action_high),
            reach=view.reach,
            points=view.points,
            samples=view.actions,
        )

    return run


def _check(view: View) -> None:
    """Raise for what is wrong whatever the run is."""
    check_seed(view.seed)
    if view.state is not None and view.step is not None:
        raise ConfigError("state: got a file beside --step, allowed is one of them")
    bounds = (("points", view.points, 2, 1_000), ("actions", view.actions, 1, 100_000))
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise ConfigError(f"{name}: got {value}, allowed is an integer from {least} to {most}")
    if not 0 < view.reach < float("inf"):
        raise ConfigError(f"reach: got {view.reach}, allowed is a finite number > 0")
