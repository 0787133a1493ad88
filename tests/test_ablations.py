"""Ablations: what is trained for each field, and that figures are made from logs."""

import dataclasses

import pytest

from algd_jax.presets import preset
from algd_jax.runs.sweep import make_trials, points
from experiments import ablations
from tests.runs.support import probes, tiny_config  # noqa: F401


@pytest.mark.parametrize("field", ablations.FIELDS)
def test_the_presets_own_value_is_among_them_and_nothing_else_changes(field):
    base = preset("quick", "PointButton1")
    variants = ablations.variants(base, field)
    assert any(config == base for _, config, _ in variants)
    for _, config, grid in variants:
        make_trials([config], points(grid), 1)  # Refuses what cannot work.
    grids = [grid for _, _, grid in variants if grid]
    if grids:
        assert len(variants) == 1
        assert getattr(base.hyper, field) in ablations.FIELDS[field]
    else:
        assert len({config for _, config, _ in variants}) == len(ablations.FIELDS[field])


@pytest.mark.parametrize("field", ["rho", "chain_steps", "diffusion", "goal_terminates"])
def test_trained_and_drawn_from_logs(field, monkeypatch, tmp_path):
    values = ablations.FIELDS[field][:2]
    monkeypatch.setitem(ablations.FIELDS, field, values)
    monkeypatch.setattr(
        ablations, "preset", lambda name, env: dataclasses.replace(tiny_config(), preset="quick")
    )
    monkeypatch.setattr("experiments.logs.preset", lambda *_: tiny_config())
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--run-dir", str(tmp_path / "runs")]
    ablations.main(["--fields", field, "--seeds", "2", *arguments])
    made = {path: path.read_bytes() for path in out.glob("*.*")}
    assert {path.name for path in made} == {f"{field}.png", "table.md"}
    rows = (out / "table.md").read_text().splitlines()[2:]
    assert [row.split(" | ")[:3] for row in rows] == [
        [f"| {field}", str(value), "2"] for value in values
    ]
    ablations.main(["--only-draw", *arguments])
    assert made == {path: path.read_bytes() for path in out.glob("*.*")}
