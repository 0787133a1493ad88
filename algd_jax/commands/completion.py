"""``algd completion``: the words of ``algd`` for a shell."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from algd_jax.agents.algorithms import ALGORITHMS, MULTIPLIERS, PENALTIES
from algd_jax.agents.diffusion_actor import FORMS
from algd_jax.agents.networks import COMPUTE_TYPES
from algd_jax.config import ON_BAD_NUMBER, Hyper
from algd_jax.envs import list_envs
from algd_jax.errors import ConfigError
from algd_jax.presets import PRESETS
from algd_jax.runs.arguments import flags, parse, positionals
from algd_jax.runs.benchmark import load_benchmarks
from algd_jax.runs.completion import SHELLS, Command, Values
from algd_jax.runs.output import ignore_lost_output
from algd_jax.runs.pretrained import list_pretrained
from algd_jax.runs.sweep.grid import ALIASES


@dataclasses.dataclass
class Arguments:
    """Print a script that completes commands, flags and names in a shell.

    Keep it where the shell finds it (and, for zsh, add "source ~/.algd.zsh" to ~/.zshrc):

    bash: algd completion bash > ~/.local/share/bash-completion/completions/algd
    zsh: algd completion zsh > ~/.algd.zsh
    fish: algd completion fish > ~/.config/fish/completions/algd.fish

    Attributes:
      shell: bash, zsh or fish.
      debug: show the traceback of an error.
    """

    shell: Literal["bash", "zsh", "fish"]
    debug: bool = False


def run(argv: Sequence[str]) -> int:
    """``algd completion``."""
    arguments = parse(Arguments, argv, "algd completion")
    script = SHELLS[arguments.shell](known_commands())
    with ignore_lost_output():
        print(script, end="", flush=True)
    return 0


def known_commands() -> dict[str, Command]:
    """Every command, from the fields of its arguments."""
    from algd_jax.cli import COMMANDS

    return {name: _command(name) for name in COMMANDS}


def _command(name: str) -> Command:
    kind = importlib.import_module(f"algd_jax.commands.{name}").Arguments
    own = [_values(field, wanted) for field, wanted in positionals(kind).items()]
    off = {f"--no-{field.name.replace('_', '-')}" for field in dataclasses.fields(kind)}
    known = {
        flag: None if wanted is bool else _values(flag, wanted)
        for flag, wanted in flags(kind).items()
        if flag not in off
    }
    purpose = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return Command(purpose, known, own[0] if own else None)


def _values(name: str, wanted: Any) -> Values:
    """What a field or a flag of this name and type takes."""
    several = typing.get_origin(wanted) is tuple
    kind = typing.get_args(wanted)[0] if several else wanted
    if typing.get_origin(kind) is Literal:
        words: Iterable[str] = typing.get_args(kind)
    else:
        words = _NAMES.get(name.removeprefix("--"), tuple)()
    return Values(tuple(words), kind is Path, several)


def _numbers() -> list[str]:
    fields = [field.name for field in dataclasses.fields(Hyper)]
    return [f"{name}=" for name in (*fields, *ALIASES)]


def _benchmarks() -> Sequence[str]:
    try:
        return load_benchmarks().NAMES
    except ConfigError:  # Not in a checkout.
        return ()


_NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "env": list_envs,
    "algorithm": lambda: ALGORITHMS,
    "preset": lambda: PRESETS,
    "diffusion": lambda: FORMS,
    "multiplier": lambda: MULTIPLIERS,
    "penalty": lambda: PENALTIES,
    "compute": lambda: COMPUTE_TYPES,
    "on-bad-number": lambda: ON_BAD_NUMBER,
    "grid": _numbers,
    "sample": _numbers,
    "names": _benchmarks,
    "pretrained": list_pretrained,
}
"""By the name of a field or flag that is a text."""
