"""Settings and circumstances as tables of a report, escaped there: a folder may hold anything."""

from __future__ import annotations

from typing import Any

from algd_jax.runs.pages.page import table


def circumstances(record: dict[str, Any], **more: str) -> str:
    """Device, versions, time and command, of what ``provenance`` has left in a file.

    Args:
      record: values of any type, by name.
      more: further rows.
    """
    command = record.get("command")
    words = map(str, command) if isinstance(command, list) else ()
    told = flatten({name: record.get(name, "") for name in ("device", "versions")})
    told |= {name: str(record.get(name, "")) for name in ("start_time", "git_commit")}
    told |= {"command": " ".join(words)} | more
    return table(["", ""], list(told.items()))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested fields as texts, by dotted name."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
