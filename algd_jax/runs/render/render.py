"""``algd render`` and ``algd play``: what is asked for, checked; episodes, played and drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from algd_jax.envs import SafetyEnv
from algd_jax.errors import ConfigError
from algd_jax.runs.build import Stream, build, shared_env, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import Which, check_seed, choose_checkpoint, episode_keys
from algd_jax.runs.extras import is_installed
from algd_jax.runs.new_file import check_new, write_new
from algd_jax.runs.render.actors import Actor, guest_actor, random_actor, trained_actor
from algd_jax.runs.render.episodes import Episode, play
from algd_jax.runs.render.opengl import find_context
from algd_jax.runs.render.plan import plans_of
from algd_jax.types import TOTAL_COST

MOST_EPISODES = 100
MOST_DRAWN = 12
"""Episodes of a still picture or page."""

_VIDEOS, _STILLS = (".mp4", ".gif"), (".html", ".png")
_NEEDED = {
    ".mp4": ("imageio_ffmpeg", "imageio-ffmpeg", "video"),
    ".html": ("plotly", "Plotly", "report"),
}


@dataclasses.dataclass(frozen=True)
class Look:
    """Which episodes, and how they are shown.

    Attributes:
      episodes: how many, 1 to 100.
      seed: of the episodes; by default the run's in algd render, 0 in algd play.
      camera: of a video.
    """

    episodes: int = 1
    seed: int | None = None
    camera: Literal["side", "top"] = "side"


class Shown(NamedTuple):
    """What was played and written.

    Attributes:
      env: name of the environment.
      actor: who acted.
      seed: of the episodes.
      episodes: as played.
      file: the picture written, if any.
    """

    env: str
    actor: Actor
    seed: int
    episodes: list[Episode]
    file: Path | None

    @property
    def costs(self) -> list[str]:
        """Names of the costs worth telling: the total and all limited ones."""
        return list(dict.fromkeys((TOTAL_COST, *self.actor.limits)))

    def figures(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "env": self.env,
            "policy": self.actor.name,
            "seed": self.seed,
            "limits": self.actor.limits,
            "episodes": [
                {
                    "return": float(episode.returns_so_far[-1]),
                    **{name: float(episode.costs_so_far(name)[-1]) for name in self.costs},
                    "length": len(episode),
                }
                for episode in self.episodes
            ],
            "file": None if self.file is None else str(self.file),
        }


def render_run(
    run_dir: Path,
    look: Look = Look(),
    which: Which | None = None,
    out: Path | None = None,
    env: str | None = None,
    display: Display | None = None,
) -> Shown:
    """Draw episodes of a run's deterministic policy: the first that ``algd evaluate`` plays.

    Args:
      run_dir: the run's folder.
      look: which episodes.
      which: checkpoint; by default the best feasible one, else the last.
      out: new file; its ending says what to make. RUN_DIR/episodes.png by default.
      env: the run's environment, needed if it is "module:attribute".
      display: what the user sees meanwhile; nothing by default.

    Raises:
      ConfigError: for bad input, before anything is played.
    """
    _check(look)
    directory = RunDirectory(run_dir)
    config = directory.read_config(env)
    which = choose_checkpoint(directory, which)
    out = run_dir / "episodes.png" if out is None else out
    _check_file(out)
    trainer = build(config)
    draw = _drawing(out, trainer.env, look)
    actor = trained_actor(trainer, directory, which)
    seed = config.seed if look.seed is None else look.seed
    keys = episode_keys(config, seed, look.episodes)
    (display := display or Display()).start(f"episodes of {run_dir}")
    display.phase("compiling and playing")
    episodes = play(trainer.env, actor.policy, actor.parameters, keys, keys[0])
    display.phase("drawing")
    draw(episodes, actor)
    return Shown(config.env, actor, seed, episodes, out)


def play_env(
    name: str,
    look: Look = Look(),
    run_dir: Path | None = None,
    which: Which | None = None,
    out: Path | None = None,
    display: Display | None = None,
    *,
    force: bool = False,
) -> Shown:
    """Play episodes of an environment with random actions or a run's deterministic policy.

    Args:
      name: of the environment.
      look: which episodes.
      run_dir: whose policy acts; by default actions are drawn evenly from their range.
      which: checkpoint of that run; by default the best feasible one, else the last.
      out: new file for a picture, as in :func:`render_run`; by default none.
      display: what the user sees meanwhile; nothing by default.
      force: whether the policy may act in another environment of the same sizes.

    Raises:
      ConfigError: for bad input, before anything is played.
    """
    _check(look)
    if out is not None:
        _check_file(out)
    if which is not None and run_dir is None:
        raise ConfigError(f"checkpoint: got {which} without a run: add --policy RUN_DIR")
    env = shared_env(name)
    if run_dir is None:
        actor = random_actor(env.spec)
    else:
        actor = guest_actor(env, name, run_dir, which, force)
    draw = _drawing(out, env, look)
    seed = look.seed or 0
    reset_key, policy_key = jax.random.split(stream_key(seed, Stream.PLAY))
    keys = jax.random.split(reset_key, look.episodes)
    (display := display or Display()).start(f"episodes of {env.spec.name}")
    display.phase("compiling and playing")
    episodes = play(env, actor.policy, actor.parameters, keys, policy_key)
    if out is not None:
        display.phase("drawing")
    draw(episodes, actor)
    return Shown(name, actor, seed, episodes, out)


def _check(look: Look) -> None:
    """Raise for what is wrong whatever is played."""
    check_seed(look.seed)
    if not 1 <= look.episodes <= MOST_EPISODES:
        raise ConfigError(
            f"episodes: got {look.episodes}, allowed is an integer from 1 to {MOST_EPISODES}"
        )


def _check_file(out: Path) -> None:
    """Raise unless a new picture can be written there."""
    if out.suffix not in (*_VIDEOS, *_STILLS):
        raise ConfigError(
            f"out: got {str(out)!r}, allowed is a file that ends in .mp4, .gif, .html or .png"
        )
    check_new(out)
    module, project, extra = _NEEDED.get(out.suffix, ("PIL", "", ""))
    if not is_installed(module):
        raise ConfigError(
            f"out: a {out.suffix} needs {project}, which is missing: "
            f"pip install 'algd-jax[{extra}]'"
        )


def _drawing(
    out: Path | None, env: SafetyEnv, look: Look
) -> Callable[[list[Episode], Actor], None]:
    """The function that writes the picture ``out`` of episodes; what it needs is looked for now.

    Raises:
      ConfigError: if a video is asked for that cannot be drawn.
    """
    if out is None:
        return lambda episodes, actor: None
    if out.suffix in _VIDEOS:
        if type(env).draw is SafetyEnv.draw:
            raise ConfigError(
                f"env: {env.spec.name} cannot be drawn; let --out end in .png or .html for curves"
            )
        make_context = find_context()

    def draw(episodes: list[Episode], actor: Actor) -> None:
        limit = actor.limits.get(TOTAL_COST)
        if out.suffix in _VIDEOS:
            from algd_jax.runs.render.video import make_video

            content = make_video(env, episodes, out.suffix, look.camera, limit, make_context)
        else:
            content = _still(env, episodes, out.suffix, limit, actor.name)
        write_new(out, content)

    return draw


def _still(
    env: SafetyEnv, episodes: list[Episode], suffix: str, limit: float | None, actor: str
) -> bytes:
    """A picture or page of the first episodes."""
    from algd_jax.runs.render import page, picture

    title = f"{env.spec.name}: {actor}"
    if len(episodes) > MOST_DRAWN:
        title += f" (the first {MOST_DRAWN} of {len(episodes)} episodes)"
    drawn, period = episodes[:MOST_DRAWN], env.dt
    plans = plans_of(env, drawn)
    if suffix == ".html":
        return page.episodes_page(drawn, plans, limit, period, title)
    if plans:
        return picture.draw_maps(drawn, plans, limit, title)
    return picture.draw_series(drawn, limit, period, title)
