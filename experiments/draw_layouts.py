"""Draws the navigation tasks from above for the docs: ``python experiments/draw_layouts.py``."""

import pathlib

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from algd_jax.envs.navigation.suites import NAVIGATION_TASKS, NavigationTask

OUTPUT = pathlib.Path(__file__).parents[1] / "docs" / "images" / "envs" / "layouts.png"


def draw(axes: Axes, task: NavigationTask) -> None:
    """Objects in their places, the robot at its start, an arrow for its heading."""
    for centre in task.hazards.centres:
        axes.add_patch(Circle(centre, task.hazards.radius, color="tab:blue", alpha=0.4))
    for index, centre in enumerate(task.buttons.centres):
        colour = "tab:green" if index == task.start.goal else "tab:orange"
        axes.add_patch(Circle(centre, task.buttons.radius, color=colour))
        axes.annotate(str(index), centre, ha="center", va="center", fontsize=8)
    if task.gremlins is not None:
        for centre, yaw in zip(task.gremlins.centres, task.gremlins.yaws, strict=True):
            axes.add_patch(Circle(centre, task.gremlins.travel, fill=False, ls=":", color="0.5"))
            highest = np.asarray(centre) + np.array([0.0, task.gremlins.travel])
            corner = highest - task.gremlins.half
            side = 2 * task.gremlins.half
            box = Rectangle(
                corner,
                side,
                side,
                angle=np.rad2deg(yaw),
                rotation_point="center",
                color="tab:purple",
            )
            axes.add_patch(box)
    x, y = task.start.position
    footprint = task.robot.footprint
    axes.add_patch(Circle((x, y), footprint.disc_radius, color="tab:red"))
    ahead = 0.3 * np.array([np.cos(task.start.heading), np.sin(task.start.heading)])
    axes.annotate("", (x + ahead[0], y + ahead[1]), (x, y), arrowprops={"arrowstyle": "->"})
    axes.set(title=task.name, xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xlabel="x [m]")


def main() -> None:
    """Write the picture."""
    figure, panels = plt.subplots(1, len(NAVIGATION_TASKS), figsize=(8, 4), layout="constrained")
    for axes, task in zip(panels, NAVIGATION_TASKS.values(), strict=True):
        draw(axes, task)
    panels[0].set_ylabel("y [m]")
    figure.savefig(OUTPUT, dpi=110)


if __name__ == "__main__":
    main()
