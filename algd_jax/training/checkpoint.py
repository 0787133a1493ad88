"""Checkpoints: any pytree of arrays and PRNG keys, written in the background and atomically.

A folder of checkpoints holds complete ones, ``<folder>/<step>``: one is built under another name
and moved into place when every byte is on disk. Only then are older ones removed, as a rule of the
caller says. Arrays are stored whole, whatever their sharding, so they go back onto any other.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import jax
from jax.experimental import multihost_utils

from algd_jax.errors import printable
from algd_jax.files import sync_folder
from algd_jax.training import storage
from algd_jax.training.manifest import (
    DamageError,
    Manifest,
    Owner,
    check_files,
    check_owner,
    read_manifest,
    write_manifest,
)
from algd_jax.training.storage import Array, Arrays

Tree = TypeVar("Tree")

_ARRAYS = "arrays"
_UNFINISHED, _DISCARDED, _DAMAGED = ".unfinished", ".discarded", ".damaged"
_OVERHEAD_BYTES = 64 * 2**20


class CheckpointError(Exception):
    """A checkpoint that is missing, does not fit or was not written; says so in one line."""


class Entry(NamedTuple):
    """A complete checkpoint of a folder.

    Attributes:
      step: environment steps made; its name.
      notes: what was noted with it; empty if its manifest cannot be read.
    """

    step: int
    notes: dict[str, Any]


Keep = Callable[[Sequence[Entry]], set[int]]
"""A rule of a folder; of these checkpoints, in the order of steps, those of these steps stay."""


class Restored(NamedTuple, Generic[Tree]):
    """What was read.

    Attributes:
      tree: as saved.
      step: environment steps made.
      notes: as saved.
      damaged: steps of newer checkpoints that were passed over, each with what is wrong with it.
    """

    tree: Tree
    step: int
    notes: dict[str, Any]
    damaged: dict[int, str]


def newest(count: int) -> Keep:
    """The rule that the ``count`` newest checkpoints stay."""
    return lambda entries: {entry.step for entry in entries[-count:]}


class Writer:
    """Writes the checkpoints of one folder, one after the other, in the background.

    Where a write fails, nothing of it stays, the older checkpoints do, and it can be tried again.

    A tree whose arrays span several processes is gathered by all of them and written by the first.
    """

    def __init__(self, folder: Path, owner: Owner | None = None):
        """Args:
        folder: created if needed.
        owner: whose the checkpoints are, kept beside the arrays.
        """
        self.folder, self._owner = folder, owner or {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._job: Callable[[], None] | None = None
        self._pending: Future[None] | None = None

    def save(
        self,
        step: int,
        tree: Any,
        notes: dict[str, Any] | None = None,
        keep: Keep = newest(1),
        after: Sequence[Writer] = (),
    ) -> CheckpointError | None:
        """Begin to write ``tree`` as ``folder/step``.

        Returns when the tree is copied to the host, so the caller may donate its buffers. Before
        that it waits for the checkpoint before.

        Args:
          step: environment steps made; names the checkpoint. One of this name is replaced.
          tree: pytree of arrays and typed PRNG keys.
          notes: numbers, strings, truth values and lists of them, kept beside the arrays.
          keep: which checkpoints of the folder stay; the new one does in any case.
          after: writers whose last checkpoints must be on disk first; if one cannot be written,
            this one is not either.

        Returns:
          Why the checkpoint before was not written, if it was not.

        Raises:
          CheckpointError: in other processes than the first, for a tree that they have alone.
        """
        failure = self.outcome()
        self._job = None  # Frees that copy before this one is made.
        arrays = storage.on_host(tree)
        if not _is_first_process():
            if not storage.spans_processes(tree):
                raise CheckpointError(
                    f"checkpoint {self.folder / str(step)} was not written: only process 0 writes, "
                    f"and this is process {jax.process_index()} with a tree of its own"
                )
            return None
        before = [writer._pending for writer in after if writer._pending is not None]

        def job() -> None:
            _wait_for(before, self.folder / str(step))
            _write(self.folder, step, arrays, self._owner, notes or {}, keep)

        self._job = job
        self.retry()
        return failure

    def retry(self) -> None:
        """Begin the last write anew, after it has failed."""
        assert self._job is not None
        self._pending = self._pool.submit(self._job)

    def is_writing(self) -> bool:
        """Whether a write is still going on."""
        return self._pending is not None and not self._pending.done()

    def outcome(self) -> CheckpointError | None:
        """Wait for the end of the last write, and say why it failed, if it did: once."""
        if self._pending is None:
            return None
        error, self._pending = self._pending.exception(), None
        if error is None:
            self._job = None  # Frees the copy.
        elif not isinstance(error, CheckpointError):
            raise error
        return error

    def close(self) -> None:
        """Wait, whatever comes out, and end the thread."""
        self._pool.shutdown()
        if _is_first_process():
            _remove_leftovers(self.folder)


def save(
    folder: Path,
    step: int,
    tree: Any,
    notes: dict[str, Any] | None = None,
    keep: Keep = newest(1),
    owner: Owner | None = None,
) -> None:
    """Write one checkpoint and wait for it, in all processes; see :meth:`Writer.save`.

    Raises:
      CheckpointError: if it cannot be written.
    """
    writer = Writer(folder, owner)
    with contextlib.closing(writer):
        writer.save(step, tree, notes, keep)
        error = writer.outcome()
    if storage.spans_processes(tree):
        multihost_utils.sync_global_devices(f"checkpoint {step}")
    if error is not None:
        raise error


def restore(
    folder: Path,
    like: Tree | Callable[[dict[str, Any]], Tree],
    step: int | None = None,
    owner: Owner | None = None,
    before: int | None = None,
) -> Restored[Tree]:
    """Read the newest checkpoint of ``folder`` that is undamaged.

    Nothing of a checkpoint is executed, and nothing larger than ``like`` is allocated.

    Args:
      folder: written by a :class:`Writer`.
      like: the tree's structure; leaves are arrays or ``jax.ShapeDtypeStruct`` (see
        ``jax.eval_shape``). Leaves without a sharding go to the default device. Where it differs
        between checkpoints, a function of their notes.
      step: the one checkpoint to read instead.
      owner: whose it has to be; another's is damaged. By default anybody's.
      before: read only checkpoints of earlier steps than this one.

    Raises:
      CheckpointError: if there is none, all are damaged, or the tree is a different one.
    """
    damaged: dict[int, str] = {}
    earlier = [one for one in _steps(folder) if before is None or one < before]
    for candidate in reversed(earlier if step is None else [step]):
        target = folder / str(candidate)
        try:
            tree, notes = _read(target, like, owner or {})
        except (DamageError, OSError) as error:
            damaged[candidate] = f"checkpoint {target} is damaged: {_reason(error)}"
        else:
            return Restored(tree, candidate, notes, damaged)
    if damaged:
        raise CheckpointError(f"{damaged[max(damaged)]}; there is no other in its place")
    raise CheckpointError(f"no checkpoint in {folder}")


def read_notes(folder: Path, owner: Owner | None = None) -> dict[str, Any]:
    """The notes of the newest checkpoint of ``folder`` whose manifest is undamaged.

    Args:
      folder: written by a :class:`Writer`.
      owner: whose the checkpoint has to be; by default anybody's.

    Raises:
      CheckpointError: if there is none.
    """
    for step in reversed(_steps(folder)):
        with contextlib.suppress(DamageError):
            found = read_manifest(folder / str(step))
            check_owner(found, step, owner or {})
            return found.notes
    raise CheckpointError(f"no checkpoint in {folder}")


def entries(folder: Path) -> list[Entry]:
    """The folder's complete checkpoints, in the order of steps."""
    return [Entry(step, _notes(folder / str(step))) for step in _steps(folder)]


def latest(folder: Path) -> int | None:
    """The step of the folder's newest complete checkpoint, or None if there is none."""
    return max(_steps(folder), default=None)


def set_aside(folder: Path, steps: Collection[int]) -> None:
    """Rename damaged checkpoints, so that they count no longer; their files stay."""
    for step in steps:
        _replace(folder / str(step), folder / f"{step}{_DAMAGED}")


def remove(folder: Path, steps: Collection[int]) -> None:
    """Remove checkpoints."""
    for step in steps:
        _remove(folder / str(step))


def remove_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps."""
    remove(folder, [later for later in _steps(folder) if later > step])


def _is_first_process() -> bool:
    return jax.process_index() == 0


def _read(
    target: Path, like: Tree | Callable[[dict[str, Any]], Tree], owner: Owner
) -> tuple[Tree, dict[str, Any]]:
    found = read_manifest(target)
    check_owner(found, int(target.name), owner)
    like = like(found.notes) if callable(like) else like
    _check_fits(target, found, storage.describe(like))
    check_files(target, found.files, 2 * storage.size(like) + _OVERHEAD_BYTES)
    try:
        return storage.read(target / _ARRAYS, like), found.notes
    except ValueError as error:
        raise DamageError(f"its arrays cannot be read ({_reason(error)})") from error


def _check_fits(target: Path, found: Manifest, wanted: dict[str, Array]) -> None:
    for name in sorted(found.arrays.keys() | wanted.keys()):
        stored, want = found.arrays.get(name), wanted.get(name)
        if stored != want:
            raise CheckpointError(
                f"checkpoint {target} does not fit this run: {name} is {stored or 'nothing'}, "
                f"needed is {want or 'nothing'}"
            )


def _wait_for(before: Sequence[Future[None]], target: Path) -> None:
    for write in before:
        if (error := write.exception()) is not None:
            raise CheckpointError(f"checkpoint {target} was not written: {error}") from error


def _write(
    folder: Path, step: int, arrays: Arrays, owner: Owner, notes: dict[str, Any], keep: Keep
) -> None:
    target = folder / str(step)
    # A name of its own: threads of a write that has failed may still be making files.
    unfinished = folder / f"{step}.{secrets.token_hex(4)}{_UNFINISHED}"
    try:
        _remove_leftovers(folder)
        unfinished.mkdir(parents=True)
        storage.write(unfinished / _ARRAYS, arrays)
        write_manifest(unfinished, step, owner, notes, storage.describe(arrays))
        _replace(unfinished, target)
    except Exception as error:  # What a full disk is called depends on who meets it first.
        shutil.rmtree(unfinished, ignore_errors=True)
        raise CheckpointError(f"checkpoint {target} was not written: {_reason(error)}") from error
    staying = {*keep(entries(folder)), step}
    for other in _steps(folder):
        if other not in staying:
            with contextlib.suppress(OSError):  # The next write tries again.
                _remove(folder / str(other))


def _remove_leftovers(folder: Path) -> None:
    """What killed processes have left; it may be as large as a checkpoint."""
    for child in _children(folder):
        if child.name.endswith((_UNFINISHED, _DISCARDED)):
            shutil.rmtree(child, ignore_errors=True)


def _remove(target: Path) -> None:
    """Remove a checkpoint so that a half removed one is never taken for a complete one."""
    shutil.rmtree(_discard(target), ignore_errors=True)


def _discard(target: Path) -> Path:
    """Give a checkpoint a name under which it is none, and return that."""
    discarded = target.with_name(target.name + _DISCARDED)
    target.rename(discarded)
    return discarded


def _replace(source: Path, target: Path) -> None:
    """Put a complete checkpoint in the place of an older one of its name, if there is one."""
    # The old one is removed last: that takes time, in which a kill would leave neither.
    discarded = _discard(target) if target.exists() else None
    os.rename(source, target)
    sync_folder(target.parent)
    if discarded is not None:
        shutil.rmtree(discarded, ignore_errors=True)


def _steps(folder: Path) -> list[int]:
    """Steps of complete checkpoints, sorted; the names of all else are no numbers."""
    names = [child.name for child in _children(folder)]
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]{0,18}", name))


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _notes(target: Path) -> dict[str, Any]:
    try:
        return read_manifest(target).notes
    except DamageError:
        return {}


def _reason(error: Exception) -> str:
    """An error in a few words: what the operating system refused, where it did."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    number = re.search(r"os_error_code='(\d+)'", str(error))  # As TensorStore words it.
    if number:
        return os.strerror(int(number[1]))
    lines = str(error).strip().splitlines()
    return printable(lines[0][:200]) if lines else type(error).__name__
