"""The pseudo-lidar against a loop in float64 that follows the original step by step."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.envs.navigation.sensors import LIDAR_BINS, flatten, pseudo_lidar

RANGE = 3.0


def reference(targets: np.ndarray) -> np.ndarray:
    """Fills bins object by object: own bin, then the two neighbours by the share of the angle."""
    bins = np.zeros(LIDAR_BINS)
    width = 2 * math.pi / LIDAR_BINS
    for x, y in np.asarray(targets, np.float64):
        strength = max(0.0, RANGE - math.hypot(x, y)) / RANGE
        angle = math.atan2(y, x) % (2 * math.pi)
        k = min(int(angle / width), LIDAR_BINS - 1)
        share = (angle - k * width) / width
        fills = ((k, 1.0), ((k + 1) % LIDAR_BINS, share), ((k - 1) % LIDAR_BINS, 1.0 - share))
        for i, factor in fills:
            bins[i] = max(bins[i], factor * strength)
    return bins


def lidar(targets: np.ndarray) -> np.ndarray:
    return np.asarray(pseudo_lidar(jnp.asarray(targets, jnp.float32), RANGE).max(axis=0))


@pytest.mark.parametrize("seed", range(5))
def test_random_objects(seed: int) -> None:
    targets = np.random.default_rng(seed).uniform(-3, 3, (7, 2))
    np.testing.assert_allclose(lidar(targets), reference(targets), atol=1e-5)


def test_object_straight_ahead_fills_the_first_and_the_last_bin() -> None:
    wanted = np.zeros(LIDAR_BINS)
    wanted[[0, 15]] = 2 / 3
    np.testing.assert_allclose(lidar(np.array([[1.0, 0.0]])), wanted, atol=1e-6)


def test_object_to_the_left() -> None:
    wanted = np.zeros(LIDAR_BINS)
    wanted[[3, 4]] = 2 / 3
    np.testing.assert_allclose(lidar(np.array([[0.0, 1.0]])), wanted, atol=1e-6)


@pytest.mark.parametrize("k", range(LIDAR_BINS))
def test_object_in_the_middle_of_a_bin(k: int) -> None:
    angle = (k + 0.5) * 2 * np.pi / LIDAR_BINS
    wanted = np.zeros(LIDAR_BINS)
    wanted[[(k - 1) % 16, k, (k + 1) % 16]] = 1 / 3, 2 / 3, 1 / 3
    got = lidar(np.array([[np.cos(angle), np.sin(angle)]]))
    np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("k", range(LIDAR_BINS))
@pytest.mark.parametrize("nudge", [-1e-6, 0.0, 1e-6])
def test_borders_of_bins(k: int, nudge: float) -> None:
    angle = k * 2 * np.pi / LIDAR_BINS + nudge
    target = np.array([[0.5 * np.cos(angle), 0.5 * np.sin(angle)]])
    np.testing.assert_allclose(lidar(target), reference(target), atol=1e-5)


def test_angle_that_rounds_to_a_full_turn() -> None:
    # In float32 this angle modulo 2 pi is 2 pi, one bin too many in the original's formula.
    target = np.array([[1.0, -1e-9]])
    wanted = np.zeros(LIDAR_BINS)
    wanted[[0, 15]] = 2 / 3
    np.testing.assert_allclose(lidar(target), wanted, atol=1e-6)


def test_out_of_range_and_own_place() -> None:
    np.testing.assert_array_equal(lidar(np.array([[3.0, 0.1], [-9.0, 4.0]])), 0.0)
    assert lidar(np.array([[0.0, 0.0]])).max() == 1.0


@pytest.mark.parametrize(
    ("alphabetical", "wanted"),
    [(True, [0, 0, 0, 5, 5, 1, 1, 1]), (False, [1, 1, 1, 0, 0, 0, 5, 5])],
)
def test_components_come_sorted_or_as_they_are(alphabetical: bool, wanted: list[int]) -> None:
    parts = {"gyro": jnp.ones(3), "accelerometer": jnp.zeros(3), "goal_lidar": jnp.full(2, 5.0)}
    np.testing.assert_array_equal(flatten(parts, alphabetical), wanted)
