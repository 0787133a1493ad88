"""What the user sees of a run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from algd_jax.errors import printable
from algd_jax.runs.logs import Record, log_name
from algd_jax.runs.output import OutputConsole, ignore_lost_output

_LONGEST_TIME = 30 * 365 * 86_400.0


class Progress(NamedTuple):
    """How far a run is.

    Attributes:
      record: the epoch just logged.
      total_steps: environment steps the whole run will make.
      limits: allowed cost per episode of each constraint, by name.
      seconds_left: expected time until the end [s].
      best: the best feasible policy so far in words.
    """

    record: Record
    total_steps: int
    limits: dict[str, float]
    seconds_left: float
    best: str


class Display:
    """Shows nothing; what a run tells its user, and the base of the displays that show it.

    Attributes:
      doing: the present phase.
    """

    doing = ""

    @property
    def compiles(self) -> bool:
        """Whether programs are being compiled, so that a run that ends now loses nothing."""
        return self.doing.startswith("compiling")

    def start(self, title: str) -> None:
        """The run begins."""

    def phase(self, name: str) -> None:
        """What the run does from now on: compiling, warm-up, training, …"""
        self.doing = name

    def epoch(self, progress: Progress) -> None:
        """An epoch is complete."""

    def note(self, text: str) -> None:
        """A line worth keeping."""

    def stop(self) -> None:
        """The run is over; the screen is the user's again."""


class PlainDisplay(Display):
    """One plain line per event, for files and pipes."""

    def __init__(self) -> None:
        self._announced: set[str] = set()

    def start(self, title: str) -> None:
        self.note(title)

    def phase(self, name: str) -> None:
        super().phase(name)
        # Later epochs have lines of their own.
        if name not in self._announced:
            self._announced.add(name)
            self.note(f"{name} ...")

    def epoch(self, progress: Progress) -> None:
        self.note(f"{_figures(progress)}  {_time(progress.seconds_left)} left")

    @ignore_lost_output()
    def note(self, text: str) -> None:
        print(printable(text), flush=True)


class LiveDisplay(Display):
    """A progress bar, the newest figures and the present phase, below one line per epoch."""

    def __init__(self, console: Console):
        self._spinner = Spinner("dots")
        self._title, self._phase_start = "", time.monotonic()
        self._progress: Progress | None = None
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=not console.stderr,
        )

    @ignore_lost_output()
    def start(self, title: str) -> None:
        self._title = title
        self._live.start()

    @ignore_lost_output()
    def phase(self, name: str) -> None:
        super().phase(name)
        self._phase_start = time.monotonic()
        self._live.start()  # Unless it runs already.
        self._live.refresh()

    def epoch(self, progress: Progress) -> None:
        self._progress = progress
        self.note(_figures(progress))

    @ignore_lost_output()
    def note(self, text: str) -> None:
        self._live.console.print(printable(text), soft_wrap=True)

    @ignore_lost_output()
    def stop(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        elapsed = _time(time.monotonic() - self._phase_start)
        self._spinner.update(text=Text(f"{self.doing}  {elapsed}"))
        lines: list[RenderableType] = [Text(self._title, style="bold")] if self._title else []
        lines.append(self._spinner)
        if self._progress:
            lines += [_bar(self._progress), _panel(self._progress), _best(self._progress)]
        return Group(*lines)


def make_display() -> Display:
    """The live display if standard output is a terminal, else the plain one."""
    console = OutputConsole()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay()


@contextlib.contextmanager
def working() -> Iterator[Display]:
    """What the user sees of a command that answers at its end: on a terminal what it does now and
    for how long, elsewhere nothing.

    It is shown on standard error, so that standard output holds the answer alone.
    """
    console = OutputConsole(stderr=True)
    with _stopping(LiveDisplay(console) if console.is_terminal else Display()) as display:
        yield display


def displayed(silent: bool = False) -> contextlib.AbstractContextManager[Display]:
    """What the user sees of something that takes a while, once it has been started."""
    return _stopping(Display() if silent else make_display())


@contextlib.contextmanager
def _stopping(display: Display) -> Iterator[Display]:
    try:
        yield display
    finally:
        display.stop()


def _figures(progress: Progress) -> str:
    """One epoch as one line."""
    record = progress.record
    costs = [
        f"{name} {_number(record[log_name('eval_cost', name)]):>7} (limit {limit:g})"
        for name, limit in progress.limits.items()
    ]
    return (
        f"step {record['step']:>{len(f'{progress.total_steps:,}')},}/{progress.total_steps:,}  "
        f"return {_number(record['eval_return']):>8}  "
        f"{'  '.join(costs)}  "
        f"{_multipliers(progress)}  {_speed(progress)}"
    )


def _bar(progress: Progress) -> RenderableType:
    step, total = progress.record["step"], progress.total_steps
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        ProgressBar(total=total, completed=step, width=40),
        f"{step:,} / {total:,} steps",
        _speed(progress),
        f"{_time(progress.seconds_left)} left",
    )
    return grid


def _panel(progress: Progress) -> RenderableType:
    record = progress.record
    costs = [
        _cost_text(name, record[log_name("eval_cost", name)], limit)
        for name, limit in progress.limits.items()
    ]
    grid = Table.grid(padding=(0, 3))
    grid.add_row(f"return {_number(record['eval_return'])}", *costs, _multipliers(progress))
    return grid


def _cost_text(name: str, cost: float, limit: float) -> Text:
    return Text(
        f"{name} {_number(cost)} (limit {limit:g})", style="green" if cost <= limit else "red"
    )


def _multipliers(progress: Progress) -> str:
    lams = [progress.record[log_name("lam", name)] for name in progress.limits]
    lams = [f"{lam:.3f}" if abs(lam) < 1e9 else f"{lam:.3g}" for lam in lams]
    return f"lambda {' '.join(lams)}"


def _speed(progress: Progress) -> str:
    speed = progress.record["steps_per_second"]
    return f"{speed:,.0f} steps/s" if abs(speed) < 1e12 else f"{speed:.3g} steps/s"


def _best(progress: Progress) -> RenderableType:
    """A line of its own: beside the figures it would not fit in 80 columns."""
    return Text(f"best feasible return {progress.best}")


def _number(value: float) -> str:
    """With two digits, unless it would be as long as a line."""
    return f"{value:.2f}" if abs(value) < 1e9 else f"{value:.3g}"


def _time(seconds: float) -> str:
    if not seconds < _LONGEST_TIME:
        return "more than 30 years"
    return str(datetime.timedelta(seconds=round(seconds)))
