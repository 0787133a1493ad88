import contextlib
import threading
import time

import jax
import jax.numpy as jnp
import pytest

from algd_jax.config import LoopConfig
from algd_jax.runs.best import Best
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.keeping import Keeper, is_due, retained
from algd_jax.training import checkpoint, storage
from algd_jax.training.checkpoint import CheckpointError, Entry
from tests.runs.support import tiny_config


def entry(epoch, best=False):
    notes = {"epoch": epoch, "eval_return": 1.0, "best": best}
    return Entry(100 * epoch, notes)


# The policy of the second epoch was the best one until that of the third was.
ENTRIES = [entry(epoch, best=epoch in (2, 3)) for epoch in range(6)]


@pytest.mark.parametrize(
    ("rules", "epochs"),
    [
        ({}, {4, 5}),
        ({"keep_last": 1}, {5}),
        ({"keep_last": 9}, {0, 1, 2, 3, 4, 5}),
        ({"keep_last": 1, "keep_every": 2}, {2, 4, 5}),
        ({"keep_last": 1, "keep_best": True}, {3, 5}),
    ],
)
def test_which_states_stay(rules, epochs):
    kept = retained(ENTRIES, LoopConfig(**rules))
    assert kept == {100 * epoch for epoch in epochs}


def test_a_state_whose_notes_are_lost_stays_by_age_only():
    entries = [Entry(100, {}), entry(2, best=True), entry(3)]
    loop = LoopConfig(keep_last=1, keep_every=1, keep_best=True)
    assert retained(entries, loop) == {200, 300}


@pytest.mark.parametrize(
    ("rules", "due"),
    [
        ({}, []),
        ({"checkpoint_epochs": 3}, [3, 6]),
        ({"checkpoint_epochs": 3, "keep_every": 4}, [3, 4, 6]),
        ({"keep_best": True}, [5]),
    ],
)
def test_when_the_state_is_due(rules, due):
    loop = LoopConfig(**rules)
    assert [epoch for epoch in range(1, 7) if is_due(loop, epoch, is_best=epoch == 5)] == due


class Keeping:
    """A keeper, its folder, what it told, and a state to keep."""

    def __init__(self, folder, **loop):
        config = tiny_config(**loop)
        self.directory, self.told = RunDirectory(folder), []
        self.keeper = Keeper(self.directory, config, self.told.append)
        trainer = build(config)
        key = stream_key(0, Stream.TRAINING)
        self.state = jax.jit(trainer.init)(key, config.hyper.as_arrays())

    def epoch(self, epoch, eval_return, eval_cost, now=False):
        record = {"epoch": epoch, "step": 100 * epoch, "updates": 1}
        record |= {"eval_return": eval_return, "eval_cost": eval_cost}
        record |= {"confirmed_return": eval_return, "confirmed_cost": eval_cost}
        record["confirmed_bound"] = eval_cost
        state = self.state.replace(env_steps=jnp.int32(100 * epoch))
        self.keeper.keep(state, record, now=now)
        return record

    def settle(self):
        """Wait for the writes without asking how they end."""
        while any(writer.is_writing() for writer in self.keeper._writers):
            time.sleep(0.01)

    def steps(self, name):
        return [e.step for e in checkpoint.entries(getattr(self.directory, name))]


@pytest.fixture
def make(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(**loop):
            keeping = Keeping(tmp_path, **loop)
            stack.callback(keeping.keeper.close)
            return keeping

        yield make


def test_policies_and_states_are_kept_apart(make):
    keeping = make(checkpoint_epochs=2, keep_last=1)
    for epoch, (eval_return, eval_cost) in enumerate([(1, 0), (3, 1), (9, 5), (4, 2), (2, 0)], 1):
        keeping.epoch(epoch, eval_return, eval_cost)
    keeping.keeper.wait()
    assert keeping.steps("state") == [400]
    assert keeping.steps("last") == [400, 500]
    assert keeping.steps("best") == [100, 200, 400]
    assert keeping.keeper.best == Best(400, 4, 2, 4, 2)
    assert checkpoint.read_notes(keeping.directory.best) == keeping.keeper.best._asdict()


def test_a_run_that_is_set_back_finds_the_best_policy_of_before(make):
    keeping = make(checkpoint_epochs=4)
    records = [keeping.epoch(epoch, eval_return=epoch, eval_cost=0) for epoch in range(1, 4)]
    keeping.keeper.wait()
    records += [keeping.epoch(4, eval_return=0, eval_cost=0)]
    for epoch in range(5, 9):
        keeping.epoch(epoch, eval_return=epoch, eval_cost=9 * (epoch > 7))
    keeping.keeper.wait()
    assert keeping.steps("best") == [300, 500, 600, 700]  # The whole state of step 400 knew 300.
    keeping.keeper.forget_after(400)
    keeping.keeper.recall(records)
    assert keeping.steps("best") == [300]
    assert keeping.keeper.best.step == 300


def test_a_full_disk_is_told_and_tried_again(make, monkeypatch):
    keeping, write = make(checkpoint_epochs=1, keep_last=9), storage.write
    keeping.epoch(1, 1.0, 0.0)
    keeping.keeper.wait()
    assert keeping.told == []

    def fail(folder, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write", fail)
    keeping.epoch(2, 2.0, 0.0)
    with pytest.raises(CheckpointError, match=r"No space left .*; the last good .* of step 100,"):
        keeping.keeper.wait()
    keeping.epoch(3, 3.0, 0.0)
    keeping.settle()
    keeping.epoch(4, 0.0, 0.0)
    keeping.settle()
    assert sorted(line.split()[1] for line in keeping.told) == [
        str(getattr(keeping.directory, name) / "300") for name in ("best", "last", "state")
    ]
    assert all(
        line.endswith("No space left on device; training goes on, and the next epoch tries again")
        for line in keeping.told
    )
    monkeypatch.setattr(storage, "write", write)
    keeping.epoch(5, 0.0, 0.0)
    keeping.keeper.wait()
    assert keeping.steps("state") == [100, 500]
    assert keeping.steps("last") == [100, 500]
    assert keeping.steps("best") == [100, 300]  # Of the third epoch, although written late.


def test_a_failed_state_is_made_up_for_before_the_next_is_due(make, monkeypatch):
    keeping, write = make(checkpoint_epochs=2), storage.write

    def fail_for_states(folder, arrays):
        if "state" in str(folder):
            raise OSError(122, "Disk quota exceeded")
        write(folder, arrays)

    monkeypatch.setattr(storage, "write", fail_for_states)
    keeping.epoch(1, 1.0, 0.0)
    keeping.epoch(2, 1.0, 0.0)
    keeping.settle()
    monkeypatch.setattr(storage, "write", write)
    keeping.epoch(3, 1.0, 0.0)
    keeping.keeper.wait()
    assert keeping.steps("state") == [300]


def test_no_state_is_written_without_the_policies_up_to_it(make, monkeypatch):
    keeping, write = make(checkpoint_epochs=1, keep_last=9), storage.write

    def fail_for_best(folder, arrays):
        if "best" in str(folder):
            raise OSError(28, "No space left on device")
        write(folder, arrays)

    monkeypatch.setattr(storage, "write", fail_for_best)
    keeping.epoch(1, 1.0, 9.0)  # Not feasible, so there is no best one to write.
    keeping.epoch(2, 1.0, 0.0)
    keeping.settle()
    assert keeping.steps("last") == [100, 200]
    assert keeping.steps("state") == [100]
    monkeypatch.setattr(storage, "write", write)
    keeping.epoch(3, 0.0, 0.0)
    keeping.keeper.wait()
    best, state = (getattr(keeping.directory, name) / "200" for name in ("best", "state"))
    reason = f"checkpoint {best} was not written: No space left on device"
    again = "training goes on, and the next epoch tries again"
    assert keeping.told == [
        f"{reason}; {again}",
        f"checkpoint {state} was not written: {reason}; {again}",
    ]
    assert keeping.steps("best") == [200]
    assert keeping.steps("state") == [100, 300]


def test_a_state_waits_for_the_policies_up_to_it(make, monkeypatch):
    keeping, write = make(checkpoint_epochs=1), storage.write
    order, may_write = [], threading.Event()

    def slow_for_policies(folder, arrays):
        name = folder.parts[-3]
        if name != "state":
            assert may_write.wait(60)
        order.append(name)
        write(folder, arrays)

    monkeypatch.setattr(storage, "write", slow_for_policies)
    keeping.epoch(1, 1.0, 0.0)
    assert not order
    may_write.set()
    keeping.keeper.wait()
    assert order[2:] == ["state"]
