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

from algd_jax.errors import ConfigError

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
    types_by_flag, missing = _flags(kind), _positionals(kind)
    # A positional argument of any number: its values follow one another.
    hints = typing.get_type_hints(kind, include_extras=True)
    more_allowed, some_given = any(map(_is_positional, hints.values())), False
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("--"):
            if missing:
                missing.pop(0)
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
        accepts, allowed = _rule(types_by_flag[flag])
        if not equals:
            return ConfigError(f"{flag}: value is missing, allowed is {allowed}")
        given = [value]
        while _takes_several(types_by_flag[flag]) and tokens and not tokens[0].startswith("--"):
            given.append(tokens.pop(0))
        for value in given:
            if not accepts(value):
                return ConfigError(f"{flag}: got {value!r}, allowed is {allowed}")
    return ConfigError(f"{missing[0]} is missing") if missing else None


def _flags(kind: type) -> dict[str, Any]:
    """Flags of a dataclass, nested ones included, with the type of their value."""
    flags: dict[str, Any] = {"--help": bool}
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        wanted = _widest(hints[field.name])
        flag = field.name.replace("_", "-")
        if dataclasses.is_dataclass(wanted):
            flags |= _flags(typing.cast(type, wanted))
        elif _has_default(field) and not _is_positional(wanted):
            flags[f"--{flag}"] = wanted
            if wanted is bool:
                flags[f"--no-{flag}"] = bool
    return flags


def _positionals(kind: type) -> list[str]:
    hints = typing.get_type_hints(kind)
    return [
        field.name
        for field in dataclasses.fields(kind)
        if not _has_default(field) and not dataclasses.is_dataclass(hints[field.name])
    ]


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


def _rule(wanted: Any) -> tuple[typing.Callable[[str], bool], str]:
    """Whether a text stands for a value (of several, each) of a type, and what does in words."""
    if _takes_several(wanted):
        return _rule(typing.get_args(wanted)[0])
    if typing.get_origin(wanted) is Literal:
        names = typing.get_args(wanted)
        return names.__contains__, " or ".join(names)

    def accepts(text: str) -> bool:
        try:
            wanted(text)
        except ValueError:
            return False
        return True

    return accepts, _ALLOWED[wanted]


def _unknown_flag(flag: str, flags: dict[str, Any]) -> ConfigError:
    nearest = difflib.get_close_matches(flag, flags, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else "see --help for all flags"
    return ConfigError(f"{flag}: unknown flag; {hint}")
