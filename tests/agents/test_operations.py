"""A guard: what one update of the paper's size costs, counted and not timed.

The figures are XLA's for the CPU at the versions of ``constraints.txt``; where they have grown for
a good reason, they change here together with docs/performance.md.
"""

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


def update_cost(form):
    """XLA's count of floating-point operations and of bytes of one update."""
    box = (1.0,) * ACTION_SIZE
    sizes = AgentConfig(diffusion=form)
    algorithm = make_algorithm("algd", OBS_SIZE, tuple(-b for b in box), box, 400, sizes)
    hyper, key = Hyper().as_arrays(), jax.random.key(0)
    obs, scalars = jnp.zeros((BATCH, OBS_SIZE)), jnp.zeros(BATCH)
    batch = Transition(obs, obs[:, :ACTION_SIZE], scalars, scalars, obs, scalars, scalars)
    state = jax.eval_shape(algorithm.init, key, hyper)
    return jax.jit(algorithm.update).lower(state, batch, key, hyper).compile().cost_analysis()


@pytest.mark.parametrize("form", ["ve", "ddpm"])
def test_an_update_has_not_become_more_expensive(form):
    cost = update_cost(form)
    assert 0.5 < cost["flops"] / (GIGAFLOPS[form] * 1e9) <= FLOPS_TOLERANCE
    assert 0.5 < cost["bytes accessed"] / (MEGABYTES[form] * 1e6) <= BYTES_TOLERANCE
