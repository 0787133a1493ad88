import io
import os
import sys

from rich.console import Console

from algd_jax.runs.display import LiveDisplay, PlainDisplay, Progress, make_display, working
from algd_jax.runs.output import OutputConsole
from tests.runs.support import lost_output

RECORD = {
    "step": 1600,
    "eval_return": 12.5,
    "eval_cost": 8.0,
    "lam": 0.25,
    "steps_per_second": 4321.0,
}
PROGRESS = Progress(RECORD, 160_000, {"cost": 10.0}, 90.0, "12.50 at step 1,600")


def tell(display):
    display.start("algd on PointButton1")
    for _ in range(2):
        display.phase("training")
        display.epoch(PROGRESS)
    display.note("stopping after this epoch")
    display.stop()


def output_leads_nowhere():
    """Standard output was turned to the null device, and flushing it raises nothing."""
    sys.stdout.flush()
    return os.path.samestat(os.fstat(sys.stdout.fileno()), os.stat(os.devnull))


def test_plain_lines_carry_the_figures_and_no_control_characters(capsys):
    display = make_display()
    assert isinstance(display, PlainDisplay)
    tell(display)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[:2] == ["algd on PointButton1", "training ..."]
    assert lines[2] == lines[3]  # Each phase is announced once.
    for part in ("1,600/160,000", "12.50", "8.00 (limit 10)", "0.250", "4,321 steps/s", "0:01:30"):
        assert part in lines[2]
    assert lines[-1] == "stopping after this epoch"


def test_plain_lines_that_nobody_reads_do_no_harm():
    with lost_output():
        tell(PlainDisplay())
        assert output_leads_nowhere()


def test_a_live_display_that_nobody_sees_does_no_harm():
    with lost_output():
        tell(LiveDisplay(OutputConsole(force_terminal=True, width=100)))
        assert output_leads_nowhere()


def test_live_display_shows_phase_and_figures():
    screen = io.StringIO()
    tell(LiveDisplay(Console(file=screen, force_terminal=True, width=100)))
    text = screen.getvalue()
    assert "\x1b[" in text
    for part in (
        "training",
        "return 12.50",
        "cost 8.00 (limit 10)",
        "lambda 0.250",
        "0:01:30 left",
        "best feasible return 12.50 at step 1,600",
    ):
        assert part in text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_a_command_does_meanwhile_is_shown_on_a_terminal_beside_its_answer(
    monkeypatch, capsys
):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with working() as display:
        display.phase("bootstrapping")
        print("an answer")
        display.phase("drawing")
    assert capsys.readouterr().out == "an answer\n"
    shown = terminal.getvalue()
    assert "bootstrapping  0:00:00" in shown
    assert "drawing" in shown
    assert "answer" not in shown
    assert shown.endswith("\x1b[2K")  # The line is gone.


def test_elsewhere_a_command_is_quiet(capsys):
    with working() as display:
        display.phase("bootstrapping")
    assert capsys.readouterr() == ("", "")


def test_a_phase_begins_a_live_display():
    screen = io.StringIO()
    display = LiveDisplay(Console(file=screen, force_terminal=True, width=100))
    display.phase("compiling")
    display.stop()
    assert "compiling  0:00:00" in screen.getvalue()
