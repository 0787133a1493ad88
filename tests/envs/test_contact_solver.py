"""The contact solver against independent solutions and the conditions of a minimum."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from algd_jax.envs import contact_solver
from algd_jax.envs.contact_solver import Rows

N, ROWS = 5, 12
_jitted = jax.jit(contact_solver.solve, static_argnames="max_iterations")

Problem = tuple[np.ndarray, np.ndarray, Rows]


def problem(seed: int) -> Problem:
    """A random one of N velocities and ROWS rows, some of them without contact."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(N, N))
    stiffness = rng.uniform(0.1, 50.0, ROWS) * (rng.uniform(size=ROWS) < 0.8)
    rows = Rows(rng.normal(size=(ROWS, N)), rng.normal(size=ROWS), stiffness)
    return root @ root.T + np.eye(N), 3.0 * rng.normal(size=N), rows


def solve(inertia: np.ndarray, smooth: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """From the free acceleration, in single precision like the environments."""
    free = np.linalg.solve(inertia, smooth)
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (inertia, smooth, rows))
    return _jitted(*single, jnp.asarray(free, jnp.float32), max_iterations=30)


def minimum(inertia: np.ndarray, smooth: np.ndarray, rows: Rows) -> np.ndarray:
    """The same objective in double precision, by a method that knows nothing of contacts."""

    def cost(a: np.ndarray) -> tuple[float, np.ndarray]:
        short = np.minimum(rows.jacobian @ a - rows.reference, 0.0)
        pull = rows.stiffness * short
        value = 0.5 * a @ inertia @ a - a @ smooth + 0.5 * pull @ short
        return value, inertia @ a - smooth + pull @ rows.jacobian

    found = scipy.optimize.minimize(cost, np.zeros(N), jac=True, method="BFGS", tol=1e-9)
    return found.x


@pytest.mark.parametrize("seed", range(12))
def test_acceleration_minimises_the_objective(seed: int) -> None:
    acceleration, _ = solve(*problem(seed))
    np.testing.assert_allclose(acceleration, minimum(*problem(seed)), atol=1e-4)


@hypothesis.given(seed=st.integers(0, 2**32 - 1))
@hypothesis.settings(deadline=None, max_examples=60)
def test_solution_meets_the_conditions_of_a_minimum(seed: int) -> None:
    inertia, smooth, rows = problem(seed)
    acceleration, force = (np.asarray(x, np.float64) for x in solve(inertia, smooth, rows))
    slack = rows.jacobian @ acceleration - rows.reference
    assert (force >= 0).all(), "contacts never pull"
    assert (force[slack > 1e-4] == 0).all(), "what moves apart does not push"
    np.testing.assert_allclose(force, rows.stiffness * np.maximum(-slack, 0.0), atol=2e-3)
    np.testing.assert_allclose(inertia @ acceleration - smooth, force @ rows.jacobian, atol=2e-3)


def test_without_active_rows_the_acceleration_is_free() -> None:
    inertia, smooth, rows = problem(0)
    free = np.linalg.solve(inertia, smooth)
    satisfied = rows._replace(reference=rows.jacobian @ free - 1.0)
    apart = rows._replace(stiffness=np.zeros(ROWS))
    for idle in (satisfied, apart):
        acceleration, force = solve(inertia, smooth, idle)
        np.testing.assert_allclose(acceleration, free, atol=1e-5)
        np.testing.assert_array_equal(force, 0.0)


def test_a_firm_row_is_obeyed() -> None:
    """One direction of motion: the acceleration is the mean of both wishes, by their weights."""
    rows = Rows(np.ones((1, 1)), np.array([2.0]), np.array([3.0]))
    arguments = (np.eye(1), np.zeros(1), rows, np.zeros(1))
    acceleration, force = contact_solver.solve(*map_to_jax(arguments), 10)
    np.testing.assert_allclose(acceleration, [1.5], rtol=1e-6)
    np.testing.assert_allclose(force, [1.5], rtol=1e-6)


def map_to_jax(tree: tuple) -> tuple:
    return jax.tree.map(jnp.asarray, tree)


def test_any_guess_leads_to_the_same_solution() -> None:
    inertia, smooth, rows = map_to_jax(problem(3))
    guesses = 10.0 * jax.random.normal(jax.random.key(0), (8, N))
    found = jax.vmap(lambda guess: contact_solver.solve(inertia, smooth, rows, guess, 30)[0])(
        guesses
    )
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), atol=1e-4)


def test_plain_jitted_and_batched_calls_agree() -> None:
    problems = [(*map_to_jax(problem(seed)), jnp.zeros(N)) for seed in range(4)]
    plain = [contact_solver.solve(*one, 30) for one in problems]
    jitted = [_jitted(*one, max_iterations=30) for one in problems]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    batched = jax.vmap(lambda *one: contact_solver.solve(*one, 30))(*stacked)
    for i in range(len(problems)):
        for want, by_jit, by_vmap in zip(plain[i], jitted[i], batched, strict=True):
            np.testing.assert_allclose(by_jit, want, atol=1e-4)
            np.testing.assert_allclose(by_vmap[i], want, atol=1e-4)
