"""Runs of one shape share their compiled programs within a process of the tests.

Tracing and fetching them from the cache anew takes three of the four seconds of a tiny run. A test
that replaces or counts what is traced asks for the fixture ``own_programs``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import jax
import pytest

from algd_jax.config import Config, Hyper, LoopConfig
from algd_jax.runs.programs import Programs
from algd_jax.training.epoch import Trainer
from algd_jax.training.population import Population

COMPILE_ANEW = Programs._compile

_HOST_SIDE = {
    field.name: field.default
    for field in dataclasses.fields(LoopConfig)
    if field.name.startswith(("keep_", "checkpoint_")) or field.name == "final_eval_episodes"
}


@contextlib.contextmanager
def shared_programs() -> Iterator[dict[Any, Future]]:
    """Context in which a run compiles a program only if no run of its shape has compiled it.

    Yields:
      The programs so far; they may be cleared between runs.
    """
    compiled: dict[Any, Future] = {}

    def compile_once(self: Programs, name: str, function: Any, *arguments: Any) -> None:
        key = _key(name, function, arguments)
        if key is None:
            COMPILE_ANEW(self, name, function, *arguments)
            return
        if key not in compiled or compiled[key].exception() is not None:
            COMPILE_ANEW(self, name, function, *arguments)
            compiled[key] = self._compiled[name]
        self._compiled[name] = compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Programs, "_compile", compile_once)
        yield compiled


def _key(name: str, function: Any, arguments: Any) -> Any:
    """What a program is made of; None if that is not known here."""
    made_of = function.__wrapped__  # A method of the trainer, or a function of it.
    trainer = made_of.args[0] if hasattr(made_of, "args") else made_of.__self__
    is_population = type(trainer) is Population and trainer.mesh is None
    if type(trainer) is not Trainer and not is_population:
        return None
    one = trainer.trainer if is_population else trainer
    shapes = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(arguments)]
    structure = jax.tree.structure(arguments)
    return name, type(trainer), type(one.env), one.env.spec, _traced(one.config), structure, *shapes


def _traced(config: Config) -> Config:
    """The configuration without what programs take as arguments, or never see."""
    # Of the steps only the number of epochs depends.
    loop = dataclasses.replace(config.loop, **_HOST_SIDE, env_steps=0)
    return dataclasses.replace(config, env="", seed=0, hyper=Hyper(), loop=loop)
