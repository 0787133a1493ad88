"""Names of environments and how each is built."""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from algd_jax.envs.base import EnvSpec, SafetyEnv
from algd_jax.envs.checking import said_by
from algd_jax.envs.navigation.env import NavigationEnv
from algd_jax.envs.navigation.suites import NAVIGATION_TASKS
from algd_jax.envs.velocity.env import VelocityEnv
from algd_jax.envs.velocity.suites import VELOCITY_TASKS
from algd_jax.errors import ConfigError, unknown_name

__all__ = ["is_code", "list_envs", "make", "register", "shared", "spec"]

Factory = Callable[..., SafetyEnv]

_FACTORIES: dict[str, Factory] = {
    **{name: partial(NavigationEnv, task) for name, task in NAVIGATION_TASKS.items()},
    **{name: partial(VelocityEnv, task) for name, task in VELOCITY_TASKS.items()},
}
_BUILT_IN = frozenset(_FACTORIES)


def list_envs() -> tuple[str, ...]:
    """Returns the names that `make` knows, sorted."""
    return tuple(sorted(_FACTORIES))


def is_built_in(name: str) -> bool:
    """Whether `name` is an environment of this package."""
    return name in _BUILT_IN


def is_code(name: str) -> bool:
    """Whether `name` is "module:attribute", so that `make` imports, that is runs, that module."""
    return ":" in name


def register(name: str, factory: Factory) -> None:
    """Makes an environment known to `make` and `list_envs` in this process.

    Registering a name again replaces its factory.

    Args:
      name: should be the `spec.name` of the environment.
      factory: builds it; its parameters become the options that `make` takes.

    Raises:
      ConfigError: for the name of an environment of this package, a name with a colon or none at
        all, or a factory that cannot be called.
    """
    if not isinstance(name, str) or not name or is_code(name):
        raise ConfigError(f"name: got {name!r}, allowed is a name without colon")
    if name in _BUILT_IN:
        raise ConfigError(f"name: got {name!r}, which is an environment of algd_jax")
    if not callable(factory):
        raise ConfigError(f"factory of {name}: got {factory!r}, allowed is a function or a class")
    _FACTORIES[name] = factory


def make(name: str, **options: Any) -> SafetyEnv:
    """Builds an environment.

    Args:
      name: one of `list_envs()`, or "module:attribute" for a factory that can be imported.
      **options: keyword options of that environment; navigation tasks take `random_start: bool`,
        velocity tasks `physics: "auto", "mujoco" or "mjx"`.

    Raises:
      ConfigError: unknown name or option, a value an option does not take, or a factory that
        cannot be imported or builds something else.
    """
    return _build(_factory(name), name, **options)


def shared(name: str, **options: Any) -> SafetyEnv:
    """Returns an environment that is built only once in this process, for all who ask for it.

    Environments are pure, so that they can be shared; whoever changes one builds it with `make`.

    Args:
      name: as `make` takes it.
      **options: likewise.

    Raises:
      ConfigError: as `make` does.
    """
    return _built(_factory(name), name, **options)


def spec(name: str, **options: Any) -> EnvSpec:
    """Returns the specification of an environment; see `shared`."""
    return shared(name, **options).spec


def _build(factory: Factory, name: str, **options: Any) -> SafetyEnv:
    signature = inspect.signature(factory)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:  # Else the factory knows best.
        for option in options:
            if option not in signature.parameters:
                raise unknown_name(f"option of {name}", option, signature.parameters)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise ConfigError(f"env: cannot build {name!r}: {error}") from error
    try:
        env = factory(**options)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        made = getattr(factory, "__name__", type(factory).__name__)
        raise ConfigError(
            f"env: cannot build {name!r}: {made} raised {said_by(error)} (--debug shows where)"
        ) from error
    if not isinstance(env, SafetyEnv):
        raise ConfigError(f"env: {name!r} built a {type(env).__name__}, expected a SafetyEnv")
    return env


_built = functools.cache(_build)
"""Its key is the factory too, because a name may be registered again."""


def _factory(name: str) -> Factory:
    if not isinstance(name, str):
        raise ConfigError(f"env: got {name!r}, allowed is a name")
    factory = _import_factory(name) if is_code(name) else _FACTORIES.get(name)
    if factory is None:
        raise unknown_name("env", name, _FACTORIES)
    return factory


def _import_factory(name: str) -> Factory:
    """What "module:attribute" stands for."""
    module, _, attribute = name.partition(":")
    try:
        with _current_folder_searched(module):
            factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"env: cannot import {name!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"env: cannot import {name!r}: it raised {said_by(error)} (--debug shows where)"
        ) from error
    if not callable(factory):
        raise ConfigError(f"env: {name!r} is a {type(factory).__name__}, expected a function")
    return factory


@contextlib.contextmanager
def _current_folder_searched(module: str) -> Iterator[None]:
    """Context in which a module that is not installed is looked for in the current folder.

    Only here, where the user named the module: libraries import optional packages whenever they
    like, and the current folder may be a stranger's.
    """
    package = module.partition(".")[0]
    if package in sys.modules or (package and importlib.util.find_spec(package)):
        yield
        return
    sys.path.append("")
    try:
        yield
    finally:
        sys.path.remove("")
