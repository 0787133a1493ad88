"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from algd_jax.envs import EnvSpec
from algd_jax.errors import printable
from algd_jax.runs.compare import words
from algd_jax.runs.compare.summary import Comparison
from algd_jax.runs.doctor import Finding
from algd_jax.runs.evaluate import CostSummary, Interval, Summary
from algd_jax.runs.output import OutputConsole
from algd_jax.runs.render.render import Shown
from algd_jax.runs.reproduce import Reproduction
from algd_jax.types import TOTAL_COST

_PLAIN_WIDTH = 120  # Columns assumed where output is no terminal.


def make_console() -> Console:
    """Standard output; without control characters unless it is a terminal."""
    console = OutputConsole(soft_wrap=True)
    return console if console.is_terminal else OutputConsole(width=_PLAIN_WIDTH)


def print_summary(console: Console, summary: Summary) -> None:
    """An evaluation as a table, with a heading and a verdict."""
    policy = {"best": "best feasible policy", "last": "last policy"}[summary.checkpoint]
    table = _table(["per episode", "mean", "std", "95 % interval of the mean", "limit"])
    table.add_row(*_row("return", summary.return_mean, summary.return_std, summary.return_interval))
    costs: dict[str, Summary | CostSummary] = {TOTAL_COST: summary, **summary.constraints}
    for name, cost in costs.items():
        limit = [] if cost.cost_limit is None else [f"{cost.cost_limit:g}"]
        table.add_row(*_row(name, cost.cost_mean, cost.cost_std, cost.cost_interval), *limit)
    console.print(
        f"{summary.env}: {policy}, trained for {summary.step:,} steps; {summary.episodes} episodes"
    )
    console.print(table)
    limits = "the limit" if len(summary.constraints) == 1 else "all limits"
    console.print(
        f"{_verdict(summary)}; {summary.within_limit:.0%} of the episodes within {limits}"
    )


def print_landscape(console: Console, figures: dict[str, Any]) -> None:
    """The numbers of a landscape as a table, with a heading and the files written."""
    table = _table(["smallest eigenvalue", "L median", "L < 0", "L_A median", "L_A < 0"])
    names = {"hessian": "Hessian", "mean_hessian": f"averaged over ±{figures['reach']:g}"}
    for kind, name in names.items():
        both = (figures[kind]["plain"], figures[kind]["augmented"])
        cells = [
            cell for one in both for cell in (f"{one['median']:.3g}", f"{one['negative']:.0%}")
        ]
        table.add_row(name, *cells)
    within = f"{figures['actions_within_budget']:.0%} of {figures['actions']} drawn actions"
    console.print(f"{figures['env']}: {figures['checkpoint']} policy; {within} within the budget")
    console.print(table)
    for path in figures["files"].values():
        console.print(f"  {path}")


def print_comparison(
    console: Console, comparison: Comparison, files: Iterable[Path], most: int = 40
) -> None:
    """A table of configurations per environment, the best first, then what there is to say."""
    for name, rows in comparison.groups.items():
        table = _table(words.COLUMNS)
        for row in rows[:most]:
            table.add_row(*words.cells(row, is_best=row is rows[0]))
        console.print(words.heading(name))
        console.print(table)
        if len(rows) > most:
            console.print(f"the best {most} of {len(rows)} configurations; --json shows all")
    for note in words.notes(comparison):
        console.print(note)
    for path in files:
        console.print(f"  {path}")


def print_episodes(console: Console, shown: Shown) -> None:
    """What each episode brought, as a table, with a heading and the file written."""
    figures = shown.figures()
    limits = [
        f"{name} (limit {shown.actor.limits[name]:g})" if name in shown.actor.limits else name
        for name in shown.costs
    ]
    table = _table(["episode", "return", *limits, "length"])
    for number, episode in enumerate(figures["episodes"], start=1):
        costs = [f"{episode[name]:.4g}" for name in shown.costs]
        table.add_row(str(number), f"{episode['return']:.2f}", *costs, str(episode["length"]))
    console.print(f"{shown.env}: {shown.actor.name}; seed {shown.seed}")
    console.print(table)
    if shown.file is not None:
        console.print(f"  {shown.file}")


def print_reproduction(console: Console, found: Reproduction) -> None:
    """Whether a run could be repeated, where not, and what has changed around it since."""
    first, policy = found.difference, f"policy of step {found.step:,}"
    lines = [f"  {c.name}: recorded {c.recorded!r}, here {c.again!r}" for c in found.circumstances]
    if first is None:
        also = f"and the {policy}" if found.policy else f"(the {policy} is not kept)"
        lines.insert(0, f"equal bit by bit: {found.epochs} epochs {also}")
    elif first.epoch is None:
        lines.insert(0, f"DIFFERENT: {first.name} in the {policy}; its epochs are equal bit by bit")
    else:
        values = f"recorded {first.recorded!r}, now {first.again!r}"
        lines.insert(0, f"DIFFERENT: {first.name} of epoch {first.epoch}: {values}")
    for line in lines:  # A name in a file may hold line breaks.
        console.print(printable(line), soft_wrap=True)


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """What a machine offers, line by line, and what to do where something is wrong."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        console.print(f"{finding.name:<{width}}  {finding.value}")
        if finding.fix:
            console.print(f"{'':<{width}}  wrong: {finding.fix}", style="red")
    wrong = sum(finding.fix is not None for finding in findings)
    console.print("nothing is wrong" if not wrong else f"{wrong} of {len(findings)} are wrong")


def print_export(console: Console, record: dict[str, Any], out: Path) -> None:
    """What was exported, how far each form is from the policy, and how fast it is."""
    which = {"best": "best feasible policy", "last": "last policy"}[record["checkpoint"]]
    check = record["check"]
    console.print(
        f"{record['env']}: {which}, trained for {record['step']:,} steps; compared with the "
        f"original on {check['observations']:,} observations"
    )
    for form, found in check["differences"].items():
        largest = ", ".join(f"{action} {value:.2g}" for action, value in found.items())
        console.print(f"  {form}: largest difference of an action: {largest}")
    made = record["export"]
    console.print(
        f"{made['processor']}, {made['cores']} cores, load average {made['load_average']}; "
        f"JAX on {made['device']['kind']}:",
    )
    print_rows(console, record["latency"])
    for form, names in record["files"].items():
        console.print(f"  {form}: {', '.join(str(out / name) for name in names)}")
    console.print(f"  all about it: {out / 'policy.json'}")


def print_specs(console: Console, specs: Sequence[EnvSpec]) -> None:
    """Environments as a table."""
    names = ["environment", "observation", "action", "episode (steps)"]
    table = _table([*names, "cost limit (per episode)", "control period (s)"])
    for spec in specs:
        table.add_row(
            spec.name,
            str(spec.observation_size),
            str(spec.action_size),
            str(spec.episode_length),
            f"{spec.cost_limit:g}",
            f"{spec.control_period:g}",
        )
    console.print(table)


def _verdict(summary: Summary) -> str:
    """Which limits the means keep, or break."""
    limits = [
        f"mean {name} {'<=' if summary.feasible else '>'} {cost.cost_limit:g}"
        for name, cost in summary.constraints.items()
        if cost.feasible == summary.feasible
    ]
    return f"{'feasible' if summary.feasible else 'NOT feasible'}: {' and '.join(limits)}"


def print_rows(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Rows that all have the same names as a table, one column per name."""
    table = _table([name.replace("_", " ") for name in rows[0]])
    for row in rows:
        table.add_row(*map(figure, row.values()))
    console.print(table)


def figure(value: Any) -> str:
    """A number at three digits or in full thousands, "-" for None, else its text."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(columns: Sequence[str]) -> Table:
    """First column names the row, the others hold numbers."""
    table = Table(box=box.ASCII2)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _row(name: str, mean: float, std: float, interval: Interval | None) -> list[str]:
    bounds = f"[{interval.low:.2f}, {interval.high:.2f}]" if interval else "-"
    return [name, f"{mean:.2f}", f"{std:.2f}", bounds]
