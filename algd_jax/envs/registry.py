"""Names of environments and how each is built."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from algd_jax.envs.base import SafetyEnv
from algd_jax.envs.navigation.env import NavigationEnv
from algd_jax.envs.navigation.suites import NAVIGATION_TASKS

__all__ = ["list_envs", "make"]

_FACTORIES: dict[str, Callable[..., SafetyEnv]] = {
    name: partial(NavigationEnv, task) for name, task in NAVIGATION_TASKS.items()
}


def list_envs() -> tuple[str, ...]:
    """Returns the names that `make` accepts, sorted."""
    return tuple(sorted(_FACTORIES))


def make(name: str, **options: Any) -> SafetyEnv:
    """Builds an environment.

    Args:
      name: one of `list_envs()`.
      **options: keyword options of that environment; navigation tasks take `random_start: bool`.

    Raises:
      ValueError: unknown name or option, or a value an option does not take.
    """
    if name not in _FACTORIES:
        raise ValueError(_unknown("environment", name, list_envs()))
    factory = _FACTORIES[name]
    allowed = tuple(inspect.signature(factory).parameters)
    for option in options:
        if option not in allowed:
            raise ValueError(_unknown(f"option of {name}", option, allowed))
    return factory(**options)


def _unknown(field: str, value: str, allowed: Iterable[str]) -> str:
    """One line that names the field, the value, the nearest allowed value and all of them."""
    allowed = tuple(allowed)
    nearest = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {field}: {value!r}{hint} (allowed: {', '.join(allowed) or 'none'})"
