"""Stability of training, measured on logs with known answers."""

import numpy as np
import pandas as pd
import pytest

from experiments import stability


def run(cost, lam=None, limit=10.0):
    steps = 100 * np.arange(1, len(cost) + 1)
    lam = np.zeros(len(cost)) if lam is None else lam
    columns = {"step": steps, "cost": cost, "lam": lam, "cost_limit": limit, "return": steps}
    return pd.DataFrame(columns)


def test_violation_is_the_area_above_the_limit():
    assert stability.measure(run([30.0, 20.0, 5.0, 0.0]))["violation"] == (20 + 10) / 4


def test_swings_are_mean_changes():
    found = stability.measure(run([4.0, 8.0, 2.0], lam=[0.5, 0.5, 1.5]))
    assert found["cost_swing"] == (4 + 6) / 2
    assert found["lam_swing"] == 0.5


@pytest.mark.parametrize(
    ("cost", "share"),
    [([30.0, 9.0, 9.0, 9.0], 0), ([30.0, 9.0, 11.0, 9.0], 1 / 3), ([30.0, 20.0, 20.0], 1)],
)
def test_what_comes_after_the_limit_was_first_kept(cost, share):
    assert stability.measure(run(cost))["after"] == pytest.approx(share)


def test_a_steady_method_is_told_from_a_swinging_one():
    rng = np.random.default_rng(0)
    parts = [
        run(np.clip(8 + size * rng.normal(size=30), 0, None), lam=size * rng.random(30)).assign(
            env="EnvA", configuration=name, seed=seed
        )
        for name, size in (("algd", 0.5), ("cal", 2.0), ("diffusion_lagrangian", 5.0))
        for seed in range(5)
    ]
    runs = stability.measure_runs(pd.concat(parts))
    counts = {"algd": 5, "cal": 5, "diffusion_lagrangian": 5}
    assert runs.groupby("configuration").seed.nunique().to_dict() == counts
    tables = stability.write_tables(runs, "all of it")
    assert "# Stability: all of it" in tables
    assert "|  | algd | cal | diffusion_lagrangian |" in tables
    for words in ("violation [cost / episode]", "swing of λ"):
        line = f"* {words}: P(lower with algd than with diffusion_lagrangian) = 1.00"
        assert line in tables


def test_final_policies_are_counted_by_what_was_promised():
    policies = pd.DataFrame(
        [
            ("PointButton1", "algd", 25.0, 5.0, True),
            ("PointButton1", "algd", 24.9, 6.0, True),
            ("PointButton1", "algd", 40.1, 40.0, False),
            ("HalfCheetah", "algd_ddpm", 900.0, 7.0, True),
        ],
        columns=["env", "configuration", "return_mean", "cost_mean", "feasible"],
    )
    rows = stability.write_policies(policies).splitlines()
    assert "| PointButton1 | algd | 30 | 17 | 3 | 2 | 1 | return ≥ 25 |" in rows
    assert "| HalfCheetah | algd_ddpm | 900 | 7 | 1 | 1 | - | - |" in rows
