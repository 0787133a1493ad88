"""One process at a time: for a run, a program of a sweep, and what several write."""

import errno
import fcntl
import threading

import pytest

from algd_jax.errors import ConfigError
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.locks import locked
from algd_jax.runs.run import train
from algd_jax.runs.sweep import make_trials, packing
from algd_jax.runs.sweep.directory import SweepDirectory
from tests.runs.support import files, stop_after, tiny_config


def test_a_run_that_is_being_trained_is_not_resumed(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(), folder, stop_requested=stop_after(1))
    before = files(folder)
    with RunDirectory(folder).running(), pytest.raises(ConfigError) as error:
        train(tiny_config(), folder, resume=True)
    assert str(error.value) == (
        f"run_dir: {folder} is being run by another process; allowed is one at a time"
    )
    assert files(folder) == before
    assert train(tiny_config(), folder, resume=True).evaluation is not None


def test_a_lock_is_waited_for_as_long_as_patience_lasts(tmp_path):
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with locked(tmp_path / "lock"):
            held.set()
            let_go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with pytest.raises(ConfigError, match=r"^run_dir: it is being run by"):
        locked(tmp_path / "lock", "it", patience=0.0).__enter__()
    threading.Timer(0.3, let_go.set).start()
    with locked(tmp_path / "lock", "it", patience=60.0):
        assert let_go.is_set()
    holder.join()


def test_where_there_are_no_locks_everybody_is_let_in(tmp_path, monkeypatch):
    asked = []

    def refuse(file, operation):
        asked.append(file.name)
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "lock", patience=0.0), locked(tmp_path / "lock", patience=0.0):
        assert asked == 2 * [str(tmp_path / "lock")]


def test_tasks_that_begin_together_are_all_noted(tmp_path):
    directory = SweepDirectory(tmp_path / "sweep")
    directory.create(packing.pack(make_trials([tiny_config()], [{}], seeds=1)), [])
    tasks = [threading.Thread(target=directory.add_resumption, args=([str(i)],)) for i in range(12)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    noted = [one["command"] for one in directory.read_record()["resumed"]]
    assert sorted(noted, key=lambda command: int(command[0])) == [[str(i)] for i in range(12)]
