"""The page of a sweep: what it tried, how that compares, and what became of every trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from algd_jax.errors import ConfigError, printable
from algd_jax.runs.compare.checking import COLUMNS
from algd_jax.runs.compare.page import comparison_sections, verdicts
from algd_jax.runs.compare.reading import NothingToCompare, read_runs, read_table
from algd_jax.runs.compare.summary import compare
from algd_jax.runs.pages.page import Section, Verdict, folded, make_page, note, table
from algd_jax.runs.report.circumstances import circumstances, flatten
from algd_jax.runs.sweep.directory import SweepDirectory

if TYPE_CHECKING:
    import pandas as pd

_MOST_VALUES = 12  # Of one name that are listed.
_OF_TRIALS = (
    "Final evaluations of the checkpoint that is named; configurations are compared by the "
    "evaluations of the last epoch."
)
_ENDS = ("trial", "status", "step", "pruned_at", "failure")


def sweep_page(folder: Path) -> bytes:
    """Read the folder and make the page; nothing that it names is imported or played.

    Raises:
      ConfigError: if there are no results yet, or a file does not hold what it should.
    """
    directory = SweepDirectory(folder)
    if not directory.results_csv.is_file():
        raise ConfigError(f"folder: {folder} is a sweep without results yet: nothing to report")
    trials = read_trials(directory)
    told, compared = _comparison(folder)
    sections = [
        Section("What was tried", _tried(directory, trials)),
        *compared,
        Section("Trials", note(_OF_TRIALS) + _table(trials)),
        *_unfinished(trials),
        *_origin(directory),
    ]
    names = (" and ".join(_distinct(trials[name])) for name in ("algorithm", "env"))
    return make_page(f"Sweep: {' on '.join(names)}", sections, [_count(trials), *told])


def read_trials(directory: SweepDirectory) -> pd.DataFrame:
    """A row of texts for each trial: of ``trials.csv``, or else its last row of ``results.csv``."""
    has_ends = directory.trials_csv.is_file()
    path = directory.trials_csv if has_ends else directory.results_csv
    trials = read_table(path, dtype=str)
    for name in ("trial", "env", "algorithm", "seed", "status"):
        if name not in trials:
            raise ConfigError(f"{path}: missing column {name!r}")
    if trials.empty:
        raise ConfigError(f"{path}: has no rows")
    trials = trials.fillna("").map(printable).rename(columns=printable)
    return trials.groupby("trial", sort=False).tail(1)


def _comparison(folder: Path) -> tuple[list[Verdict], list[Section]]:
    """What ``algd compare`` says of the sweep, or why it says nothing."""
    try:
        comparison = compare(read_runs([folder]))
    except NothingToCompare as error:
        return [], [Section("Configurations", note(f"Not compared: {error}."))]
    return verdicts(comparison), comparison_sections(comparison)


def _count(trials: pd.DataFrame) -> Verdict:
    counts = trials.status.value_counts().to_dict()
    done = counts.pop("done", 0)
    others = "".join(f", {count} {name}" for name, count in counts.items())
    return Verdict(f"{done} of {len(trials)} trials done{others}.", "failed" not in counts)


def _tried(directory: SweepDirectory, trials: pd.DataFrame) -> str:
    """Every name that has a value in each trial, with its values."""
    columns = read_table(directory.results_csv, dtype=str, nrows=0).columns
    swept = [name for name in columns if name not in COLUMNS and "/" not in name]
    limits = [name for name in trials if name.partition("/")[0] == "cost_limit"]
    rows = []
    for name in ("env", "algorithm", *swept, *limits, "seed"):
        if name in trials:
            values = _distinct(trials[name])
            rows.append([name, str(len(values)), _listed(values)])
    return table(["", "values", ""], rows)


def _distinct(column: pd.Series) -> list[str]:
    """Different texts, numbers by size."""
    return sorted({_short(text) for text in column if text}, key=_by_size)


def _by_size(text: str) -> tuple[bool, float, str]:
    number = _number(text)
    return (number is None, number or 0.0, text)


def _listed(values: list[str]) -> str:
    if len(values) <= _MOST_VALUES:
        return ", ".join(values)
    return f"{values[0]}, {values[1]}, …, {values[-1]}"


def _table(trials: pd.DataFrame) -> str:
    """All columns in which something is said; what is the same in all trials is said once."""
    alike = {name: _short(trials[name].iloc[0]) for name in trials if trials[name].nunique() == 1}
    for name in ("trial", "status", "feasible"):
        alike.pop(name, None)
    said = [name for name in trials if name not in alike and trials[name].any()]
    rows = [[_short(text) for text in row] for row in trials[said].to_numpy().tolist()]
    common = ", ".join(f"{name} {value}" for name, value in alike.items() if value)
    return (note(f"All: {common}") if common else "") + table(said, rows, is_sortable=True)


def _unfinished(trials: pd.DataFrame) -> list[Section]:
    """The trials without a result, by name, with the reason."""
    without = trials[trials.status != "done"]
    if without.empty:
        return []
    return [Section("Not finished", _table(without[[name for name in _ENDS if name in trials]]))]


def _origin(directory: SweepDirectory) -> list[Section]:
    """What all trials have in common, and where the sweep came from, if it has a plan."""
    if not directory.sweep_file.is_file():
        return []
    record = directory.read_record()
    common = _common([flatten(trial["config"]) for trial in record["trials"]])
    fields = table(["field", "value"], list(common.items()))
    return [
        Section("Configuration", folded("what all trials have in common", fields)),
        Section("Circumstances", circumstances(record)),
    ]


def _common(settings: list[dict[str, str]]) -> dict[str, str]:
    """What is the same in all of them."""
    first, *others = settings or [{}]
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }


def _short(text: str) -> str:
    """A number with four digits, if it has a point; all else as it is."""
    number = _number(text)
    return text if number is None or "." not in text else f"{number:.4g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
