"""Reads, compares and writes: what ``algd compare`` does."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from algd_jax.errors import ConfigError
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import Comparison, compare
from algd_jax.runs.files import create


def compare_folders(
    folders: Sequence[Path], out: Path | None = None, html: bool = False
) -> tuple[Comparison, dict[str, Path]]:
    """Compare the finished runs of sweep directories and run directories.

    Args:
      folders: any number of both.
      out: new or empty folder for ``comparison.json`` and the pictures; by default nothing is
        written.
      html: whether to write the interactive page too, which needs Plotly.

    Returns:
      The comparison, and the files written.

    Raises:
      ConfigError: for bad input, before anything is written.
    """
    _check(out, html)
    comparison = compare(read_runs(folders))
    return comparison, {} if out is None else _write(comparison, out, html)


def _check(out: Path | None, html: bool) -> None:
    """Raise for what is wrong whatever the runs are."""
    if html and out is None:
        raise ConfigError("html: needs a folder for the page: add --out FOLDER")
    if html and importlib.util.find_spec("plotly") is None:
        raise ConfigError("html: needs Plotly, which is missing: pip install 'algd-jax[report]'")
    if out is not None:
        with _refusals(out):
            _check_free(out)


def _check_free(out: Path) -> None:
    """Raise :class:`ConfigError` unless it is a new or empty folder."""
    if out.is_dir():
        problem = "is not empty" if any(out.iterdir()) else None
    else:
        problem = "is a file" if out.exists() else None
    if problem:
        raise ConfigError(f"out: {out} {problem}, allowed is a new or empty folder")


def _write(comparison: Comparison, out: Path, html: bool) -> dict[str, Path]:
    """Write all files, each whole; none that exists is touched."""
    from algd_jax.runs.compare.pictures import draw_curves, draw_profiles, draw_trade_off

    figures = json.dumps(comparison.figures(), indent=2, allow_nan=False) + "\n"
    contents = {
        "comparison.json": figures.encode(),
        "curves.png": draw_curves(comparison),
        "return_against_cost.png": draw_trade_off(comparison),
        "profiles.png": draw_profiles(comparison),
    }
    if html:
        from algd_jax.runs.compare.page import make_page

        contents["comparison.html"] = make_page(comparison)
    with _refusals(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            create(out / name, content)
    return {name: out / name for name in contents}


@contextlib.contextmanager
def _refusals(out: Path) -> Iterator[None]:
    """Turns what the file system refuses for the folder ``out`` into one clear line."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror})") from error
