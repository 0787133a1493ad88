"""Checkpoints: any pytree of arrays and PRNG keys, written atomically with Orbax.

A folder of checkpoints holds one complete checkpoint, ``<folder>/<step>``: a new one is moved into
place under its final name only when every byte is written, and only then is the old one removed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

Tree = TypeVar("Tree")


class CheckpointError(Exception):
    """A checkpoint that is missing or does not fit; the message is one line fit for a terminal."""


def save(folder: Path, step: int, tree: Any, notes: dict[str, Any] | None = None) -> None:
    """Write ``tree`` as ``folder/step``, then remove the folder's other checkpoints.

    What an earlier, killed save has left is removed first; it may be as large as a checkpoint.

    Returns when everything is on disk, so the caller may donate the tree's buffers.

    Args:
      folder: created if needed.
      step: environment steps made; names the checkpoint.
      tree: pytree of arrays and typed PRNG keys.
      notes: numbers and strings kept beside the arrays.
    """
    _remove_unfinished(folder)
    target = folder.resolve() / str(step)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(target, _storable(tree), force=True, custom_metadata=notes or {})
        checkpointer.wait_until_finished()
    for other in _steps(folder):
        if other != step:
            shutil.rmtree(folder / str(other))


def latest(folder: Path) -> int | None:
    """The step of the folder's newest complete checkpoint, or None if there is none."""
    return max(_steps(folder), default=None)


def restore(folder: Path, like: Tree) -> Tree:
    """Read the newest checkpoint of ``folder``.

    Args:
      folder: written by :func:`save`.
      like: the tree's structure; leaves are arrays or ``jax.ShapeDtypeStruct`` (see
        ``jax.eval_shape``). Leaves without a sharding go to the default device.

    Raises:
      CheckpointError: if there is no checkpoint, or it holds a different tree.
    """
    target = _newest(folder)
    with ocp.StandardCheckpointer() as checkpointer:
        try:
            stored = checkpointer.restore(target, _storable(like, abstract=True))
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"checkpoint {target} does not fit this run: {reason}") from error
    return _from_storable(stored, like)


def read_notes(folder: Path) -> dict[str, Any]:
    """The notes saved with the newest checkpoint of ``folder``.

    Raises:
      CheckpointError: if there is no checkpoint.
    """
    with ocp.StandardCheckpointer() as checkpointer:
        return dict(checkpointer.metadata(_newest(folder)).custom_metadata or {})


def _newest(folder: Path) -> Path:
    step = latest(folder)
    if step is None:
        raise CheckpointError(f"no checkpoint in {folder}")
    return folder.resolve() / str(step)


def _steps(folder: Path) -> list[int]:
    """Complete checkpoints; those being written carry a suffix, so their names are no numbers."""
    return [int(child.name) for child in _children(folder) if child.name.isdecimal()]


def _remove_unfinished(folder: Path) -> None:
    for child in _children(folder):
        if ".orbax-checkpoint-tmp" in child.name:
            shutil.rmtree(child, ignore_errors=True)


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _storable(tree: Any, abstract: bool = False) -> dict[str, Any]:
    """The tree as Orbax can store it: a flat dict without typed keys and without empty arrays."""
    leaves = {name: leaf for name, leaf in _named_leaves(tree) if leaf.size > 0}
    return {name: _describe(leaf) if abstract else _plain(leaf) for name, leaf in leaves.items()}


def _from_storable(stored: dict[str, Any], like: Tree) -> Tree:
    def rebuild(name, leaf):
        if leaf.size == 0:
            return jax.numpy.zeros(leaf.shape, leaf.dtype)
        if _is_key(leaf):
            return jax.random.wrap_key_data(stored[name], impl=_key_impl(leaf))
        return stored[name]

    leaves = [rebuild(name, leaf) for name, leaf in _named_leaves(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]


def _plain(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _describe(leaf: Any) -> jax.ShapeDtypeStruct:
    plain = jax.eval_shape(_plain, jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(plain.shape, plain.dtype, sharding=sharding)


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_impl(leaf: Any) -> Any:
    """The generator of a typed key; asked of a concrete key, because shapes do not tell it."""
    return jax.random.key_impl(jax.numpy.zeros((), leaf.dtype))
