"""What a report measures of a policy, on environments with known answers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.errors import ConfigError
from algd_jax.runs import memory
from algd_jax.runs.build import build
from algd_jax.runs.report.charts import calibration, calibration_words
from algd_jax.runs.report.evidence import calibrate, denoise, gather
from tests.envs.test_interface import precisions
from tests.runs.support import probes, tiny_config  # noqa: F401


def fresh(config):
    trainer, hyper = build(config), config.hyper.as_arrays()
    return trainer, trainer.algorithm.init(jax.random.key(0), hyper), hyper


def test_what_came_of_constant_gains_is_a_geometric_sum():
    trainer, agent, hyper = fresh(tiny_config("ProbeEnv"))  # Reward 1, cost 0.5, 8 steps.
    found, obs = jax.jit(lambda key: calibrate(trainer, agent, key, hyper, 3))(jax.random.key(1))
    steps = np.linspace(0, 4, 20).astype(int)
    expected = np.repeat([(1 - 0.99 ** (8 - t)) / (1 - 0.99) for t in steps], 3)
    np.testing.assert_allclose(found.realised_return, expected, rtol=1e-5)
    np.testing.assert_allclose(found.realised_cost, 0.5 * expected[:, None], rtol=1e-5)
    assert obs.shape == (2,)
    # The critics' side: the same functions at the same pairs, so a critic is told apart by state.
    assert (found.reward_value.shape, found.risk.shape) == ((60,), (60, 1))
    assert len(np.unique(found.reward_value)) > 10


def test_what_is_measured_is_not_rounded_as_accelerators_do():
    trainer, agent, hyper = fresh(tiny_config("ActionProbe"))
    key, highest = jax.random.key(1), {jax.lax.Precision.HIGHEST}
    program = jax.make_jaxpr(lambda agent: calibrate(trainer, agent, key, hyper, 2))(agent)
    assert precisions(program) == highest
    program = jax.make_jaxpr(lambda agent: denoise(trainer, agent, jnp.zeros(2), key, hyper, 3))
    assert precisions(program(agent)) == highest


def test_episodes_that_do_not_fit_in_memory_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 100)
    with pytest.raises(ConfigError, match=r"episodes: got 3, whose states need .* are available"):
        gather(*fresh(tiny_config("ProbeEnv"))[:2], jax.random.key(1), 3)


def test_every_constraint_is_calibrated():
    config = dataclasses.replace(
        tiny_config("PartsProbe", cost_limit=(1.0, 2.0)), constraints=("cost_low", "cost_high")
    )
    trainer, agent, hyper = fresh(config)
    found, _ = jax.jit(lambda key: calibrate(trainer, agent, key, hyper, 2))(jax.random.key(1))
    assert found.risk.shape == found.realised_cost.shape == (40, 2)
    # In each step the one costs 0.25, the other 1.
    np.testing.assert_allclose(found.realised_cost[:, 1], 4 * found.realised_cost[:, 0], rtol=1e-5)
    assert not np.any(found.risk[:, 0] == found.risk[:, 1])
    names = [trace.name for trace in calibration(found, config.constraints).data if trace.name]
    assert names == ["return", "cost_low", "cost_high"]
    assert "cost_high: " in calibration_words(found, config.constraints)


@pytest.mark.parametrize("diffusion", ["ve", "ddpm"])
def test_denoising_begins_with_noise_and_ends_with_actions(diffusion):
    config = tiny_config()
    sizes = dataclasses.replace(config.agent, diffusion=diffusion, chain_steps=3)
    trainer, agent, hyper = fresh(dataclasses.replace(config, agent=sizes))
    obs = jnp.array([0.3, -0.2])
    found = denoise(trainer, agent, obs, jax.random.key(2), hyper, 5)
    assert found.actions.shape == (4, 5, 2)
    keys = jax.random.split(jax.random.key(2), 5)
    drawn = jax.vmap(lambda key: trainer.algorithm.act(agent, obs, key, hyper))(keys)
    np.testing.assert_allclose(found.actions[-1], drawn, rtol=1e-5, atol=1e-6)
    low, high = np.array([-1.0, -0.5]), np.array([1.0, 1.5])
    assert np.all((found.actions >= low) & (found.actions <= high))
    np.testing.assert_allclose(found.axes[:, [0, -1]], np.stack([low, high], axis=1), atol=1e-6)
    assert np.all(np.isfinite(found.energy)) and np.all(np.isfinite(found.excess))  # noqa: PT018


def test_a_policy_without_a_chain_has_no_denoising():
    trainer, agent, _ = fresh(dataclasses.replace(tiny_config(), algorithm="sac"))
    evidence = gather(trainer, agent, jax.random.key(0), episodes=2)
    assert evidence.denoising is None
    assert evidence.calibration.risk.shape == (40, 1)
