"""A guard: what one update of the paper's size costs, counted and not timed.

The figures are XLA's for the CPU at the versions of ``constraints.txt``; where they have grown for
a good reason, they change here together with docs/performance.md.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

from algd_jax.agents.algorithms import make_algorithm
from algd_jax.config import AgentConfig, Hyper
from algd_jax.types import Transition

OBS_SIZE, ACTION_SIZE, BATCH = 76, 2, 256

# Bytes depend on how XLA fuses, and that on the processor.
FLOPS_TOLERANCE, BYTES_TOLERANCE = 1.01, 1.1

GIGAFLOPS = {"ve": 3.79, "ddpm": 4.13}
MEGABYTES = {"ve": 381.0, "ddpm": 423.0}


@functools.cache
def update_cost(form, members=None):
    """XLA's count of floating-point operations and of bytes of one update, of each member."""
    box = (1.0,) * ACTION_SIZE
    sizes = AgentConfig(diffusion=form)
    algorithm = make_algorithm("algd", OBS_SIZE, tuple(-b for b in box), box, 400, sizes)
    obs, scalars = jnp.zeros((BATCH, OBS_SIZE)), jnp.zeros(BATCH)
    batch = Transition(obs, obs[:, :ACTION_SIZE], scalars, scalars, obs, scalars, scalars)
    arguments = batch, jax.random.key(0), Hyper().as_arrays()
    init, update = algorithm.init, algorithm.update
    if members is not None:
        arguments = jax.tree.map(lambda leaf: jnp.stack([leaf] * members), arguments)
        init, update = jax.vmap(init), jax.vmap(update)
    state = jax.eval_shape(init, *arguments[1:])
    return jax.jit(update).lower(state, *arguments).compile().cost_analysis()


@pytest.mark.parametrize("form", ["ve", "ddpm"])
def test_an_update_has_not_become_more_expensive(form):
    cost = update_cost(form)
    assert 0.5 < cost["flops"] / (GIGAFLOPS[form] * 1e9) <= FLOPS_TOLERANCE
    assert 0.5 < cost["bytes accessed"] / (MEGABYTES[form] * 1e6) <= BYTES_TOLERANCE


@pytest.mark.parametrize("form", ["ve", "ddpm"])
def test_an_update_of_eight_members_costs_no_more_than_eight_updates(form):
    single, eight = update_cost(form), update_cost(form, members=8)
    assert eight["flops"] <= 8 * single["flops"] * FLOPS_TOLERANCE
    assert eight["bytes accessed"] <= 8 * single["bytes accessed"] * BYTES_TOLERANCE
