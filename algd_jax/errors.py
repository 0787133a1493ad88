"""The one kind of error a user can cause, and how it is worded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A configuration that cannot work; the message is one line fit for a terminal."""


def unknown_name(field: str, value: str, allowed: Iterable[str]) -> ConfigError:
    """The error for a name that is not in a table, with the nearest one that is."""
    allowed = sorted(allowed)
    nearest = difflib.get_close_matches(value, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    names = ", ".join(allowed) or "none"
    return ConfigError(f"{field}: unknown name {value!r}; allowed: {names}{hint}")
