"""SIGKILL at random moments of a run, resumed each time: it ends as if nothing had happened."""

import contextlib
import os

import jax
import pytest

from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.training import checkpoint
from tests.runs.crashing import CONFIG, Killer
from tests.runs.support import assert_equal_trees, files, read_lines, without_clock


def what_is_left(folder):
    """All that a run leaves but clock and compression: logs, evaluation, states and policies."""
    trainer, key = build(CONFIG), stream_key(0, Stream.TRAINING)
    like = jax.eval_shape(trainer.init, key, CONFIG.hyper.as_arrays())
    trees = {}
    for name, tree in (("state", like), ("last", like.agent), ("best", like.agent)):
        for entry in checkpoint.entries(folder / "checkpoints" / name):
            restored = checkpoint.restore(folder / "checkpoints" / name, tree, entry.step)
            trees[name, entry.step] = (restored.notes, restored.tree)
    records = without_clock(read_lines(folder / "metrics.jsonl"))
    return records, (folder / "evaluation.json").read_text(), trees


def assert_ended_alike(folder, expected):
    records, evaluation, trees = what_is_left(folder)
    assert records == expected[0]
    assert evaluation == expected[1]
    assert trees.keys() == expected[2].keys()
    for name, (notes, tree) in trees.items():
        assert notes == expected[2][name][0]
        assert_equal_trees(tree, expected[2][name][1])
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "run.log").exists()  # No checkpoint was ever damaged.
    assert not [name for name in files(folder) if "unfinished" in name or "discarded" in name]


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(5, int(os.environ.get("ALGD_CRASH_SEED", "0"))), pytest.param(60, 1, marks=pytest.mark.slow)],
)
def test_a_run_killed_again_and_again_ends_as_if_nothing_had_happened(tmp_path, kills, seed):
    with contextlib.closing(Killer(seed)) as killer:
        longest = killer.spare(tmp_path / "whole")
        expected = what_is_left(tmp_path / "whole")
        run = 0
        while killer.killed_at.total() < kills:
            folder = tmp_path / str(run)
            while not (folder / "evaluation.json").exists():
                if killer.killed_at.total() < kills:
                    killer.kill(folder, longest)
                else:
                    killer.spare(folder)
            assert_ended_alike(folder, expected)
            run += 1
    print(f"{kills} kills in {run} runs, at:", dict(killer.killed_at.most_common()))
