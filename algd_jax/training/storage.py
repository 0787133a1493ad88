"""The arrays of a pytree in one folder, written and read with Orbax.

Orbax takes a flat dict of arrays here: typed PRNG keys become their data, empty arrays, which it
cannot store, are left out and made anew. Small arrays, hundreds in networks with their optimisers,
are stored as the bytes of one: TensorStore, which writes the files, keeps about 2 KB of memory for
every array that it has ever written, and many take longer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

Tree = TypeVar("Tree")
Arrays = dict[str, np.ndarray]

# Large arrays are cut into pieces, which are compressed, written and read side by side.
_PIECE_BYTES = 64 * 2**20
_SMALL_BYTES = 2**20
_PACK = "small arrays"


class Array(NamedTuple):
    """Shape and dtype name of a stored array."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def on_host(tree: Any) -> Arrays:
    """The tree's arrays by name, as copies that stay when its buffers are donated.

    Arrays that span several processes are gathered, so all of them must call this.
    """
    leaves = _storable(tree)
    hosted = {name: _gathered(_plain(leaf)) for name, leaf in leaves.items()}
    hosted = jax.device_get(hosted)
    # On a CPU device the "transfer" is a view of the very buffer.
    return {
        name: np.array(hosted[name], copy=_is_on_cpu(leaf) or None) for name, leaf in leaves.items()
    }


def spans_processes(tree: Any) -> bool:
    """Whether other processes hold parts of its arrays."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    return not all(array.is_fully_addressable for array in arrays)


def describe(tree: Any) -> dict[str, Array]:
    """The arrays that store ``tree`` (leaves arrays or ``jax.ShapeDtypeStruct``), by name."""
    return {name: Array(want.shape, want.dtype.name) for name, want in _wanted(tree).items()}


def size(tree: Any) -> int:
    """Bytes of the arrays that store ``tree``."""
    return sum(map(_nbytes, _wanted(tree).values()))


def write(folder: Path, arrays: Arrays) -> None:
    """Make ``folder`` of the arrays; a failure is an OSError, or a ValueError that tells of one."""
    small = {name: array for name, array in arrays.items() if array.nbytes < _SMALL_BYTES}
    stored = {name: array for name, array in arrays.items() if name not in small}
    if small:
        stored[_PACK] = _pack(small)
    pieces = {name: ocp.SaveArgs(chunk_byte_size=_PIECE_BYTES) for name in stored}
    with _orbax(writers={0}) as checkpointer:
        checkpointer.save(
            folder.resolve(), args=ocp.args.PyTreeSave(stored, save_args=pieces), force=True
        )
    # It names a folder of this machine, and the manifest says what is complete.
    (folder / "commit_success.txt").unlink(missing_ok=True)


def read(folder: Path, like: Tree) -> Tree:
    """The tree that :func:`write` has stored; nothing larger than ``like`` is allocated.

    Args:
      folder: made by :func:`write`.
      like: the tree's structure; leaves are arrays or ``jax.ShapeDtypeStruct``. Leaves without a
        sharding go to the default device.

    Raises:
      ValueError: if other arrays are stored, or they cannot be read.
    """
    wanted = _wanted(like)
    try:
        with _orbax() as checkpointer:
            stored = checkpointer.metadata(folder.resolve()).item_metadata.tree
            # Up to format version 1 every array was stored on its own.
            small = {name: want for name, want in wanted.items() if name not in stored}
            asked = {name: want for name, want in wanted.items() if name in stored}
            if small:
                asked[_PACK] = _packed(small)
            for name, want in asked.items():
                _check_stored(name, stored[name], want)
            arrays = checkpointer.restore(
                folder.resolve(), args=ocp.args.PyTreeRestore(asked, restore_args=_places(asked))
            )
    except (KeyError, TypeError, AttributeError) as error:  # Orbax's answers to foreign files.
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if small:
        arrays |= _unpack(arrays.pop(_PACK), small)
    return _from_storable(arrays, like)


def _pack(arrays: Arrays) -> np.ndarray:
    """Their bytes, in the order of their names."""
    return np.frombuffer(b"".join(arrays[name].tobytes() for name in sorted(arrays)), np.uint8)


def _unpack(pack: np.ndarray, wanted: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.Array]:
    arrays: dict[str, jax.Array] = {}
    begin = 0
    for name in sorted(wanted):
        want = wanted[name]
        array = np.frombuffer(pack, want.dtype, want.size, begin).reshape(want.shape)
        arrays[name] = jax.make_array_from_callback(want.shape, want.sharding, array.__getitem__)
        begin += array.nbytes
    return arrays


def _packed(wanted: dict[str, jax.ShapeDtypeStruct]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((sum(map(_nbytes, wanted.values())),), np.uint8)


def _places(asked: dict[str, jax.ShapeDtypeStruct]) -> dict[str, ocp.RestoreArgs]:
    """Where each is read to: the pack to the host, all others to their devices."""
    on_devices = ocp.checkpoint_utils.construct_restore_args(asked)
    on_host = ocp.RestoreArgs(restore_type=np.ndarray)
    return {name: on_host if name == _PACK else on_devices[name] for name in asked}


def _nbytes(want: jax.ShapeDtypeStruct) -> int:
    return want.size * want.dtype.itemsize


def _check_stored(name: str, stored: Any, want: jax.ShapeDtypeStruct) -> None:
    """Whole pieces are allocated in reading, so they must not be larger than the array either."""
    fits = stored.shape == want.shape and stored.dtype == want.dtype
    if not fits or any(np.greater(stored.storage.chunk_shape, np.maximum(want.shape, 1))):
        raise ValueError(f"{name} is stored as {stored.dtype}{list(stored.shape)}")


def _orbax(writers: set[int] | None = None) -> ocp.Checkpointer:
    """One that waits for these processes; by default for all."""
    handlers = ocp.type_handlers.create_type_handler_registry(
        (np.ndarray, ocp.type_handlers.NumpyHandler(deepcopy_host_arrays=False)),
        (jax.Array, ocp.type_handlers.ArrayHandler()),
    )
    processes = ocp.options.MultiprocessingOptions(active_processes=writers)
    handler = ocp.PyTreeCheckpointHandler(
        type_handler_registry=handlers, multiprocessing_options=processes
    )
    return ocp.Checkpointer(handler, multiprocessing_options=processes)


def _storable(tree: Any) -> dict[str, Any]:
    leaves = [leaf for leaf in jax.tree_util.tree_leaves_with_path(tree) if leaf[1].size > 0]
    named = {_name(path): leaf for path, leaf in leaves}
    assert len(named) == len(leaves), "two leaves of one name"
    return named


def _from_storable(stored: dict[str, jax.Array], like: Tree) -> Tree:
    def rebuild(path: Any, leaf: Any) -> jax.Array:
        if leaf.size == 0:
            return jax.numpy.zeros(leaf.shape, leaf.dtype, device=getattr(leaf, "sharding", None))
        array = stored[_name(path)]
        return jax.random.wrap_key_data(array, impl=_key_impl(leaf)) if _is_key(leaf) else array

    return jax.tree_util.tree_map_with_path(rebuild, like)


def _wanted(tree: Any) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: _abstract(leaf) for name, leaf in _storable(tree).items()}


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    plain = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    if _is_key(leaf):
        plain = jax.eval_shape(jax.random.key_data, plain)
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(plain.shape, plain.dtype, sharding=sharding)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _gathered(leaf: Any) -> Any:
    return multihost_utils.process_allgather(leaf, tiled=True) if spans_processes(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_impl(leaf: Any) -> Any:
    """The generator of a typed key; asked of a concrete key, because shapes do not tell it."""
    return jax.random.key_impl(jax.numpy.zeros((), leaf.dtype))


def _is_on_cpu(leaf: Any) -> bool:
    return not isinstance(leaf, jax.Array) or any(d.platform == "cpu" for d in leaf.devices())
