"""The one kind of error a user can cause, and how it is worded."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable

_LONGEST_SHOWN = 80
_LONGEST_WORD = 320  # A path may be as long.
_LONGEST_LINE = 4000


class ConfigError(ValueError):
    """A configuration that cannot work; the message is one line fit for a terminal."""


def printable(text: str) -> str:
    """The text without what would do something to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(message: str) -> str:
    """A message fit for a terminal, whatever was quoted in it: words of any length are cut."""

    def cut(word: re.Match[str]) -> str:
        half = _LONGEST_SHOWN // 2
        return f"{word[0][:half]}...{word[0][-half:]}"

    text = re.sub(rf"\S{{{_LONGEST_WORD},}}", cut, printable(message))
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}..."


def shown(value: object) -> str:
    """As ``repr``, but short and without recursion, whatever a file holds."""
    short = reprlib.Repr()
    short.maxstring = short.maxlong = short.maxother = _LONGEST_SHOWN
    return short.repr(value)


def unknown_name(field: str, value: str, allowed: Iterable[str]) -> ConfigError:
    """The error for a name that is not in a table, with the nearest one that is."""
    allowed = sorted(allowed)
    names = ", ".join(allowed) or "none"
    return ConfigError(
        f"{field}: unknown name {value!r}; allowed: {names}{nearest_name(value, allowed)}"
    )


def nearest_name(value: str, allowed: Iterable[str]) -> str:
    """What a message about ``value`` ends with: the nearest allowed name, if one is near."""
    nearest = difflib.get_close_matches(value, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
