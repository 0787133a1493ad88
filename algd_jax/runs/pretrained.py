"""Trained policies that come with the package, by the name of their task.

Each is a run directory of its best feasible policy alone (``experiments/pretrain.py`` makes them),
so every command that looks at a run can look at it. It cannot be trained on: optimiser moments and
target networks are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from algd_jax.errors import ConfigError, unknown_name

FOLDER = Path(__file__).parents[1] / "pretrained"

_FLAG = "--pretrained"


def list_pretrained() -> list[str]:
    """Names of all tasks with a trained policy."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def find_pretrained(name: str) -> Path:
    """The run directory of a task's trained policy.

    Raises:
      ConfigError: if there is none.
    """
    if name not in list_pretrained():
        raise unknown_name("pretrained", name, list_pretrained())
    return FOLDER / name


def place_pretrained(argv: Sequence[str]) -> list[str]:
    """The arguments, where ``--pretrained NAME`` has become the run directory of that name.

    Raises:
      ConfigError: if there is none of that name, or none is given.
    """
    placed: list[str] = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        flag, equals, name = token.partition("=")
        if flag != _FLAG:
            placed.append(token)
            continue
        if not equals and not tokens:
            raise ConfigError(f"{_FLAG}: value is missing, allowed is the name of a task")
        placed.insert(0, str(find_pretrained(name if equals else tokens.pop(0))))
    return placed


def default_out(run_dir: Path, name: str) -> Path:
    """Where what is made of a run goes: into its directory, but never into the package."""
    is_own = run_dir.resolve().parent == FOLDER.resolve()
    return Path(f"{run_dir.name}-{name}") if is_own else run_dir / name
