"""Packages that an extra brings."""

from __future__ import annotations

import importlib.util


def is_installed(package: str) -> bool:
    """Whether it can be imported: a folder of its name, such as programs leave behind, is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None
