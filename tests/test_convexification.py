"""The toy problem's optimum is what it is said to be; the experiment writes what it promises."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.lagrangian.energy import augmented_lagrangian, plain_lagrangian
from experiments import convexification as toy
from experiments import draw_chain


def test_optimum_is_the_best_feasible_point_of_a_fine_grid():
    side = np.linspace(-1, 1, 2001, dtype=np.float64)
    grid = np.stack(np.meshgrid(side, side))
    rewards = np.where(toy.cost(grid) <= toy.BUDGET + 1e-12, toy.reward(grid), -np.inf)
    best = np.unravel_index(rewards.argmax(), rewards.shape)
    np.testing.assert_allclose(grid[(slice(None), *best)], toy.OPTIMUM, atol=1e-3)
    assert toy.reward(np.array(toy.OPTIMUM)) >= rewards.max() - 1e-9


@pytest.mark.parametrize("lagrangian", [plain_lagrangian, augmented_lagrangian])
def test_optimum_is_stationary_for_both_energies(lagrangian):
    energy = toy.energy_of(lagrangian, toy.OPTIMAL_LAM, 1.0)
    gradient = jax.grad(energy)(jnp.array(toy.OPTIMUM))
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


@pytest.mark.parametrize(("rho", "convex"), [(0.5, False), (1.0, True), (2.0, True)])
def test_curvature_at_the_optimum(rho, convex):
    def smallest(lagrangian):
        energy = toy.energy_of(lagrangian, toy.OPTIMAL_LAM, rho)
        return jnp.linalg.eigvalsh(jax.hessian(energy)(jnp.array(toy.OPTIMUM)))[0]

    assert smallest(plain_lagrangian) == pytest.approx(-toy.BETA, rel=1e-4)
    augmented = smallest(augmented_lagrangian)
    assert (augmented > 0) == convex
    assert augmented == pytest.approx(min(rho * toy.SLOPE**2 - toy.BETA, 8.0), rel=1e-4)


def test_figures_of_a_run_count_its_last_half():
    ramp = np.array([[9.0, 9.0, 1.0, 3.0]])
    trace = toy.Trace(ramp, ramp, ramp, ramp, ramp)
    figures = {name: values.tolist() for name, values in toy.statistics(trace).items()}
    assert figures["lam_variance"] == figures["violation_variance"] == [1.0]
    assert figures["excess"] == figures["distance"] == [2.0]


def test_experiment_writes_results_table_and_figure(tmp_path):
    sizes = toy.Sizes(seeds=2, steps=6, batch=4, width=4, chain_steps=2)
    toy.run(tmp_path, sizes, ["python", "x.py"])
    record = json.loads((tmp_path / "results.json").read_text())
    assert {"command", "device", "versions", "git_commit", "sizes", "seconds"} <= record.keys()
    settings = [(row["energy"], row["rho"], row["multiplier_lr"]) for row in record["rows"]]
    rates = toy.MULTIPLIER_LRS
    assert settings == [("plain", None, rate) for rate in rates] + [
        ("augmented", rho, rate) for rate in rates for rho in (0.5, 1.0, 2.0)
    ]
    for row in record["rows"]:
        for figure in ("lam_variance", "violation_variance", "excess", "distance"):
            low, high = row[figure]["interval"]
            assert low <= row[figure]["mean"] <= high
    assert len((tmp_path / "table.md").read_text().splitlines()) == 2 + len(settings)
    assert (tmp_path / "convexification.png").read_bytes().startswith(b"\x89PNG")


def test_picture_of_the_chain(tmp_path, monkeypatch):
    monkeypatch.setattr(draw_chain, "SIZES", toy.Sizes(steps=2, batch=4, width=4, chain_steps=3))
    monkeypatch.setattr(draw_chain, "LAGRANGIANS", {"augmented": augmented_lagrangian})
    params = toy.make_actor(draw_chain.SIZES).init(jax.random.key(0), toy.HYPER)
    actions = draw_chain.denoised(params, jax.random.key(1))
    assert actions.shape == (4, draw_chain.ACTIONS, 2)
    assert np.abs(actions).max() <= 1
    noise = np.arctanh(actions[0])
    np.testing.assert_allclose(noise.std(axis=0), toy.HYPER.sigma_max, rtol=0.15)
    draw_chain.draw(tmp_path / "chain.png")
    assert (tmp_path / "chain.png").read_bytes().startswith(b"\x89PNG")
