"""A population: P whole runs, with keys and ``Hyper`` of their own, in one program.

It has the functions of one run with a leading axis P on everything, and member i is that run: the
same keys, and on one device the same numbers to rounding. On a mesh of several devices each holds
an equal share of the members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from algd_jax.agents.state import AgentState
from algd_jax.config import Hyper
from algd_jax.errors import ConfigError
from algd_jax.training.epoch import EpochMetrics, Trainer, TrainState
from algd_jax.training.evaluation import Episodes, evaluate_agent
from algd_jax.training.health import HEALTHY
from algd_jax.training.sharding import MEMBER, check_divisible, member_sharding, placed

Tree = TypeVar("Tree")


@dataclasses.dataclass(frozen=True)
class Population:
    """P runs as pure functions; jit them with the state donated, as those of a ``Trainer``.

    Attributes:
      trainer: the functions of one run.
      mesh: devices that share the members (``sharding.member_mesh``); P must be a multiple of
        their number. Without one, members are where the arguments are.
    """

    trainer: Trainer
    mesh: Mesh | None = None

    def init(self, keys: jax.Array, hyper: Hyper) -> TrainState:
        """See ``Trainer.init``; keys [P], hyper [P]."""
        return self._each(self.trainer.init, hyper)(keys, hyper)

    def placed(self, state: TrainState) -> TrainState:
        """See ``Trainer.placed``."""
        return state if self.mesh is None else placed(state, member_sharding(self.mesh))

    def warmup(self, state: TrainState, hyper: Hyper) -> TrainState:
        """See ``Trainer.warmup``."""
        return self._each(self.trainer.warmup, hyper)(state, hyper)

    def train_epoch(self, state: TrainState, hyper: Hyper) -> tuple[TrainState, EpochMetrics]:
        """See ``Trainer.train_epoch``; metrics [P].

        A member in which a bad number was found is frozen: its agent stays as it was before that
        epoch, for good. ``state.health`` tells which one, what and when; its metrics mean nothing.
        Where bad numbers skip updates, nothing is frozen: members go on as a single run does.
        """
        return self._each(partial(_train_or_freeze, self.trainer), hyper)(state, hyper)

    def evaluate(self, agent: AgentState, keys: jax.Array, hyper: Hyper) -> Episodes:
        """Episodes [P, n] of the deterministic policies; keys [P]."""
        return self._each(partial(evaluate_agent, self.trainer), hyper)(agent, keys, hyper)

    def _each(self, function: Callable[..., Any], hyper: Hyper) -> Callable[..., Any]:
        """``function`` of one member, for all of them."""
        members = jax.vmap(function)
        if self.mesh is None:
            return members
        check_divisible("members", jnp.size(hyper.rho), self.mesh.shape[MEMBER])
        axis = PartitionSpec(MEMBER)
        # The check would want every constant of an environment's state declared as differing
        # between devices; with all of the output sharded it has nothing to find.
        return jax.shard_map(
            members, mesh=self.mesh, in_specs=axis, out_specs=axis, check_vma=False
        )


def stack_hypers(hypers: Sequence[Hyper]) -> Hyper:
    """One ``Hyper`` for P members: leaves float32 [P], or [P, C] for C cost limits.

    Raises:
      ConfigError: for no members, a number that cannot work, or different numbers of cost limits.
    """
    if not hypers:
        raise ConfigError("hypers: got none, allowed is one for each member of a population")
    members = [hyper.as_arrays() for hyper in hypers]
    if len({np.shape(one.cost_limit) for one in members}) > 1:
        raise ConfigError("cost_limit: got different numbers of limits, allowed is the same number")
    return jax.tree.map(lambda *numbers: jnp.stack(numbers), *members)


def member(tree: Tree, i: int) -> Tree:
    """Member i of anything with a leading axis P."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def only(tree: Tree, members: np.ndarray) -> Tree:
    """Some members [Q] of anything with a leading axis P, of which the rest is deleted.

    Leaf by leaf, so that replay is not there twice.
    """

    def taken(leaf: jax.Array) -> jax.Array:
        found = jax.block_until_ready(leaf[members])
        leaf.delete()
        return found

    return jax.tree.map(taken, tree)


def _train_or_freeze(
    trainer: Trainer, state: TrainState, hyper: Hyper
) -> tuple[TrainState, EpochMetrics]:
    """An epoch of one member that goes back to its agent of before if a bad number is found.

    Once per epoch, and of the agent only: selecting replay as well would copy it.
    """
    after, metrics = trainer.train_epoch(state, hyper)
    if trainer.config.health.skips_updates:  # Then nothing bad has got into the agent.
        return after, metrics
    keep = after.health.quantity == HEALTHY
    agent = jax.tree.map(partial(jnp.where, keep), after.agent, state.agent)
    return after.replace(agent=agent), metrics
