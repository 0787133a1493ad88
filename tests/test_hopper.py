"""The comparison with the reference on Hopper: its budget, and that logs and figures agree."""

import itertools
import json

import numpy as np
import pandas as pd

from experiments import hopper


def test_updates_and_evaluations_fall_where_the_reference_had_them():
    config = hopper.configure()
    loop = config.loop
    assert (loop.num_envs, loop.batch_size, loop.warmup_steps) == (1, 256, 5_000)
    assert config.epochs == len(hopper.STEPS)
    assert loop.updates_per_step * loop.epoch_steps == 5_000


def test_the_mean_of_an_exponential_fall():
    """Against the sum over all updates between two evaluations."""
    lam = np.insert(hopper.REFERENCE["lam"][0], 0, 0.6931)
    sums = [np.geomspace(a, b, 100_001).mean() for a, b in itertools.pairwise(lam)]
    np.testing.assert_allclose(hopper.reference()["lam"][0], sums, rtol=1e-4)


def test_table_and_figure_are_made_from_the_logs(tmp_path):
    rows = [
        {"seed": seed, "step": 5_000 + step, "return": 100.0 + seed, "cost": 50.0, "lam": 0.1}
        for seed in range(3)
        for step in hopper.STEPS
    ]
    table = pd.DataFrame(rows)
    table.assign(wall_time=table.step).to_csv(tmp_path / "results.csv")
    record = {
        "command": ["python", "experiments/hopper.py"],
        "git_commit": "abc",
        "device": {"kind": "cpu", "host": "Linux"},
        "versions": {"jax": "1", "mujoco-mjx": "2"},
        "start_time": "2026-01-01",
    }
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    hopper.main(["--only-draw", "--out", str(tmp_path)])
    table = (tmp_path / "table.md").read_text()
    assert "algd-jax, 3 seeds | 101 (100 to 102)" in table
    assert "reference, 2 seeds | 124 (73 to 174)" in table
    assert table.endswith(
        "`python experiments/hopper.py`, commit abc, cpu (Linux), JAX 1, MJX 2, 2026-01-01, "
        "seeds 0, 1, 2, 125 minutes for the longest run\n"
    )
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
