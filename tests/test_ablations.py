"""Ablations: what is trained for each field, and that figures are made from logs."""

import dataclasses

import pytest

from algd_jax.presets import preset
from algd_jax.runs.compare.configurations import flat
from algd_jax.runs.sweep import make_trials, points
from experiments import ablations
from tests.runs.support import probes, tiny_config  # noqa: F401


@pytest.mark.parametrize("field", ablations.FIELDS)
def test_the_presets_own_value_is_trained_once_and_nothing_else_changes(field):
    base = preset("quick", "PointButton1")
    assert ablations.variants(base, ablations.BASE) == ([base], [])
    configs, grid = ablations.variants(base, field)
    made = [trial.config for trial in make_trials(configs, points(grid), 1)]
    values = [flat(base)[field], *(flat(config)[field] for config in made)]
    assert sorted(values) == sorted({*ablations.FIELDS[field], flat(base)[field]})
    for config in made:
        assert flat(config).items() - flat(base).items() == {(field, flat(config)[field])}


@pytest.mark.parametrize(
    "field",
    [
        "rho",
        "diffusion",
        # Programs of their own, as those of diffusion are.
        pytest.param("chain_steps", marks=pytest.mark.slow),
        pytest.param("goal_terminates", marks=pytest.mark.slow),
    ],
)
def test_trained_and_drawn_from_logs(field, monkeypatch, tmp_path):
    base = dataclasses.replace(tiny_config(), preset="quick")
    other = next(v for v in ablations.FIELDS[field] if v != flat(base)[field])
    values = sorted([flat(base)[field], other])
    monkeypatch.setitem(ablations.FIELDS, field, tuple(values))
    monkeypatch.setattr(ablations, "preset", lambda *_: base)
    monkeypatch.setattr("experiments.logs.preset", lambda *_: tiny_config())
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--run-dir", str(tmp_path / "runs")]
    ablations.main(["--fields", field, "--seeds", "2", *arguments])
    made = {path: path.read_bytes() for path in out.glob("*.*")}
    assert {path.name for path in made} == {f"{field}.png", "table.md"}
    lines = (out / "table.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(f"| {field}")]
    assert [row.split(" | ")[:3] for row in rows] == [
        [f"| {field}", str(value), "2"] for value in values
    ]
    ablations.main(["--only-draw", *arguments])
    assert made == {path: path.read_bytes() for path in out.glob("*.*")}


def test_bad_input_is_one_clear_line(tmp_path):
    with pytest.raises(SystemExit, match=r"^ablations.py: --budget-fraction: got 2.0, allowed is"):
        ablations.main(["--budget-fraction", "2"])
    with pytest.raises(SystemExit, match=r"which holds no logs of a field$"):
        ablations.main(["--only-draw", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())
