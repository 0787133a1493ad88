"""Draws every environment for the docs, without a screen:

    MUJOCO_GL=osmesa python experiments/draw_environments.py

Two pictures: the navigation tasks from above, and a frame of every task from the side, each in the
first state of an episode.
"""

import pathlib

import jax
import matplotlib.pyplot as plt
import numpy as np

from algd_jax import envs
from algd_jax.envs.rendering import render_frame

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "images" / "envs"
COLUMNS = 5


def frames(names: list[str], camera: str) -> dict[str, np.ndarray]:
    """One frame of each environment after a reset."""
    made = {name: envs.make(name) for name in names}
    return {
        name: render_frame(env, jax.jit(env.reset)(jax.random.key(0)).pipeline_state, camera, 320)
        for name, env in made.items()
    }


def save(path: pathlib.Path, pictures: dict[str, np.ndarray]) -> None:
    """A grid of titled pictures."""
    rows = -(-len(pictures) // COLUMNS)
    figure, panels = plt.subplots(rows, COLUMNS, figsize=(12, 2.6 * rows), layout="constrained")
    for axes in panels.flat:
        axes.axis("off")
    for axes, (name, picture) in zip(panels.flat, pictures.items(), strict=False):
        axes.imshow(picture)
        axes.set_title(name, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, pil_kwargs={"optimize": True})


def main() -> None:
    """Write both pictures."""
    names = list(envs.list_envs())
    navigation = [name for name in names if envs.make(name).action_size == 2 and "Swim" not in name]
    save(FOLDER / "top.png", frames(navigation, "top"))
    save(FOLDER / "side.png", frames(names, "side"))


if __name__ == "__main__":
    main()
