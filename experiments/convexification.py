"""What the augmented Lagrangian changes, on a problem whose optimum is known.

    python experiments/convexification.py --out experiments/results/convexification

One step, one state, an action (x, y) in the box [-1, 1]²; u and v are measured from the optimum:

    reward  Q(a)   = 3u − D(u) − 2v²,   D(u) = β/(4w²) (u² − w²)²,  β = 6.75, w = 0.6
    cost    Q_c(a) = h + 3u + 2v²,      and every action shall keep Q_c(a) <= h = 4.

**The optimum** is u = v = 0 with λ* = 1. Q_c <= h asks for u <= −2v²/3 <= 0. For u <= 0,
dQ/du = 3 − (β/w²)(u² − w²)u is least at u = −w/√3, where it is 3 − 2βw/(3√3) = 1.44 > 0: Q rises
with u and falls with |v|, so the best feasible point is the origin, and there ∇Q = λ* ∇Q_c.

**Why the plain Lagrangian must swing.** At λ = λ* it is D(u) + 4v²: a double well whose *maximum*
in u, with curvature −β, is the optimum. Descent ends in one well or the other, one within the
budget and one beyond it, and λ has to travel from 1 − 1.56/3 to 1 + 1.56/3 and back (where a well
loses its minimum) before descent leaves one well for the other; noise lets it leave earlier.

**Why the augmented one need not.** Its curvature in u at the optimum is ρ (dQ_c/du)² − β = 9ρ − β,
positive for ρ > 0.75, and its stationary point is the same. So of ρ = 0.5, 1 and 2 the first is
below the threshold and the others above.

**What is not claimed.** A *randomised* policy that visits both wells may meet the budget on
average; in expectation it even earns more than the optimum above, which is the best action when
each action must keep the budget, as the augmented energy, which charges every action by itself,
assumes. A plain Lagrangian may settle on such a mixture; the mean excess [Q_c − h]_+ and the
distance from the optimum then show it. At temperature T = 1 both policies are spread around their
minima, so about half of the augmented one's actions are beyond the budget too, by less, and its λ
need not end at λ*: what balances the reward is the mean of [λ + ρ (Q_c − h)]_+.

Everything but the critics is the project's: diffusion actor with its loss, multiplier loss, Adam.
Both energies get the same seeds, networks and learning rates. Each energy's runs (seeds, ρ,
learning rates of the multiplier) are one vmapped program.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from algd_jax.agents.diffusion_actor import DiffusionActor, make_diffusion_actor
from algd_jax.config import AgentConfig, Hyper
from algd_jax.lagrangian.energy import augmented_lagrangian, plain_lagrangian
from algd_jax.lagrangian.multiplier import multiplier_loss
from algd_jax.runs.evaluate import mean_interval
from algd_jax.runs.provenance import provenance

OPTIMUM = (0.2, -0.2)
OPTIMAL_LAM = 1.0
BUDGET = 4.0
SLOPE = 3.0
BETA, WELL = 6.75, 0.6
BOWL = 2.0

LAGRANGIANS = {"plain": plain_lagrangian, "augmented": augmented_lagrangian}
RHOS = {"plain": (1.0,), "augmented": (0.5, 1.0, 2.0)}  # The plain energy has no ρ.
MULTIPLIER_LRS = (0.003, 0.01)
SHOWN = {"rho": 1.0, "multiplier_lr": 0.01}
"""The setting of the figure: the paper's ρ, and the rate at which swings fit into the picture."""

HYPER = Hyper(actor_lr=0.003)  # ρ, T, score weight, λ_0 and noise scales are the paper's.
OBS = jnp.zeros(1)  # The one state.


class Sizes(NamedTuple):
    """What a run costs.

    Attributes:
      seeds: runs per setting.
      steps: updates per run.
      batch: actions per update.
      width: of the two hidden layers of the score model.
      chain_steps: K.
    """

    seeds: int = 10
    steps: int = 3000
    batch: int = 32
    width: int = 32
    chain_steps: int = AgentConfig.chain_steps


class Trace(struct.PyTreeNode):
    """One number per update, [steps], of the policy's drawn actions unless said otherwise.

    Attributes:
      lam: multiplier after the update.
      violation: mean of Q_c − h.
      excess: mean of [Q_c − h]_+.
      distance: mean distance from the optimum.
      deterministic_distance: that of the deterministic action.
    """

    lam: jax.Array
    violation: jax.Array
    excess: jax.Array
    distance: jax.Array
    deterministic_distance: jax.Array


def reward(action: Any) -> Any:
    """Q of an action [2] (or of arrays of coordinates [2, …], elementwise)."""
    u, v = action[0] - OPTIMUM[0], action[1] - OPTIMUM[1]
    return SLOPE * u - BETA / (4 * WELL**2) * (u**2 - WELL**2) ** 2 - BOWL * v**2


def cost(action: Any) -> Any:
    """Q_c of an action, likewise."""
    u, v = action[0] - OPTIMUM[0], action[1] - OPTIMUM[1]
    return BUDGET + SLOPE * u + BOWL * v**2


def energy_of(lagrangian: Callable, lam: Any, rho: Any) -> Callable[[Any], Any]:
    """The energy over actions."""
    return lambda action: lagrangian(reward(action), cost(action), lam, rho, BUDGET)


def make_actor(sizes: Sizes) -> DiffusionActor:
    """The project's diffusion actor on the box [-1, 1]²."""
    shape = AgentConfig(
        chain_steps=sizes.chain_steps,
        time_features=8,
        actor_width=sizes.width,
        actor_layers=2,
    )
    return make_diffusion_actor(len(OBS), (-1.0, -1.0), (1.0, 1.0), shape)


def train(
    lagrangian: Callable, sizes: Sizes, key: jax.Array, hyper: Hyper
) -> tuple[Trace, jax.Array]:
    """One run: the trace, and the actions [batch, 2] drawn last."""
    actor = make_actor(sizes)
    actor_adam, multiplier_adam = optax.adam(hyper.actor_lr), optax.adam(hyper.multiplier_lr)

    def actor_loss(params, lam, noise):
        energy = jnp.vectorize(energy_of(lagrangian, lam, hyper.rho), signature="(a)->()")
        obs = jnp.broadcast_to(OBS, (sizes.batch, len(OBS)))
        terms = actor.loss_terms(params, obs, energy, noise, hyper)
        return jnp.mean(terms.loss)

    def update(carry, update_key):
        params, log_lam, actor_moments, multiplier_moments, _ = carry
        noise_key, action_key = jax.random.split(update_key)
        noise = jax.vmap(actor.draw_noise)(jax.random.split(noise_key, sizes.batch))
        gradient = jax.grad(actor_loss)(params, jnp.exp(log_lam), noise)
        params, actor_moments = _apply(actor_adam, gradient, actor_moments, params)

        action_keys = jax.random.split(action_key, sizes.batch)
        actions = jax.vmap(lambda one: actor.draw(params, OBS, one, hyper).action)(action_keys)
        costs = jax.vmap(cost)(actions)
        gradient = jax.grad(multiplier_loss)(log_lam, jnp.mean(costs) - BUDGET)
        log_lam, multiplier_moments = _apply(multiplier_adam, gradient, multiplier_moments, log_lam)

        trace = Trace(
            lam=jnp.exp(log_lam),
            violation=jnp.mean(costs - BUDGET),
            excess=jnp.mean(jnp.maximum(costs - BUDGET, 0)),
            distance=jnp.mean(_distance(actions)),
            deterministic_distance=_distance(actor.act_deterministic(params, OBS, hyper)),
        )
        return (params, log_lam, actor_moments, multiplier_moments, actions), trace

    init_key, run_key = jax.random.split(key)
    params, log_lam = actor.init(init_key, hyper), jnp.log(hyper.initial_lam)
    moments = actor_adam.init(params), multiplier_adam.init(log_lam)
    start = (params, log_lam, *moments, jnp.zeros((sizes.batch, 2)))
    (*_, actions), trace = jax.lax.scan(update, start, jax.random.split(run_key, sizes.steps))
    return trace, actions


def run_energy(name: str, sizes: Sizes) -> tuple[list[Hyper], Trace, np.ndarray]:
    """Every setting and seed of one energy in one program.

    Returns:
      S settings; their traces, leaves [S, seeds, steps]; their last actions [S, seeds, batch, 2].
    """
    settings = [HYPER.replace(rho=r, multiplier_lr=m) for m in MULTIPLIER_LRS for r in RHOS[name]]
    hypers = jax.tree.map(lambda *values: jnp.asarray(values, jnp.float32), *settings)
    keys = jax.random.split(jax.random.key(0), sizes.seeds)  # The same for every setting.
    per_seed = jax.vmap(partial(train, LAGRANGIANS[name], sizes), in_axes=(0, None))
    population = jax.jit(jax.vmap(per_seed, in_axes=(None, 0)))
    return settings, *jax.device_get(population(keys, hypers))


def statistics(trace: Trace) -> dict[str, np.ndarray]:
    """Figures of the last half of each run: leaves [seeds, steps] to [seeds]."""
    late = jax.tree.map(lambda line: np.asarray(line[:, line.shape[1] // 2 :], np.float64), trace)
    return {
        "lam_variance": late.lam.var(axis=1),
        "violation_variance": late.violation.var(axis=1),
        "excess": late.excess.mean(axis=1),
        "distance": late.distance.mean(axis=1),
        "deterministic_distance": late.deterministic_distance.mean(axis=1),
    }


def summarize(name: str, setting: Hyper, trace: Trace) -> dict[str, Any]:
    """One row of the results: mean and 95 % interval over seeds of each figure."""
    row: dict[str, Any] = {
        "energy": name,
        "rho": setting.rho if name == "augmented" else None,
        "multiplier_lr": setting.multiplier_lr,
    }
    for figure, values in statistics(trace).items():
        row[figure] = {"mean": float(values.mean()), "interval": mean_interval(values)}
    return row


def run(out: Path, sizes: Sizes, command: Sequence[str]) -> None:
    """Train everything and write ``results.json``, ``table.md`` and ``convexification.png``."""
    rows, shown = [], {}
    start = time.perf_counter()
    for name in LAGRANGIANS:
        settings, traces, actions = run_energy(name, sizes)
        for index, setting in enumerate(settings):
            trace = jax.tree.map(lambda leaf, i=index: leaf[i], traces)
            rows.append(summarize(name, setting, trace))
            if all(getattr(setting, field) == value for field, value in SHOWN.items()):
                shown[name] = trace, actions[index]
    record = {
        **provenance(list(command)),
        "seconds": round(time.perf_counter() - start, 1),
        "sizes": sizes._asdict(),
        "optimum": {"action": OPTIMUM, "lam": OPTIMAL_LAM},
        "rows": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(record, indent=2) + "\n")
    (out / "table.md").write_text(table(rows))
    draw(out / "convexification.png", shown)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown: mean [95 % interval over seeds]."""
    columns = {
        "lam_variance": "variance of λ",
        "violation_variance": "variance of the violation",
        "excess": "mean excess",
        "distance": "distance, drawn actions",
        "deterministic_distance": "distance, deterministic action",
    }
    lines = [
        f"| energy | ρ | rate of λ | {' | '.join(columns.values())} |",
        "|---" * (3 + len(columns)) + "|",
    ]
    for row in rows:
        rho = "–" if row["rho"] is None else f"{row['rho']:g}"
        cells = [_cell(**row[column]) for column in columns]
        lines.append(
            f"| {row['energy']} | {rho} | {row['multiplier_lr']:g} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def draw(path: Path, shown: dict[str, tuple[Trace, np.ndarray]]) -> None:
    """One column per energy: λ, violation, and the last actions over the energy's contours."""
    figure = Figure(figsize=(11, 11), layout="constrained")
    axes = figure.subplots(3, len(shown), height_ratios=(1, 1, 1.8), sharey="row")
    setting = f"rate of λ {SHOWN['multiplier_lr']:g}"
    titles = {"plain": f"plain Lagrangian, {setting}"}
    titles["augmented"] = f"augmented Lagrangian, ρ = {SHOWN['rho']:g}, {setting}"
    for column, (name, (trace, actions)) in zip(axes.T, shown.items(), strict=True):
        column[0].set(title=titles[name], xlabel="update")
        _draw_runs(column[0], trace.lam, OPTIMAL_LAM, "λ*")
        _draw_runs(column[1], trace.violation, 0.0, "budget")
        column[1].set(xlabel="update")
        contours = _draw_landscape(column[2], name, actions)
    axes[0, 0].set_ylabel("λ [reward / cost]")
    axes[1, 0].set_ylabel("violation, mean of Q_c − h [cost]")
    axes[2, 0].set_ylabel("action y")
    figure.colorbar(contours, ax=axes[2], label="energy at λ* [reward], above its value at a*")
    figure.savefig(path, dpi=110)


def _draw_runs(axes: Axes, runs: np.ndarray, target: float, label: str) -> None:
    """One line per seed, [seeds, steps]; the first seed stands out."""
    axes.plot(runs[1:].T, color="tab:blue", linewidth=0.5, alpha=0.3)
    axes.plot(runs[0], color="black", linewidth=0.8, label="first seed")
    axes.plot([], [], color="tab:blue", alpha=0.6, label="the other seeds")
    axes.axhline(target, color="tab:red", linestyle="--", label=label)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", fontsize="small")


def _draw_landscape(axes: Axes, name: str, actions: np.ndarray) -> Any:
    """Contours at λ*, the budget's boundary, the optimum and the last actions of all seeds."""
    side = np.linspace(-1, 1, 201)
    grid = np.stack(np.meshgrid(side, side))
    energy = energy_of(LAGRANGIANS[name], OPTIMAL_LAM, SHOWN["rho"])
    height = np.asarray(energy(grid) - energy(OPTIMUM))
    levels = np.linspace(-0.75, 3, 16)
    contours = axes.contourf(*grid, height, levels=levels, cmap="viridis", extend="both")
    axes.contour(*grid, cost(grid), levels=[BUDGET], colors="tab:orange", linewidths=2)
    axes.plot([], [], color="tab:orange", linewidth=2, label="Q_c = h (feasible: left)")
    points = actions.reshape(-1, 2)
    style = {"s": 14, "color": "white", "edgecolors": "black", "linewidths": 0.4}
    axes.scatter(*points.T, **style, label="last actions, all seeds")
    axes.plot(*OPTIMUM, "*", color="tab:red", markersize=16, markeredgecolor="white", label="a*")
    axes.set(xlabel="action x", aspect="equal")
    axes.legend(loc="upper left", fontsize="small", facecolor="lightgray", framealpha=0.9)
    return contours


def _apply(
    adam: optax.GradientTransformation, gradient: Any, moments: Any, params: Any
) -> tuple[Any, Any]:
    updates, moments = adam.update(gradient, moments)
    return optax.apply_updates(params, updates), moments


def _distance(actions: jax.Array) -> jax.Array:
    return jnp.linalg.norm(actions - jnp.array(OPTIMUM), axis=-1)


def _cell(mean: float, interval: Sequence[float]) -> str:
    return f"{mean:.3g} [{interval[0]:.3g}, {interval[1]:.3g}]"


def main() -> None:
    """Run with the sizes given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=Sizes().seeds)
    parser.add_argument("--steps", type=int, default=Sizes().steps)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/convexification"))
    arguments = parser.parse_args()
    sizes = Sizes(seeds=arguments.seeds, steps=arguments.steps)
    options = [f"--seeds={sizes.seeds}", f"--steps={sizes.steps}"]
    run(arguments.out, sizes, ["python", "experiments/convexification.py", *options])
    print((arguments.out / "table.md").read_text())


if __name__ == "__main__":
    main()
