"""Command-line arguments from dataclasses, with mistakes told in one line.

tyro turns a dataclass into flags and help. When it refuses an argument, its boxed message is
replaced by a :class:`ConfigError` naming the flag, the value and what is allowed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro

from algd_jax.errors import ConfigError, nearest_name

Arguments = TypeVar("Arguments")

_ALLOWED = {int: "an integer", float: "a number", str: "a text", Path: "a path"}


def parse(
    kind: type[Arguments], argv: Sequence[str], prog: str, default: Arguments | None = None
) -> Arguments:
    """Fill the dataclass ``kind`` from ``argv``; its docstrings are the help.

    Args:
      kind: fields become flags, those of nested dataclasses too, without prefix; fields without
        a default become positional arguments.
      argv: without the command itself. ``--help`` prints the help and raises SystemExit(0).
      prog: how the command is called, for the help.
      default: values of flags that are not given.

    Raises:
      ConfigError: for an unknown flag, a missing value or one of the wrong kind.
    """
    if _gives_a_switch_a_value(kind, argv):
        raise explain(kind, argv) or ConfigError("a flag has a value that takes none")
    refusal = io.StringIO()
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs)
    defaults: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(refusal):
            return tyro.cli(kind, args=list(argv), prog=prog, config=markers, **defaults)
    except SystemExit as stop:
        if not stop.code:
            raise
        reason = " ".join(refusal.getvalue().split())
        raise explain(kind, argv) or ConfigError(reason) from None


def _gives_a_switch_a_value(kind: type, argv: Sequence[str]) -> bool:
    """tyro would take the value for an argument of its own."""
    types_by_flag = flags(kind)
    given = (token.partition("=") for token in argv)
    return any(equals and types_by_flag.get(f.replace("_", "-")) is bool for f, equals, _ in given)


def parse_known(kind: type[Arguments], argv: Sequence[str]) -> Arguments:
    """Fill ``kind``, all of whose fields have defaults, from the flags it knows in ``argv``.

    Other arguments and mistakes pass: a :func:`parse` of everything is to follow.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return tyro.cli(kind, args=list(argv), add_help=False, return_unknown_args=True)[0]
    except SystemExit:
        return kind()


def explain(kind: type, argv: Sequence[str]) -> ConfigError | None:
    """The first mistake in ``argv`` as arguments of ``kind``, or None if there seems to be none."""
    types_by_flag, required = flags(kind), positionals(kind, required=True)
    missing = list(required)
    # A positional argument of any number: its values follow one another.
    hints = typing.get_type_hints(kind, include_extras=True)
    more_allowed, some_given = any(map(_is_positional, hints.values())), False
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("--"):
            if missing:
                name = missing.pop(0)
                if refusal := _refusal(name, token, required[name]):
                    return refusal
            elif not more_allowed:
                return ConfigError(f"unexpected argument {token!r}")
            some_given = True
            continue
        more_allowed = more_allowed and not some_given
        flag, equals, value = token.partition("=")
        flag = flag.replace("_", "-")
        if flag not in types_by_flag:
            return _unknown_flag(flag, types_by_flag)
        if types_by_flag[flag] is bool:
            if equals:
                return ConfigError(f"{flag}: got {value!r}, allowed is the flag without a value")
            continue
        if not equals and tokens and not tokens[0].startswith("--"):
            value, equals = tokens.pop(0), "="
        wanted = types_by_flag[flag]
        if not equals:
            return ConfigError(f"{flag}: value is missing, allowed is {_rule(wanted)[1]}")
        given = [value]
        while _takes_several(wanted) and tokens and not tokens[0].startswith("--"):
            given.append(tokens.pop(0))
        for value in given:
            if refusal := _refusal(flag, value, wanted):
                return refusal
    return ConfigError(f"{missing[0]} is missing") if missing else None


def _refusal(name: str, value: str, wanted: Any) -> ConfigError | None:
    """What is wrong with a value of this type, if anything is."""
    accepts, allowed = _rule(wanted)
    if accepts(value):
        return None
    nearest = nearest_name(value, _names(wanted))
    return ConfigError(f"{name}: got {value!r}, allowed is {allowed}{nearest}")


def flags(kind: type) -> dict[str, Any]:
    """Flags of a dataclass, nested ones included, with the type of their value."""
    found: dict[str, Any] = {"--help": bool}
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        wanted = _widest(hints[field.name])
        flag = field.name.replace("_", "-")
        if dataclasses.is_dataclass(wanted):
            found |= flags(typing.cast(type, wanted))
        elif _has_default(field) and not _is_positional(wanted):
            found[f"--{flag}"] = wanted
            if wanted is bool:
                found[f"--no-{flag}"] = bool
    return found


def positionals(kind: type, required: bool = False) -> dict[str, Any]:
    """Fields of a dataclass that are given without a flag, with their types.

    Args:
      kind: the dataclass.
      required: leave out those that may be missing.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if _is_positional(hint):
            if not required:
                found[field.name] = typing.get_args(hint)[0]
        elif not _has_default(field) and not dataclasses.is_dataclass(hint):
            found[field.name] = hint
    return found


def _is_positional(hint: Any) -> bool:
    """Whether a field with a default is positional all the same, by ``tyro.conf.Positional``."""
    return typing.get_origin(hint) is typing.Annotated


def _has_default(field: dataclasses.Field) -> bool:
    return not (field.default is field.default_factory is dataclasses.MISSING)


def _widest(hint: Any) -> Any:
    """``X`` for ``X | None``, and ``tuple[X, ...]`` for ``X | tuple[X, ...]``."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return [part for part in typing.get_args(hint) if part is not type(None)][-1]
    return hint


def _takes_several(wanted: Any) -> bool:
    return typing.get_origin(wanted) is tuple


def _names(wanted: Any) -> tuple[str, ...]:
    """What a value (of several, each) may be, if it is one of a few names."""
    kind = typing.get_args(wanted)[0] if _takes_several(wanted) else wanted
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _rule(wanted: Any) -> tuple[typing.Callable[[str], bool], str]:
    """Whether a text stands for a value (of several, each) of a type, and what does in words."""
    if _takes_several(wanted):
        return _rule(typing.get_args(wanted)[0])
    if names := _names(wanted):
        return names.__contains__, " or ".join(names)

    def accepts(text: str) -> bool:
        try:
            wanted(text)
        except ValueError:
            return False
        return True

    return accepts, _ALLOWED[wanted]


def _unknown_flag(flag: str, known: dict[str, Any]) -> ConfigError:
    nearest = difflib.get_close_matches(flag, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else "see --help for all flags"
    return ConfigError(f"{flag}: unknown flag; {hint}")
