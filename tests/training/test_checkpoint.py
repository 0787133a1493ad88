import jax
import jax.numpy as jnp
import pytest

from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.training import checkpoint
from tests.runs.support import assert_equal_trees, probes, tiny_config  # noqa: F401


@pytest.fixture
def tree():
    return {
        "weights": jnp.arange(6.0).reshape(2, 3),
        "count": jnp.int32(3),
        "key": jax.random.key(7),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 4),
        "empty": jnp.zeros((0, 3), jnp.int8),
    }


def test_round_trip_keeps_every_leaf_and_its_type(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree, {"eval_return": 1.5})
    like = jax.eval_shape(lambda: tree)
    assert_equal_trees(checkpoint.restore(tmp_path, like), tree)
    assert checkpoint.latest(tmp_path) == 5
    assert checkpoint.read_notes(tmp_path) == {"eval_return": 1.5}


def test_only_the_newest_checkpoint_stays(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree)
    checkpoint.save(tmp_path, 9, {**tree, "count": jnp.int32(4)})
    assert [path.name for path in tmp_path.iterdir()] == ["9"]
    assert checkpoint.restore(tmp_path, tree)["count"] == 4


def test_an_unfinished_checkpoint_does_not_count(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree)
    (tmp_path / "9.orbax-checkpoint-tmp").mkdir()
    assert checkpoint.latest(tmp_path) == 5
    assert_equal_trees(checkpoint.restore(tmp_path, tree), tree)
    checkpoint.save(tmp_path, 9, tree)
    assert [path.name for path in tmp_path.iterdir()] == ["9"]


def test_what_killed_saves_have_left_is_removed(tmp_path, tree):
    for name in ("3.orbax-checkpoint-tmp", "4.orbax-checkpoint-tmp-1700000000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "array").write_bytes(b"half")
    checkpoint.save(tmp_path, 5, tree)
    assert [path.name for path in tmp_path.iterdir()] == ["5"]


def test_a_missing_checkpoint_is_one_clear_line(tmp_path):
    assert checkpoint.latest(tmp_path / "nothing") is None
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint in"):
        checkpoint.restore(tmp_path, {"a": jnp.zeros(2)})


@pytest.mark.parametrize("change", [{"more": jnp.zeros(2)}, {"weights": jnp.zeros((2, 4))}])
def test_a_different_tree_is_one_clear_line(tmp_path, tree, change):
    checkpoint.save(tmp_path, 5, tree)
    with pytest.raises(checkpoint.CheckpointError, match="does not fit this run") as error:
        checkpoint.restore(tmp_path, {**tree, **change})
    assert "\n" not in str(error.value)


def test_the_epoch_after_a_restore_is_bit_identical(tmp_path):
    config = tiny_config()
    trainer, hyper = build(config), config.hyper.as_arrays()
    train_epoch = jax.jit(trainer.train_epoch)
    key = stream_key(0, Stream.TRAINING)
    state = jax.jit(trainer.warmup)(jax.jit(trainer.init)(key, hyper), hyper)
    state, _ = train_epoch(state, hyper)

    checkpoint.save(tmp_path, int(state.env_steps), state)
    restored = checkpoint.restore(tmp_path, jax.eval_shape(trainer.init, key, hyper))

    assert_equal_trees(restored, state)
    assert_equal_trees(train_epoch(restored, hyper), train_epoch(state, hyper))
