"""The ``algd`` command: finds the module of a command, and turns its errors into one line.

JAX is imported only once a command is known, so that help comes at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import sys
import warnings
from collections.abc import Sequence

from algd_jax.errors import nearest_name, one_line, printable
from algd_jax.runs.output import ignore_lost_output, open_missing_streams

HELP = """\
algd: safe reinforcement learning with augmented-Lagrangian-guided diffusion policies, in JAX

  algd train                   train ALGD on PointButton1 within minutes (see algd train --help)
  algd train --resume RUN_DIR  continue a stopped run
  algd evaluate RUN_DIR        return and cost of a trained policy
  algd watch RUN_DIR           follow a run from another terminal
  algd report DIR              one HTML page of everything worth seeing of a run or sweep
  algd render RUN_DIR          episodes of a trained policy as video, map or interactive page
  algd play ENV                episodes with random actions or a trained policy
  algd landscape RUN_DIR       both Lagrangians over the actions at a state, drawn and measured
  algd reproduce RUN_DIR       train again from the run's seed and compare bit by bit
  algd sweep --run-dir DIR     train many agents in as few programs as fit (see algd sweep --help)
  algd compare DIR [DIR ...]   finished runs and sweeps side by side, over seeds
  algd export RUN_DIR          the policy alone, for programs without this package
  algd envs                    list the environments
  algd doctor                  what this machine offers, and what is wrong with its fix
  algd completion SHELL        words for bash, zsh or fish (see algd completion --help)
  algd benchmark [NAME ...]    measure speed and memory on this machine (in a source checkout)
  algd COMMAND --help          all arguments of a command
  algd --version               version

Exit codes: 0 success, 1 a run that failed or was not reproduced, 2 a bad argument, 130, 143, 138
or 129 stopped by Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP (a run leaves a checkpoint to resume from)."""

COMMANDS = (
    "train",
    "evaluate",
    "watch",
    "report",
    "render",
    "play",
    "landscape",
    "reproduce",
    "sweep",
    "compare",
    "export",
    "envs",
    "doctor",
    "completion",
    "benchmark",
)

_SUCCESS, _FAILED, _BAD_ARGUMENT, _INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``algd`` and return its exit code.

    Args:
      argv: arguments; those of the process by default.
    """
    open_missing_streams()
    code = _dispatch(list(sys.argv[1:] if argv is None else argv))
    with ignore_lost_output():  # Here, because a failure at the interpreter's exit is not silent.
        sys.stdout.flush()
    return code


def _dispatch(argv: list[str]) -> int:
    """Say what can be done, or run the command that ``argv`` begins with."""
    command = argv[0] if argv else "--help"
    if command in ("--help", "-h"):
        print(HELP)
        return _SUCCESS
    if command == "--version":
        from algd_jax import __version__

        print(f"algd {__version__}")
        return _SUCCESS
    if command not in COMMANDS:
        hint = nearest_name(command, COMMANDS)
        return _fail(
            f"unknown command {command!r}; allowed: {', '.join(COMMANDS)}{hint}", _BAD_ARGUMENT
        )
    return _run(command, argv[1:])


def _run(command: str, argv: list[str]) -> int:
    """Run a command, turning its errors into one line and an exit code."""
    try:
        prepare_jax()
        from algd_jax.errors import ConfigError

        module = importlib.import_module(f"algd_jax.commands.{command}")
        try:
            return module.run(argv)
        except ConfigError as error:
            return _fail(_as_typed(str(error), argv), _BAD_ARGUMENT, "--debug" in argv)
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED)
    except SystemExit as stop:
        if not stop.code and {"--help", "-h"} & set(argv):
            return _SUCCESS
        return _fail(f"ended by {stop!r}", _FAILED, "--debug" in argv)
    except Exception as error:
        text = str(error).strip() or type(error).__name__
        return _fail(text.split("\n")[0], _FAILED, "--debug" in argv)


def prepare_jax() -> None:
    """Keep compiled programs between runs, and other libraries' chatter off the screen."""
    from algd_jax.runs.compilation_cache import keep_compiled_programs

    keep_compiled_programs()
    # Orbax logs tracebacks of errors that it raises too, and those are told in one line.
    # Matplotlib quotes what it does not know in a matplotlibrc of the current folder.
    for name in ("absl", "asyncio", "matplotlib"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _show_unraisable
    with contextlib.redirect_stdout(io.StringIO()):
        import mujoco.mjx  # noqa: F401  It prints which optional parts are missing.


def _show_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Python's own, but for writes that end when Orbax has long given up their checkpoint."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _as_typed(message: str, argv: Sequence[str]) -> str:
    """The message, which begins with a field, with the flag that the user typed for it."""
    field, colon, rest = message.partition(":")
    typed = {token.partition("=")[0].replace("_", "-") for token in argv}
    flag = f"--{field.replace('_', '-')}"
    if field == "run_dir" and flag not in typed:
        flag = "--resume"
    return f"{flag}{colon}{rest}" if flag in typed else message


def _fail(message: str, code: int, traceback: bool = False) -> int:
    """Say in one line on standard error what went wrong."""
    if traceback:
        import traceback as tracebacks

        for line in tracebacks.format_exc().splitlines():
            print(printable(line), file=sys.stderr)
    with contextlib.suppress(OSError):
        print(f"algd: {one_line(message)}", file=sys.stderr)
    return code
