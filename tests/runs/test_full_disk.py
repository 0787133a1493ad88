"""No room left: training goes on or stops cleanly, and what was written before survives.

Large files are refused by a limit of the process, which every user may set; a disk that really is
full needs the rights to mount a small one.
"""

import contextlib
import os
import resource
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax import cli
from algd_jax.runs.display import Display
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import RunError, train
from algd_jax.training import checkpoint, storage
from algd_jax.training.checkpoint import CheckpointError, newest
from tests.runs.support import (
    EPOCH,
    LAST_STEP,
    WARMUP,
    assert_equal_trees,
    files,
    read_lines,
    tiny_config,
    without_clock,
)

# Less than the metadata of a whole state, more than the logs of a tiny run.
CHECKPOINTS_REFUSED, LOGS_REFUSED = 6_000, 100


def limit_files(size: int) -> None:
    """Refuse to write any file beyond ``size`` bytes; -1: no limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextlib.contextmanager
def limited_files(size: int):
    limit_files(size)
    try:
        yield
    finally:
        limit_files(resource.RLIM_INFINITY)


class DiskOf(Display):
    """Changes the limit after some epochs, and keeps the notes."""

    def __init__(self, limits: dict[int, int]):
        self.limits, self.notes = limits, []

    def epoch(self, progress):
        epoch = progress.record["epoch"]
        if epoch in self.limits:
            limit_files(self.limits[epoch])

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(tiny_config(), folder)
    return folder


@pytest.fixture
def no_limit_stays():
    yield
    limit_files(resource.RLIM_INFINITY)


def assert_same_run(folder, whole):
    assert without_clock(read_lines(folder / "metrics.jsonl")) == without_clock(
        read_lines(whole / "metrics.jsonl")
    )
    assert (folder / "evaluation.json").read_text() == (whole / "evaluation.json").read_text()


def leftovers(folder):
    """Half-written files."""
    return [name for name in files(folder) if "unfinished" in name or name.endswith(".tmp")]


def test_a_checkpoint_that_finds_no_room_leaves_nothing(tmp_path):
    tree = {"replay": jnp.asarray(np.random.default_rng(0).normal(size=(100, 1000)))}
    checkpoint.save(tmp_path, 5, tree)
    before = files(tmp_path)
    with limited_files(100_000), pytest.raises(CheckpointError) as error:
        checkpoint.save(tmp_path, 9, tree, keep=newest(1))
    assert str(error.value) == f"checkpoint {tmp_path / '9'} was not written: File too large"
    assert files(tmp_path) == before
    assert_equal_trees(checkpoint.restore(tmp_path, tree).tree, tree)


@pytest.mark.usefixtures("no_limit_stays")
def test_training_goes_on_while_checkpoints_find_no_room(tmp_path, whole):
    folder, display = tmp_path / "run", DiskOf({1: CHECKPOINTS_REFUSED, 3: resource.RLIM_INFINITY})
    train(tiny_config(checkpoint_epochs=1), folder, display=display)
    step = WARMUP + 2 * EPOCH
    assert (
        f"checkpoint {folder / 'checkpoints' / 'state' / str(step)} was not written: "
        "File too large; training goes on, and the next epoch tries again"
    ) in display.notes
    log = (folder / "run.log").read_text()
    assert all(f" {note}\n" in log for note in display.notes)
    assert_same_run(folder, whole)
    assert checkpoint.latest(folder / "checkpoints" / "state") == LAST_STEP
    assert leftovers(folder) == []


@pytest.mark.usefixtures("no_limit_stays")
def test_a_run_whose_last_checkpoint_finds_no_room_fails_and_can_be_resumed(tmp_path, whole):
    folder = tmp_path / "run"
    display = DiskOf({3: CHECKPOINTS_REFUSED})
    with pytest.raises(RunError) as error:
        train(tiny_config(checkpoint_epochs=3), folder, display=display)
    limit_files(resource.RLIM_INFINITY)
    step = checkpoint.latest(folder / "checkpoints" / "state")
    assert str(error.value).endswith(
        "was not written: File too large; "
        f"the last good checkpoint of the whole state, of step {step}, is kept"
    )
    assert leftovers(folder) == []
    train(resumed_config(folder), folder, resume=True)
    assert_same_run(folder, whole)


def test_the_best_policy_is_found_again_if_only_that_had_no_room(tmp_path, whole, monkeypatch):
    """The whole state of its epoch would have fitted, and a run resumed there would miss it."""
    folder, write = tmp_path / "run", storage.write
    best = checkpoint.latest(whole / "checkpoints" / "best")
    # A run that ends with its best policy: in later epochs it would find another one.
    config = tiny_config(checkpoint_epochs=1, env_steps=best)
    undisturbed = train(config, tmp_path / "undisturbed").run_dir
    assert checkpoint.latest(undisturbed / "checkpoints" / "best") == best

    def fail_for_best(path, arrays):
        if path.parts[-3] == "best" and path.parts[-2].startswith(str(best)):
            raise OSError(28, "No space left on device")
        write(path, arrays)

    monkeypatch.setattr(storage, "write", fail_for_best)
    with pytest.raises(RunError, match="No space left on device; the last good checkpoint"):
        train(config, folder)
    monkeypatch.setattr(storage, "write", write)
    train(resumed_config(folder), folder, resume=True)
    assert_same_run(folder, undisturbed)


@pytest.mark.usefixtures("no_limit_stays")
def test_a_run_that_cannot_log_stops_and_can_be_resumed(tmp_path, whole):
    folder = tmp_path / "run"
    with pytest.raises(RunError) as error:
        train(tiny_config(checkpoint_epochs=1), folder, display=DiskOf({2: LOGS_REFUSED}))
    limit_files(resource.RLIM_INFINITY)
    step = checkpoint.latest(folder / "checkpoints" / "state")
    assert str(error.value) == (
        f"{folder / 'metrics.jsonl'} was not written: File too large; "
        f"the last good checkpoint of the whole state, of step {step}, is kept"
    )
    assert leftovers(folder) == []
    train(resumed_config(folder), folder, resume=True)
    assert_same_run(folder, whole)


@pytest.mark.slow
@pytest.mark.usefixtures("no_limit_stays")
@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 100, 1_000, 2_000, 3_000, 5_000, 6_000])
def test_no_room_from_any_epoch_on_for_files_of_any_size(tmp_path, whole, size, epoch):
    """The run goes on or stops; in either case nothing is lost when there is room again."""
    folder, display, stopped = tmp_path / "run", DiskOf({epoch: size}), False
    try:
        train(tiny_config(checkpoint_epochs=1), folder, display=display)
    except RunError:
        stopped = True
    limit_files(resource.RLIM_INFINITY)
    assert stopped or display.notes  # Something was refused, and told.
    assert leftovers(folder) == []
    if not (folder / "evaluation.json").exists():
        train(resumed_config(folder), folder, resume=True)
    assert_same_run(folder, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs the rights to")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Filled(Display):
    """Somebody else fills the disk behind the second epoch."""

    def __init__(self, filler):
        self.filler = filler

    def epoch(self, progress):
        if progress.record["epoch"] == 2:
            with contextlib.suppress(OSError), self.filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass


def test_a_disk_that_is_really_full(small_disk, whole, capfd):
    cli.prepare_jax()  # As a user's process has it: Orbax's own log would show tracebacks.
    folder, filler = small_disk / "run", small_disk / "filler"
    with pytest.raises(RunError) as error:
        train(tiny_config(checkpoint_epochs=1), folder, display=Filled(filler))
    assert "No space left on device; the last good checkpoint of the whole" in str(error.value)
    assert capfd.readouterr().err == ""
    assert leftovers(folder) == []

    filler.unlink()
    train(resumed_config(folder), folder, resume=True)
    assert_same_run(folder, whole)
