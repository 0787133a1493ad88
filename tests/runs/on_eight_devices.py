"""``algd train --devices``; ``test_devices.py`` starts a process with eight virtual devices."""

import shutil

import pytest

from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.keeping import Keeper
from algd_jax.runs.run import train
from algd_jax.runs.sweep import make_trials, sweep
from algd_jax.runs.sweep.directory import SweepDirectory
from algd_jax.runs.sweep.halving import Halving
from tests.runs.support import (
    EPOCH,
    WARMUP,
    read_lines,
    tiny_config,
    without_clock,
)

DEVICES = 8
SIZES = {"num_envs": DEVICES, "batch_size": 16, "replay_capacity": 256}
FLAGS = [f"--{name.replace('_', '-')}={size}" for name, size in SIZES.items()]


def config(epochs: int):
    return tiny_config(env_steps=WARMUP + epochs * EPOCH, **SIZES)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return train(config(4), tmp_path_factory.mktemp("one") / "run")


def assert_same_run(result, other):
    """To rounding: the same epochs, and the same final evaluation."""
    assert (result.step, other.step) == (WARMUP + 4 * EPOCH,) * 2
    logs = (read_lines(RunDirectory(run.run_dir).metrics_file) for run in (result, other))
    for actual, expected in zip(*map(without_clock, logs), strict=True):
        assert actual == {
            name: value if value is None else pytest.approx(value, rel=1e-3, abs=1e-4)
            for name, value in expected.items()
        }
    first, second = result.evaluation, other.evaluation
    assert (first.step, first.checkpoint) == (second.step, second.checkpoint)
    assert first.return_mean == pytest.approx(second.return_mean, rel=1e-3)
    assert first.cost_mean == pytest.approx(second.cost_mean, rel=1e-3)


def test_a_run_on_eight_devices_is_the_run_on_one(one, tmp_path, monkeypatch):
    kept, keep = [], Keeper.keep_state
    monkeypatch.setattr(
        Keeper, "keep_state", lambda self, *rest: [kept.append(rest[0].replay), keep(self, *rest)]
    )
    assert_same_run(train(config(4), tmp_path / "run", devices=DEVICES), one)
    assert len(kept[-1].rows.obs.sharding.device_set) == DEVICES
    assert not kept[-1].rows.obs.sharding.is_fully_replicated


def test_a_run_goes_on_with_another_number_of_devices(one, tmp_path):
    folder = tmp_path / "run"
    train(config(2), folder, devices=DEVICES)
    assert_same_run(train(config(4), folder, resume=True), one)


def test_the_command_line_resumes_on_several(one, algd, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(one.run_dir, folder)
    steps = WARMUP + 5 * EPOCH
    code, _, err = algd("train", "--resume", folder, f"--env-steps={steps}", "--devices=8")
    assert (code, err) == (0, "")
    assert read_lines(folder / "metrics.jsonl")[-1]["step"] == steps


def test_a_search_shares_its_survivors_out(tmp_path):
    """Eight members on as many devices, then four, then two, which are lone runs."""
    points = [{"rho": 0.25 * (i + 1)} for i in range(DEVICES)]
    trials = make_trials([tiny_config()], points, seeds=1)
    outcome = sweep(trials, tmp_path / "sweep", search=Halving(2))
    assert (outcome.done, outcome.pruned) == (2, 6)
    directory = SweepDirectory(tmp_path / "sweep")
    survivor = next(trial for trial in trials if directory.trial(trial).status == "done")
    alone = train(survivor.config, tmp_path / "alone")
    logs = (read_lines(d / "metrics.jsonl") for d in (directory.trial(survivor).path, alone[0]))
    for actual, expected in zip(*map(without_clock, logs), strict=True):
        assert actual == {
            name: value if value is None else pytest.approx(value, rel=1e-3, abs=1e-4)
            for name, value in expected.items()
        }


@pytest.mark.parametrize("name", ["num_envs", "batch_size"])
def test_what_does_not_divide_is_told(algd, tmp_path, name):
    folder, flag = tmp_path / "run", f"--{name.replace('_', '-')}=12"
    code, out, err = algd(
        "train", "--env=ActionProbe", *FLAGS, flag, "--devices=8", f"--run-dir={folder}"
    )
    line = f"algd: {flag.split('=')[0]}: got 12 for 8 devices, allowed is a multiple of 8\n"
    assert (code, out, err) == (2, "", line)
    assert not folder.exists()
