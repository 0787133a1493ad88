"""Reads, compares and writes: what ``algd compare`` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from algd_jax.errors import ConfigError
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import Comparison, compare
from algd_jax.runs.display import Display
from algd_jax.runs.extras import is_installed
from algd_jax.runs.new_folder import check_free, fill


def compare_folders(
    folders: Sequence[Path],
    out: Path | None = None,
    html: bool = False,
    display: Display | None = None,
) -> tuple[Comparison, dict[str, Path]]:
    """Compare the finished runs of sweep directories and run directories.

    Args:
      folders: any number of both.
      out: new or empty folder for ``comparison.json`` and the pictures; by default nothing is
        written.
      html: whether to write the interactive page too, which needs Plotly.
      display: what the user sees meanwhile; nothing by default.

    Returns:
      The comparison, and the files written.

    Raises:
      ConfigError: for bad input, before anything is written.
    """
    _check(out, html)
    (display := display or Display()).phase("reading runs")
    runs = read_runs(folders)
    display.phase("bootstrapping")
    comparison = compare(runs)
    if out is None:
        return comparison, {}
    display.phase("drawing")
    return comparison, _write(comparison, out, html)


def _check(out: Path | None, html: bool) -> None:
    """Raise for what is wrong whatever the runs are."""
    if html and out is None:
        raise ConfigError("html: needs a folder for the page: add --out FOLDER")
    if html and not is_installed("plotly"):
        raise ConfigError("html: needs Plotly, which is missing: pip install 'algd-jax[report]'")
    if out is not None:
        check_free(out)


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
        from algd_jax.runs.compare.page import make_comparison_page

        contents["comparison.html"] = make_comparison_page(comparison)
    return fill(out, contents)
