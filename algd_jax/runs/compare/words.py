"""A comparison in words and table cells, for the terminal and the page alike."""

from __future__ import annotations

from algd_jax.runs.compare.reading import describe_left_out
from algd_jax.runs.compare.statistics import COVERAGE, Estimate
from algd_jax.runs.compare.summary import ALL, Comparison, Improvement, Row

COLUMNS = (
    "configuration",
    "runs",
    "IQM return",
    "IQM cost",
    "mean cost / limit",
    "feasible",
    "verdict",
)


def heading(name: str) -> str:
    """What a table of rows is of."""
    if name == ALL:
        return f"{name}: returns from the lowest (0) to the highest (1) of each, costs above limits"
    return f"{name}: last evaluations, interquartile means with 95 % bootstrap intervals"


def cells(row: Row, is_best: bool) -> list[str]:
    """A row of the table, under :data:`COLUMNS`."""
    return [
        row.configuration,
        str(sum(row.seeds)),
        interval_text(row.returns),
        interval_text(row.costs),
        _against_limits(row),
        f"{row.share_feasible:.0%}",
        _mark(row, is_best),
    ]


def _against_limits(row: Row) -> str:
    """Mean cost and limit; of several limited costs each."""
    pairs = [(one.mean_cost, one.cost_limit) for one in row.limited]
    pairs = pairs or [(row.mean_cost, row.cost_limit)]
    return ", ".join(f"{mean.value:.2f} / {limit:g}" for mean, limit in pairs)


def _mark(row: Row, is_best: bool) -> str:
    if not row.feasible:
        return "over"
    return "best" if is_best else "Pareto" if row.pareto else ""  # The best is on the front too.


def interval_text(estimate: Estimate) -> str:
    """A value with its interval, if there is one."""
    bounds = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{bounds}"


def verdict(name: str, rows: list[Row]) -> str:
    """The best feasible configuration, or the one nearest to being feasible."""
    best = rows[0]
    if best.feasible:
        return f"{name}: best feasible configuration: {best.configuration}"
    return (
        f"{name}: no configuration is feasible; nearest: {best.configuration}, mean cost "
        f"{best.violation:.2f} above its limit"
    )


def improvement_text(one: Improvement) -> str:
    """For example ``P(algd returns more than cal) = 0.84 [0.52, 1.00]``."""
    return (
        f"P({one.first} returns more than {one.second}) = {interval_text(one.returns)}, "
        f"P({one.first} costs less) = {interval_text(one.costs)}"
    )


def notes(comparison: Comparison) -> list[str]:
    """Verdicts, probabilities of improvement, and what to keep in mind, a line each."""
    verdicts = [verdict(name, rows) for name, rows in comparison.groups.items()]
    return verdicts + remarks(comparison)


def remarks(comparison: Comparison) -> list[str]:
    """What is limited, probabilities of improvement, and what to keep in mind, a line each."""
    lines = []
    for env, rows in comparison.rows.items():
        if names := ", ".join(one.name for one in rows[0].limited):
            lines.append(
                f"{env}: limited costs {names}; the IQM cost is of the one furthest above its "
                "limit, counted from it"
            )
    lines += map(improvement_text, comparison.improvements)
    if comparison.runs.left_out:
        lines.append(f"left out: {describe_left_out(comparison.runs.left_out)}")
    fewest = min(min(row.seeds) for rows in comparison.rows.values() for row in rows)
    if fewest == 1:
        lines.append("a configuration with one run has no interval: nothing is known of its spread")
    elif fewest in COVERAGE:
        lines.append(
            f"few runs: an interval from {fewest} holds the truth in about "
            f"{100 * COVERAGE[fewest]:.0f} % of cases, not in 95 %"
        )
    return lines
