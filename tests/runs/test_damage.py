"""Damaged files of the newest checkpoint of a run: resumed, it ends as if nothing had happened."""

import shutil

import pytest

from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import train
from algd_jax.training import checkpoint
from tests.runs.support import (
    EPOCH,
    WARMUP,
    files,
    read_lines,
    stop_after,
    tiny_config,
    without_clock,
)

CONFIG = tiny_config(env_steps=WARMUP + 3 * EPOCH, checkpoint_epochs=1)
STOPPED_AT, BEFORE = WARMUP + 2 * EPOCH, WARMUP + EPOCH


def flip(content, place):
    middle = int(place * len(content))
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


DAMAGES = {
    "deleted": lambda content: None,
    "emptied": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "a bit flipped early": lambda content: flip(content, 0.1),
    "a bit flipped in the middle": lambda content: flip(content, 0.5),
    "a bit flipped late": lambda content: flip(content, 0.99),
    "zeros": lambda content: bytes(len(content)),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run stopped after its second epoch, with two checkpoints of the whole state."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    train(CONFIG, folder, stop_requested=stop_after(2))
    steps = [entry.step for entry in checkpoint.entries(RunDirectory(folder).state)]
    assert steps == [BEFORE, STOPPED_AT]
    return folder


def assert_ended_alike(folder, whole):
    logs = [without_clock(read_lines(path / "metrics.jsonl")) for path in (folder, whole)]
    assert logs[0] == logs[1]
    assert (folder / "evaluation.json").read_text() == (whole / "evaluation.json").read_text()


@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_damage_to_the_newest_state_loses_nothing(tmp_path, stopped, whole, every):
    """Each kind of damage to each file; by default to a few."""
    target = RunDirectory(stopped).state / str(STOPPED_AT)
    faults = [(name, how) for name in files(target) for how in DAMAGES][::every]
    for name, how in faults:
        folder = shutil.copytree(stopped, tmp_path / "run")
        newest = RunDirectory(folder).state / str(STOPPED_AT)
        path = newest / name
        damaged = DAMAGES[how](path.read_bytes())
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        train(resumed_config(folder), folder, resume=True)
        assert_ended_alike(folder, whole)
        log = (folder / "run.log").read_text()
        assert f"{newest} is damaged: " in log
        assert f"going on from the one of step {BEFORE}" in log
        shutil.rmtree(folder)
    print(f"{len(faults)} damages to {len(files(target))} files")
