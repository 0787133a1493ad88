"""Curvature and slices of a landscape, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax import Hyper, make_algorithm
from algd_jax.agents.landscape import (
    box_limits,
    energies,
    hessian,
    mean_hessian,
    plane_through,
    random_directions,
    smallest_eigenvalue,
)
from algd_jax.config import AgentConfig
from algd_jax.lagrangian.energy import augmented_lagrangian, plain_lagrangian

REWARD = jnp.array([[1.0, 0.5], [0.5, -3.0]])  # Q = −aᵀRa/2
COST = jnp.array([2.0, -1.0])  # Q_c = c·a + 1
LAM, RHO, BUDGET = 0.7, 2.0, 1.5


def energy_of(lagrangian):
    def energy(action):
        reward_value = -action @ REWARD @ action / 2
        return lagrangian(reward_value, COST @ action + 1, LAM, RHO, BUDGET)

    return energy


PRESSED, FREE = jnp.array([0.5, 0.1]), jnp.array([-0.5, 0.3])
CLOSED_FORMS = [
    (plain_lagrangian, PRESSED, REWARD),
    (augmented_lagrangian, PRESSED, REWARD + RHO * jnp.outer(COST, COST)),
    (augmented_lagrangian, FREE, REWARD),  # The bracket is negative: no penalty is felt.
]


@pytest.mark.parametrize(("lagrangian", "action", "expected"), CLOSED_FORMS)
@pytest.mark.parametrize("matrix", [hessian, lambda e, a: mean_hessian(e, a, 0.05)])
def test_hessian_of_a_quadratic(lagrangian, action, expected, matrix):
    found = matrix(energy_of(lagrangian), action)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert smallest_eigenvalue(found) == pytest.approx(np.linalg.eigvalsh(expected)[0], abs=1e-4)


def test_only_the_averaged_hessian_sees_a_kink():
    def kink(action):
        return jnp.maximum(action[0], 0) + 0 * action[1]

    at = jnp.array([0.04, 0.0])
    np.testing.assert_array_equal(hessian(kink, at), jnp.zeros((2, 2)))
    # The slope rises by 1 over a segment of length 0.2.
    np.testing.assert_allclose(mean_hessian(kink, at, 0.1), [[5, 0], [0, 0]], atol=1e-5)
    np.testing.assert_array_equal(mean_hessian(kink, at, 0.01), jnp.zeros((2, 2)))


def test_an_eigenvalue_lost_in_rounding_is_zero():
    direction = jnp.array([0.3, 0.7, 0.1])
    assert smallest_eigenvalue(100 * jnp.outer(direction, direction)) == 0
    assert smallest_eigenvalue(jnp.zeros((2, 2))) == 0
    assert smallest_eigenvalue(jnp.diag(jnp.array([1.0, -0.5]))) == -0.5


def test_energies_agree_with_each_other():
    """L_A = L + ρ/2 · excess² while the bracket is positive, at a state of a fresh agent."""
    sizes = AgentConfig(chain_steps=2, critic_width=8, actor_width=8, cost_critics=2)
    algorithm = make_algorithm("algd", 3, (-1.0, -1.0), (1.0, 1.0), 100, sizes)
    hyper = Hyper(cost_limit=0.0, rho=3.0).as_arrays()
    agent = algorithm.init(jax.random.key(0), hyper.replace(initial_lam=5.0))
    functions = energies(algorithm, agent, jnp.ones(3), hyper)
    plain, augmented, excess = (float(function(jnp.array([0.2, -0.4]))) for function in functions)
    assert 5.0 + 3.0 * excess > 0
    assert augmented == pytest.approx(plain + 1.5 * excess**2, rel=1e-4)


def test_along_axes_coordinates_are_action_components():
    action = jnp.array([0.3, 0.2, -0.4])
    plane = plane_through(action, jnp.eye(3)[jnp.array([2, 0])])
    np.testing.assert_allclose(plane.coordinates(action), [-0.4, 0.3], atol=1e-6)
    np.testing.assert_allclose(plane.action(jnp.array([-0.1, 0.9])), [0.9, 0.2, -0.1], atol=1e-6)
    low, high = jnp.array([-1.0, -1.0, -0.5]), jnp.array([1.0, 1.0, 1.5])
    np.testing.assert_allclose(box_limits(plane, action, low, high), [[-0.5, 1.5], [-1, 1]])


def test_random_planes_keep_the_action_and_end_at_the_box():
    directions = random_directions(jax.random.key(1), 5)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-6)
    action = jnp.array([0.3, -0.8, 0.1, 0.0, 0.5])
    plane = plane_through(action, directions)
    here = plane.coordinates(action)
    np.testing.assert_allclose(plane.action(here), action, atol=1e-6)
    limits = box_limits(plane, action, -jnp.ones(5), jnp.ones(5))
    for axis in range(2):
        for end in limits[axis]:
            assert jnp.abs(plane.action(here.at[axis].set(end))).max() == pytest.approx(1, abs=1e-5)
