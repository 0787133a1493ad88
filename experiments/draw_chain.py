"""Draw what a trained diffusion policy does with noise: the picture of docs/algorithm.md.

    python -m experiments.draw_chain docs/images/chain.png

The problem is that of ``convexification.py`` with the multiplier held at λ*; the policy, its loss
and its chain are the project's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.convexification import (
    BUDGET,
    HYPER,
    LAGRANGIANS,
    OBS,
    OPTIMAL_LAM,
    OPTIMUM,
    Sizes,
    cost,
    energy_of,
    make_actor,
)

SIZES = Sizes()
ACTIONS = 300
DEPTH = 5.0  # Of the contours, from the lowest energy.


def train(lagrangian: Callable, key: jax.Array) -> dict:
    """Parameters of a policy that descends one energy."""
    actor, adam = make_actor(SIZES), optax.adam(HYPER.actor_lr)
    energy = jnp.vectorize(energy_of(lagrangian, OPTIMAL_LAM, HYPER.rho), signature="(a)->()")
    obs = jnp.broadcast_to(OBS, (SIZES.batch, len(OBS)))

    def loss(params, noise):
        return jnp.mean(actor.loss_terms(params, obs, energy, noise, HYPER).loss)

    def update(carry, update_key):
        params, moments = carry
        noise = jax.vmap(actor.draw_noise)(jax.random.split(update_key, SIZES.batch))
        direction, moments = adam.update(jax.grad(loss)(params, noise), moments)
        return (optax.apply_updates(params, direction), moments), None

    init_key, run_key = jax.random.split(key)
    params = actor.init(init_key, HYPER)
    keys = jax.random.split(run_key, SIZES.steps)
    (params, _), _ = jax.lax.scan(update, (params, adam.init(params)), keys)
    return params


def denoised(params: dict, key: jax.Array) -> np.ndarray:
    """Actions [K + 1, ACTIONS, 2]: squashed noise first, those of the policy last."""
    actor = make_actor(SIZES)
    noises = jax.vmap(actor.draw_noise)(jax.random.split(key, ACTIONS)).chain
    latents = jax.vmap(lambda noise: actor.latents(params, OBS, noise, HYPER))(noises)
    start = HYPER.sigma_max * noises.initial
    chain = jnp.concatenate([latents, start[:, None]], axis=1)[:, ::-1]
    return np.asarray(actor.squash(chain).swapaxes(0, 1))


def draw_step(axes: Axes, energy: Callable, actions: np.ndarray) -> None:
    """Actions [ACTIONS, 2] over an energy and the border of the budget."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 101)] * 2))
    heights = np.asarray(jnp.vectorize(energy, signature="(a)->()")(grid.transpose(1, 2, 0)))
    levels = heights.min() + np.linspace(0, DEPTH, 16)
    axes.contourf(*grid, heights, levels=levels, extend="max")
    axes.contour(*grid, cost(grid), levels=[BUDGET], colors="tab:orange")
    axes.scatter(*actions.T, s=6, color="white", edgecolors="black", linewidths=0.3)
    axes.plot(*OPTIMUM, "*", color="tab:red", markersize=10)
    axes.set(aspect="equal")


def draw(file: Path) -> None:
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    steps = (0, 1, 3, SIZES.chain_steps)
    shape = len(LAGRANGIANS), len(steps)
    rows = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    for row, (name, lagrangian) in zip(rows, LAGRANGIANS.items(), strict=True):
        params = jax.jit(train, static_argnums=0)(lagrangian, jax.random.key(0))
        actions = denoised(params, jax.random.key(1))
        for axes, step in zip(row, steps, strict=True):
            draw_step(axes, energy_of(lagrangian, OPTIMAL_LAM, HYPER.rho), actions[step])
            axes.set_title(f"after {step} of {SIZES.chain_steps} steps" if step else "noise")
        row[0].set_ylabel(f"{name} Lagrangian")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
