import contextlib
import json
import os
import shutil
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.training import checkpoint, storage
from algd_jax.training.checkpoint import CheckpointError, Writer, newest
from tests.runs.support import assert_equal_trees, files, probes, tiny_config  # noqa: F401


@pytest.fixture
def tree():
    return {
        "weights": jnp.arange(6.0).reshape(2, 3),
        "count": jnp.int32(3),
        "key": jax.random.key(7),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 4),
        "empty": jnp.zeros((0, 3), jnp.int8),
        "half": jnp.ones(3, jnp.bfloat16),
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip_keeps_every_leaf_and_its_type(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree, {"eval_return": 1.5})
    restored = checkpoint.restore(tmp_path, jax.eval_shape(lambda: tree))
    assert_equal_trees(restored.tree, tree)
    assert (restored.step, restored.notes, restored.damaged) == (5, {"eval_return": 1.5}, {})
    assert checkpoint.latest(tmp_path) == 5
    assert checkpoint.read_notes(tmp_path) == {"eval_return": 1.5}


def test_large_and_small_arrays_round_trip_together(tmp_path, tree):
    tree["large"] = jax.random.normal(jax.random.key(0), (512, 513))  # More than 1 MiB.
    checkpoint.save(tmp_path, 5, tree)
    assert_equal_trees(checkpoint.restore(tmp_path, tree).tree, tree)


def test_no_file_names_a_place_of_the_machine(tmp_path, tree):
    """Checkpoints are passed on."""
    checkpoint.save(tmp_path, 5, tree)
    for name, content in files(tmp_path / "5").items():
        assert tmp_path.name.encode() not in content, name


def test_a_checkpoint_of_format_version_1_is_read(tmp_path, tree, monkeypatch):
    """There every array was stored on its own."""
    monkeypatch.setattr(storage, "_SMALL_BYTES", 0)
    checkpoint.save(tmp_path, 5, tree)
    forge(tmp_path / "5", lambda c: c.update(format_version=1))
    assert_equal_trees(checkpoint.restore(tmp_path, tree).tree, tree)


def test_the_rule_says_which_checkpoints_stay(tmp_path, tree):
    for step in (5, 9, 10):
        checkpoint.save(tmp_path, step, tree, {"step": step}, newest(2))
    assert names(tmp_path) == ["10", "9"]
    assert [entry.notes for entry in checkpoint.entries(tmp_path)] == [{"step": 9}, {"step": 10}]
    checkpoint.save(tmp_path, 11, tree, keep=lambda entries: {9})
    assert names(tmp_path) == ["11", "9"]  # The new one stays in any case.


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree)
    checkpoint.save(tmp_path, 5, {**tree, "count": jnp.int32(4)})
    assert names(tmp_path) == ["5"]
    assert checkpoint.restore(tmp_path, tree).tree["count"] == 4


def test_the_old_one_stays_until_the_new_one_is_in_its_place(tmp_path, tree, monkeypatch):
    checkpoint.save(tmp_path, 5, tree)
    remove, seen = shutil.rmtree, []

    def watch(path, **options):
        if path.name == "5.discarded":
            seen.append(int(checkpoint.restore(tmp_path, tree).tree["count"]))
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watch)
    checkpoint.save(tmp_path, 5, {**tree, "count": jnp.int32(4)})
    assert seen == [4]


def test_a_chosen_checkpoint_is_read(tmp_path, tree):
    for step in (5, 9):
        checkpoint.save(tmp_path, step, {**tree, "count": jnp.int32(step)}, keep=newest(2))
    assert checkpoint.restore(tmp_path, tree, step=5).tree["count"] == 5
    assert checkpoint.restore(tmp_path, tree).tree["count"] == 9


def test_what_killed_processes_have_left_does_not_count_and_is_removed(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree)
    for name in ("9.0.unfinished", "4.discarded"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "array").write_bytes(b"half")
    assert checkpoint.latest(tmp_path) == 5
    assert_equal_trees(checkpoint.restore(tmp_path, tree).tree, tree)
    checkpoint.save(tmp_path, 9, tree)
    assert names(tmp_path) == ["9"]


def test_a_missing_checkpoint_is_one_clear_line(tmp_path):
    assert checkpoint.latest(tmp_path / "nothing") is None
    for read in (
        lambda: checkpoint.restore(tmp_path, {"a": jnp.zeros(2)}),
        lambda: checkpoint.read_notes(tmp_path),
    ):
        with pytest.raises(CheckpointError, match="no checkpoint in"):
            read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": jnp.zeros(2)}, "more is nothing, needed is float32[2]"),
        ({"weights": jnp.zeros((2, 4))}, "weights is float32[2, 3], needed is float32[2, 4]"),
        ({"count": jnp.float32(0)}, "count is int32[], needed is float32[]"),
        ({"count": jnp.zeros((0,))}, "count is int32[], needed is nothing"),
        ({"key": jax.random.key(0, impl="rbg")}, "key is uint32[2], needed is uint32[4]"),
    ],
)
def test_a_different_tree_is_one_clear_line(tmp_path, tree, change, message):
    checkpoint.save(tmp_path, 4, {**tree, **change})
    checkpoint.save(tmp_path, 5, tree, keep=newest(2))  # That of step 4 is not tried.
    with pytest.raises(CheckpointError) as error:
        checkpoint.restore(tmp_path, {**tree, **change})
    target = tmp_path / "5"
    assert str(error.value) == f"checkpoint {target} does not fit this run: {message}"


def test_the_epoch_after_a_restore_is_bit_identical(tmp_path):
    config = tiny_config()
    trainer, hyper = build(config), config.hyper.as_arrays()
    train_epoch = jax.jit(trainer.train_epoch)
    key = stream_key(0, Stream.TRAINING)
    state = jax.jit(trainer.warmup)(jax.jit(trainer.init)(key, hyper), hyper)
    state, _ = train_epoch(state, hyper)

    checkpoint.save(tmp_path, int(state.env_steps), state)
    restored = checkpoint.restore(tmp_path, jax.eval_shape(trainer.init, key, hyper)).tree

    assert_equal_trees(restored, state)
    assert_equal_trees(train_epoch(restored, hyper), train_epoch(state, hyper))


@contextlib.contextmanager
def slow_storage(monkeypatch):
    """Writing begins when the event that this yields is set."""
    begin, write = threading.Event(), storage.write

    def slowly(*arguments):
        assert begin.wait(60)
        write(*arguments)

    monkeypatch.setattr(storage, "write", slowly)
    try:
        yield begin
    finally:
        begin.set()


def test_a_donated_tree_is_written_as_it_was(tmp_path, monkeypatch):
    """On a CPU the host sees the device's own buffers, which the next epoch overwrites."""
    state = {"replay": jnp.arange(1e6), "key": jax.random.key(3)}
    before = jax.tree.map(jnp.copy, state)
    advance = jax.jit(
        lambda s: {"replay": s["replay"] - 1, "key": jax.random.fold_in(s["key"], 1)},
        donate_argnums=0,
    )
    writer = Writer(tmp_path)
    with contextlib.closing(writer), slow_storage(monkeypatch) as begin:
        writer.save(1, state)
        for _ in range(3):
            state = advance(state)
        jax.block_until_ready(state)
        assert writer.is_writing()
        assert checkpoint.latest(tmp_path) is None
        begin.set()
        assert writer.outcome() is None
    assert_equal_trees(checkpoint.restore(tmp_path, before).tree, before)


def test_copies_share_no_memory_with_the_tree(tree):
    """Jax keeps a viewed buffer from being donated; then every epoch would copy all of replay."""
    for name, copy in storage.on_host({"weights": tree["weights"], "count": tree["count"]}).items():
        assert not np.shares_memory(copy, np.asarray(tree[name]))


def test_a_population_goes_back_onto_other_devices(tmp_path, tree):
    """Here onto two virtual ones; the test of a whole run starts a process with eight."""
    population = jax.tree.map(lambda x: jnp.stack([x, x]), tree)
    checkpoint.save(tmp_path, 5, population)
    mesh = jax.make_mesh((1,), ("population",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("population"))

    def place(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    restored = checkpoint.restore(tmp_path, jax.tree.map(place, population)).tree
    assert_equal_trees(restored, population)
    leaves = [leaf for leaf in jax.tree.leaves(restored) if leaf.size]
    # JAX 0.11 may write out the axes that are not sharded.
    assert all(leaf.sharding.is_equivalent_to(sharding, leaf.ndim) for leaf in leaves)
    assert all(leaf.sharding.mesh == mesh for leaf in leaves)
    assert all(leaf.sharding.spec[0] == "population" for leaf in leaves)


# Damage.


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[:-1])
    elif how == "garbled":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize("how", ["missing", "truncated", "garbled"])
def test_damage_to_any_file_is_named_and_the_checkpoint_before_used(tmp_path, tree, how):
    checkpoint.save(tmp_path, 5, tree, {"which": "good"})
    checkpoint.save(tmp_path, 9, tree, keep=newest(2))
    intact = files(tmp_path / "9")
    assert len(intact) > 3
    for name in intact:
        damage(tmp_path / "9" / name, how)
        restored = checkpoint.restore(tmp_path, tree)
        assert (restored.step, restored.notes) == (5, {"which": "good"})
        assert_equal_trees(restored.tree, tree)
        (line,) = restored.damaged.values()
        assert line.startswith(f"checkpoint {tmp_path / '9'} is damaged: ")
        assert Path(name).name in line
        assert "\n" not in line
        (tmp_path / "9" / name).write_bytes(intact[name])
    assert checkpoint.restore(tmp_path, tree).step == 9


def test_a_folder_partly_deleted_is_damaged(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree)
    for path in sorted((tmp_path / "5").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(CheckpointError) as error:
        checkpoint.restore(tmp_path, tree)
    assert str(error.value) == (
        f"checkpoint {tmp_path / '5'} is damaged: manifest.json is missing; "
        "there is no other in its place"
    )
    assert checkpoint.entries(tmp_path) == [checkpoint.Entry(5, {})]


def test_damaged_checkpoints_are_set_aside_not_deleted(tmp_path, tree):
    checkpoint.save(tmp_path, 5, tree)
    checkpoint.save(tmp_path, 9, tree, keep=newest(2))
    before = files(tmp_path / "9")
    checkpoint.set_aside(tmp_path, {9})
    assert checkpoint.latest(tmp_path) == 5
    assert files(tmp_path / "9.damaged") == before


# Checkpoints of strangers.


def forge(folder: Path, edit) -> None:
    """Change the content of a manifest and give it the checksum that fits."""
    from algd_jax.training import manifest

    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())["content"]
    edit(content)
    path.write_text(json.dumps({"sha256": manifest._digest(content), "content": content}))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(format_version=3), "format_version: got 3, allowed is 1 or 2"),
        (lambda c: c.update(step="many"), "not of its format"),
        (lambda c: c.update(arrays=[]), "not of its format"),
        (lambda c: c.pop("files"), "not of its format"),
        (lambda c: c["files"].update({"../../secret": [1, 2]}), "'../../secret' is missing"),
        (lambda c: c["files"].update({"/etc/passwd": [1, 2]}), "'/etc/passwd' is missing"),
    ],
)
def test_a_forged_manifest_is_one_clear_line(tmp_path, tree, edit, message):
    checkpoint.save(tmp_path, 5, tree)
    forge(tmp_path / "5", edit)
    with pytest.raises(CheckpointError, match="is damaged") as error:
        checkpoint.restore(tmp_path, tree)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "stored"),
    [(1000, "small arrays is stored as uint8"), (100_000, "weights is stored as float32")],
)
def test_what_a_manifest_claims_of_arrays_is_not_believed(tmp_path, tree, capfd, rows, stored):
    """Sizes are compared with what is stored before anything is allocated."""
    huge = {**tree, "weights": jnp.zeros((rows, 3))}
    checkpoint.save(tmp_path, 5, huge)
    forge(tmp_path / "5", lambda c: c["arrays"].update(weights=[[2, 3], "float32"]))
    with pytest.raises(CheckpointError, match=stored):
        checkpoint.restore(tmp_path, tree)
    assert capfd.readouterr().err == ""


def test_a_link_is_not_followed(tmp_path, tree):
    checkpoint.save(tmp_path / "a", 5, tree)
    outside = tmp_path / "outside"
    for name in sorted(files(tmp_path / "a" / "5")):
        path = tmp_path / "a" / "5" / name
        os.replace(path, outside)
        path.symlink_to(outside)
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoint.restore(tmp_path / "a", tree)
        os.replace(outside, path)
    assert checkpoint.restore(tmp_path / "a", tree).step == 5


def test_files_larger_than_the_run_can_need_are_refused_unread(tmp_path, tree, monkeypatch):
    checkpoint.save(tmp_path, 5, tree)
    (tmp_path / "5" / "arrays" / "more").touch()
    os.truncate(tmp_path / "5" / "arrays" / "more", 2**40)  # Sparse: takes no place.
    with pytest.raises(CheckpointError, match=r"its files have \d+ bytes, allowed are"):
        checkpoint.restore(tmp_path, tree)


# Writes that fail.


def test_a_failed_write_leaves_the_older_ones_and_can_be_tried_again(tmp_path, tree, monkeypatch):
    checkpoint.save(tmp_path, 5, tree)
    before = files(tmp_path)
    writer, write = Writer(tmp_path), storage.write

    def fail(folder, arrays):
        write(folder, arrays)
        raise OSError(28, "No space left on device")

    with contextlib.closing(writer):
        monkeypatch.setattr(storage, "write", fail)
        writer.save(9, tree)
        failure = writer.outcome()
        target = tmp_path / "9"
        assert str(failure) == f"checkpoint {target} was not written: No space left on device"
        assert writer.outcome() is None  # It is told once.
        assert files(tmp_path) == before
        monkeypatch.setattr(storage, "write", write)
        writer.retry()
        assert writer.outcome() is None
    assert names(tmp_path) == ["9"]
    assert_equal_trees(checkpoint.restore(tmp_path, tree).tree, tree)
