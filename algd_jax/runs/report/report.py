"""From a folder to its report: what is asked for, checked."""

from __future__ import annotations

from pathlib import Path

from algd_jax.errors import ConfigError
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.extras import is_installed
from algd_jax.runs.new_file import check_new, write_new
from algd_jax.runs.report.run_page import run_page
from algd_jax.runs.report.sweep_page import sweep_page
from algd_jax.runs.sweep.directory import SweepDirectory

EPISODES = 8
"""Episodes played to compare the critics with what comes of their actions."""


def save_report(
    folder: Path,
    out: Path | None = None,
    episodes: int = EPISODES,
    env: str | None = None,
    display: Display | None = None,
) -> Path:
    """Write the report of a run or of a sweep.

    Args:
      folder: a run directory or a sweep directory.
      out: new file, FOLDER/report.html by default.
      episodes: of a run, played to compare its critics with what comes of its actions; 0 plays
        nothing. Nothing is played of a sweep.
      env: the run's environment, needed if it is "module:attribute".
      display: what the user sees meanwhile; nothing by default.

    Returns:
      The file.

    Raises:
      ConfigError: for bad input, before anything slow.
    """
    if not is_installed("plotly"):
        raise ConfigError("report: needs Plotly, which is missing: pip install 'algd-jax[report]'")
    if not 0 <= episodes <= 10_000:
        raise ConfigError(f"episodes: got {episodes}, allowed is an integer in [0, 10000]")
    is_sweep = _is_sweep(folder)
    out = out or folder / "report.html"
    check_new(out)
    display = display or Display()
    if is_sweep:
        display.phase("comparing trials")
        page = sweep_page(folder)
    else:
        page = run_page(folder, episodes, env, display)
    write_new(out, page)
    return out


def _is_sweep(folder: Path) -> bool:
    """Whether it is a sweep's directory; if not it is a run's."""
    sweep = SweepDirectory(folder)
    try:
        if sweep.results_csv.is_file() or sweep.sweep_file.is_file():
            return True
        if RunDirectory(folder).config_file.is_file():
            return False
    except OSError as error:
        raise ConfigError(f"folder: {folder} cannot be read ({error.strerror})") from error
    raise ConfigError(
        f"folder: {folder} is no run directory (it has no config.json) and no sweep directory (it "
        "has no results.csv)"
    )
