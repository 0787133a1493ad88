"""What a sweep varies: lists of values and random draws of the numbers in ``Hyper``."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from algd_jax.config import AgentConfig, Config, HealthConfig, Hyper, LoopConfig
from algd_jax.errors import ConfigError, nearest_name

Point = dict[str, float]
"""Values of some fields of ``Hyper``, by name."""

ALIASES = {"lr": ("actor_lr", "critic_lr")}
"""Names that stand for several fields, which then have the same value."""

MOST_POINTS = 100_000

_NUMBERS = tuple(field.name for field in dataclasses.fields(Hyper))
_STATIC = {
    field.name
    for kind in (Config, LoopConfig, AgentConfig, HealthConfig)
    for field in dataclasses.fields(kind)
} - {"hyper", "loop", "agent", "health", "seed"}
_LAWS = ("uniform", "loguniform")


def points(
    grid: Sequence[str] = (), sample: Sequence[str] = (), trials: int | None = None, seed: int = 0
) -> list[Point]:
    """Every combination of the values of ``grid``, each with every draw of ``sample``.

    Args:
      grid: ``name=value,value,…``, a name of ``Hyper`` or ``lr`` for actor_lr and critic_lr.
      sample: ``name=uniform:low:high`` or ``name=loguniform:low:high``.
      trials: number of draws; needed with ``sample``, and only then.
      seed: of the draws. Those of a name do not depend on what else is drawn.

    Raises:
      ConfigError: for the first text that is none of these.
    """
    axes = [_axis(text) for text in grid]
    laws = [_law(text) for text in sample]
    _check_names([name for name, _ in (*axes, *laws)])
    _check_trials(trials, bool(laws))
    drawn = [
        {name: _draw(law, name, seed, i) for name, law in laws}
        for i in range(trials if laws and trials else 1)
    ]
    count = math.prod(len(values) for _, values in axes) * len(drawn)
    if count > MOST_POINTS:
        raise ConfigError(f"--grid: got {count} combinations, allowed are at most {MOST_POINTS}")
    combinations = itertools.product(*(values for _, values in axes))
    names = [name for name, _ in axes]
    return [
        _expanded(dict(zip(names, values, strict=True)) | draw)
        for values in combinations
        for draw in drawn
    ]


def _axis(text: str) -> tuple[str, list[float]]:
    name, values = _split("--grid", text, "NAME=VALUE,VALUE,...")
    numbers = [_number("--grid", name, value) for value in values.split(",") if values]
    if not numbers:
        raise ConfigError(f"--grid {name}: got no value, allowed is {name}=VALUE,VALUE,...")
    seen: set[np.float32] = set()
    for number in numbers:  # As the program will see them.
        if np.float32(number) in seen:
            raise ConfigError(f"--grid {name}: got {number:g} twice, allowed is each value once")
        seen.add(np.float32(number))
    return name, numbers


def _law(text: str) -> tuple[str, tuple[str, float, float]]:
    form = "NAME=uniform:LOW:HIGH or NAME=loguniform:LOW:HIGH"
    name, law = _split("--sample", text, form)
    kind, *bounds = law.split(":")
    if kind not in _LAWS or len(bounds) != 2:
        nearest = "" if kind in _LAWS else nearest_name(kind, _LAWS)
        raise ConfigError(f"--sample {name}: got {law!r}, allowed is {form}{nearest}")
    low, high = (_number("--sample", name, bound) for bound in bounds)
    if not low < high or (kind == "loguniform" and low <= 0):
        least = "0 < LOW < HIGH" if kind == "loguniform" else "LOW < HIGH"
        raise ConfigError(f"--sample {name}: got {law!r}, allowed is {least}")
    return name, (kind, low, high)


def _split(flag: str, text: str, form: str) -> tuple[str, str]:
    name, equals, values = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{flag}: got {text!r}, allowed is {form}")
    name = name.replace("-", "_")
    _check_name(flag, name)
    return name, values


def _check_name(flag: str, name: str) -> None:
    """Raise unless it is a number of ``Hyper``, saying how to sweep what is not."""
    if name in _NUMBERS or name in ALIASES:
        return
    if name == "seed":
        raise ConfigError(f"{flag} seed: seeds are counted, allowed is --seeds NUMBER")
    if name in ("env", "algorithm"):
        raise ConfigError(f"{flag} {name}: is static, allowed is --{name} several times")
    if name in _STATIC:
        flags = f"--{name.replace('_', '-')}"
        raise ConfigError(
            f"{flag} {name}: is static (it shapes the program), allowed is one `algd sweep` with "
            f"{flags} and a --run-dir of its own for each value"
        )
    nearest = difflib.get_close_matches(name, (*_NUMBERS, *ALIASES, *_STATIC), n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"allowed: {', '.join(_NUMBERS)}"
    raise ConfigError(f"{flag} {name}: unknown field; {hint}")


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        for field in ALIASES.get(name, (name,)):
            if field in seen:
                raise ConfigError(f"{field}: is swept twice, allowed is once")
            seen.add(field)


def _check_trials(trials: int | None, sampled: bool) -> None:
    if sampled and trials is None:
        raise ConfigError("--trials: is missing, allowed with --sample is an integer >= 1")
    if trials is not None and not sampled:
        raise ConfigError(f"--trials: got {trials} without --sample, allowed is both or neither")
    if trials is not None and not 1 <= trials <= MOST_POINTS:
        raise ConfigError(f"--trials: got {trials}, allowed is an integer in [1, {MOST_POINTS}]")


def _number(flag: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{flag} {name}: got {text!r}, allowed is a finite number")
    return number


def _draw(law: tuple[str, float, float], name: str, seed: int, index: int) -> float:
    """The draw of this index; six digits, so that what is shown is what was run."""
    kind, low, high = law
    share = np.random.default_rng([seed, index, *name.encode()]).random()
    if kind == "loguniform":
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    return min(max(float(f"{value:.6g}"), low), high)


def _expanded(values: Mapping[str, float]) -> Point:
    return {field: value for name, value in values.items() for field in ALIASES.get(name, (name,))}
