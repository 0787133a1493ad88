"""The manifest of a checkpoint: what its folder must hold, so that damage is found and named.

Orbax notices a missing file, but returns other numbers without a word when bytes inside a large
array have changed. ``manifest.json`` therefore lists every file with size and checksum, and every
array with shape and dtype, and carries a checksum of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from algd_jax.errors import shown
from algd_jax.files import open_regular, read_json, replace, sync_folder
from algd_jax.training.storage import Array

FORMAT_VERSION = 2
"""Of a checkpoint; raised when older programs cannot read new ones. 2: small arrays are packed."""

READABLE_VERSIONS = (1, 2)

FILE_NAME = "manifest.json"

_LARGEST_MANIFEST = 16 * 2**20
_LARGEST_FILE = 2**63  # The whole is compared with what it can have at most.
_LONGEST_NAME = 300
_BLOCK = 2**20


class DamageError(Exception):
    """A checkpoint that is not as it was written; says in one line what is wrong."""


Owner = Mapping[str, str | int]
"""Whose a checkpoint is, by names such as ``run``, ``kind`` and ``seed``."""


class File(NamedTuple):
    """Size in bytes and CRC-32 of a file."""

    size: int
    crc32: int


class Manifest(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      step: environment steps made.
      owner: whose it is; empty if nobody said so.
      notes: numbers, strings, truth values and lists of them, kept beside the arrays.
      arrays: by name.
      files: by path relative to the checkpoint's folder, without the manifest itself.
    """

    step: int
    owner: Owner
    notes: dict[str, Any]
    arrays: dict[str, Array]
    files: dict[str, File]


def write_manifest(
    folder: Path, step: int, owner: Owner, notes: dict[str, Any], arrays: dict[str, Array]
) -> None:
    """Describe all files of ``folder``, and see to it that they and the manifest are on disk."""
    files = {name: _describe(path, sync=True) for name, path in _files(folder)}
    content = {
        "format_version": FORMAT_VERSION,
        "step": step,
        "owner": dict(owner),
        "notes": notes,
        "arrays": arrays,
        "files": files,
    }
    record = {"sha256": _digest(content), "content": content}
    replace(folder / FILE_NAME, json.dumps(record, allow_nan=False).encode())
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint; the files it lists are not looked at.

    Raises:
      DamageError: if there is none, or it has changed, or it is of another format.
    """
    content = _read_content(folder / FILE_NAME)
    version = content.get("format_version")
    if version not in READABLE_VERSIONS:
        allowed = " or ".join(map(str, READABLE_VERSIONS))
        raise DamageError(
            f"{FILE_NAME}: format_version: got {shown(version)}, allowed is {allowed}"
        )
    try:
        return Manifest(
            step=int(content["step"]),
            owner=dict(content.get("owner", {})),  # There since it is compared.
            notes=dict(content["notes"]),
            arrays={
                _name(name): Array(tuple(int(size) for size in shape), _name(dtype))
                for name, (shape, dtype) in content["arrays"].items()
            },
            files={
                _name(name): File(int(size), int(crc32))
                for name, (size, crc32) in content["files"].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamageError(f"{FILE_NAME}: not of its format ({type(error).__name__})") from error


def check_owner(found: Manifest, step: int, owner: Owner) -> None:
    """Raise :class:`DamageError` if a checkpoint is of another step, or somebody else's.

    Args:
      found: its manifest.
      step: its name.
      owner: whose it has to be; if that is empty, anybody's will do.
    """
    for name, wanted in {"step": step, **owner}.items():
        said = found.step if name == "step" else found.owner.get(name)
        if said != wanted:
            raise DamageError(f"it says {name} {shown(said)}, not {shown(wanted)}")


def check_files(folder: Path, files: dict[str, File], largest: int) -> None:
    """Compare the files of a checkpoint with its manifest. No path of the manifest is opened.

    Args:
      folder: of the checkpoint.
      files: as the manifest lists them.
      largest: bytes that a checkpoint of this kind can have at most; looked at first.

    Raises:
      DamageError: if a file is missing, unknown, no regular file, or has changed.
    """
    found = dict(_files(folder))
    total = sum(path.lstat().st_size for path in found.values())
    if total > largest:
        raise DamageError(f"its files have {total} bytes, allowed are {largest}")
    for name in files:
        if name not in found:
            raise DamageError(f"{name!r} is missing")
    for name, path in found.items():
        if name not in files:
            raise DamageError(f"{name!r} does not belong to it")
        size = path.lstat().st_size
        if size != files[name].size:
            raise DamageError(f"{name!r} has {size} bytes instead of {files[name].size}")
        if _describe(path) != files[name]:
            raise DamageError(f"the content of {name!r} has changed")


def _read_content(path: Path) -> dict[str, Any]:
    try:
        if path.is_symlink():
            raise DamageError(f"{path.name} is no file of a checkpoint")
        record = read_json(path, _LARGEST_MANIFEST)
        content = record["content"]
        intact = isinstance(content, dict) and record["sha256"] == _digest(content)
    except FileNotFoundError as error:
        raise DamageError(f"{path.name} is missing") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamageError(f"{path.name} cannot be read") from error
    if not intact:
        raise DamageError(f"the content of {path.name} has changed")
    return content


def _name(text: str) -> str:
    """The text, if it can be a name; ValueError if not: it may be shown on a terminal."""
    if not text.isprintable() or len(text) > _LONGEST_NAME:
        raise ValueError
    return text


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below ``folder`` but the manifest, by its path relative to it.

    Raises:
      DamageError: for what is neither file nor folder: a link may lead anywhere.
    """
    for parent, names, files in os.walk(folder):
        for name in sorted(names + files):
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise DamageError(f"{relative!r} is no regular file")
            if path.is_file() and relative != FILE_NAME:
                yield relative, path


def _describe(path: Path, *, sync: bool = False) -> File:
    size = crc32 = 0
    with open_regular(path, _LARGEST_FILE) as file:
        while block := file.read(_BLOCK):
            size += len(block)
            crc32 = zlib.crc32(block, crc32)
        if sync:
            os.fsync(file.fileno())
    return File(size, crc32)


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
