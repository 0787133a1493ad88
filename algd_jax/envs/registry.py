"""Names of environments and how each is built."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from algd_jax.envs.base import SafetyEnv
from algd_jax.envs.navigation.env import NavigationEnv
from algd_jax.envs.navigation.suites import NAVIGATION_TASKS
from algd_jax.envs.velocity.env import VelocityEnv
from algd_jax.envs.velocity.suites import VELOCITY_TASKS
from algd_jax.errors import unknown_name

__all__ = ["list_envs", "make"]

_FACTORIES: dict[str, Callable[..., SafetyEnv]] = {
    **{name: partial(NavigationEnv, task) for name, task in NAVIGATION_TASKS.items()},
    **{name: partial(VelocityEnv, task) for name, task in VELOCITY_TASKS.items()},
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
      ConfigError: unknown name or option, or a value an option does not take.
    """
    if name not in _FACTORIES:
        raise unknown_name("env", name, _FACTORIES)
    factory = _FACTORIES[name]
    allowed = tuple(inspect.signature(factory).parameters)
    for option in options:
        if option not in allowed:
            raise unknown_name(f"option of {name}", option, allowed)
    return factory(**options)
