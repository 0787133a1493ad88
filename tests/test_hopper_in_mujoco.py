"""Episodes of Gymnasium's Hopper as the comparison sums them."""

import gymnasium
import numpy as np
import pytest

from experiments import hopper_in_mujoco


class Walk(gymnasium.Env):
    """Ends after three steps; earns its action, moves backwards at twice the seed."""

    def reset(self, *, seed=None, options=None):
        self.seed, self.steps = seed, 0
        return np.zeros(11), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(11), action[0], self.steps == 3, False, {"x_velocity": -2.0 * self.seed}


def test_returns_are_summed_and_speeds_discounted():
    found = hopper_in_mujoco.play(Walk(), lambda obs: np.full(3, 0.5), seed=5)
    assert found == pytest.approx((1.5, 10 * (1 + 0.99 + 0.99**2), 3))
