"""Agreement with the paper's public PyTorch reference, to float32 rounding.

``tests/data/reference/algd_<form>.npz`` holds weights, inputs, noise and outputs recorded from it,
for both forms of diffusion.
"""

from __future__ import annotations

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.agents.actors import Draw
from algd_jax.agents.algorithms import make_algorithm
from algd_jax.agents.critics import CriticParams, pessimistic, td_targets
from algd_jax.agents.diffusion_actor import DiffusionNoise
from algd_jax.agents.state import Pressure
from algd_jax.config import AgentConfig, Hyper
from algd_jax.diffusion.chain import ChainNoise
from algd_jax.diffusion.score_target import score_target
from algd_jax.lagrangian.multiplier import multiplier_loss
from algd_jax.types import Transition

DATA = pathlib.Path(__file__).parents[1] / "data" / "reference"
HORIZON = 400


@pytest.fixture(scope="module", params=["ve", "ddpm"])
def form(request):
    return request.param


@pytest.fixture(scope="module")
def reference(form):
    with np.load(DATA / f"algd_{form}.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def parts(reference, form):
    sizes = AgentConfig(
        diffusion=form,
        chain_steps=5,
        score_samples=4,
        cost_critics=4,
        critic_width=32,
        actor_width=16,
        time_features=16,
    )
    low, high = (tuple(reference[name].tolist()) for name in ("action_low", "action_high"))
    return make_algorithm("algd", 11, low, high, HORIZON, sizes)


@pytest.fixture(scope="module")
def hyper(reference):
    return Hyper(
        cost_limit=float(reference["cost_limit"]),
        discount=float(reference["discount"]),
        cost_discount=float(reference["cost_discount"]),
        rho=float(reference["rho"]),
        temperature=float(reference["temperature"]),
    )


def dense(weight, bias):
    """A torch linear layer as a flax one."""
    return {"kernel": jnp.asarray(weight).swapaxes(-1, -2), "bias": jnp.asarray(bias)}


def critic_params(reference, suffix=""):
    """CriticParams from ``critic…`` and ``cost_critic…``."""

    def twin(numbers):
        names = ("first", "hidden_0", "output")
        prefix = f"critic{suffix}/linear"
        return {
            name: dense(reference[f"{prefix}{i}.weight"], reference[f"{prefix}{i}.bias"])
            for name, i in zip(names, numbers, strict=True)
        }

    def ensemble_layer(i):
        prefix = f"cost_critic{suffix}/nn{i}"
        return {
            "kernel": jnp.asarray(reference[f"{prefix}.weight"]),
            "bias": jnp.asarray(reference[f"{prefix}.bias"]),
        }

    return CriticParams(
        reward=jax.tree.map(lambda a, b: jnp.stack([a, b]), twin((1, 2, 3)), twin((4, 5, 6))),
        cost={
            "first": ensemble_layer(1),
            "hidden_0": ensemble_layer(2),
            "output": ensemble_layer(3),
        },
    )


def actor_params(reference, prefix, form):
    """Score-model parameters (or gradients) from ``<prefix>mlp.0.weight`` and so on."""
    names = {"first": "mlp.0", "hidden_0": "mlp.2", "hidden_1": "mlp.4", "output": "score_head"}
    if form == "ddpm":
        names["noise_output"] = "eps_head"
    params = {
        ours: dense(reference[f"{prefix}{theirs}.weight"], reference[f"{prefix}{theirs}.bias"])
        for ours, theirs in names.items()
    }
    embedding = jnp.asarray(reference[f"{prefix}time_embedding.weight"])
    return params | {"time_embedding": {"embedding": embedding}}


@pytest.fixture(scope="module")
def critics(reference):
    return critic_params(reference)


@pytest.fixture(scope="module")
def actor(reference, form):
    return actor_params(reference, "policy/", form)


def batch_chain_noise(reference, prefix):
    return ChainNoise(
        initial=jnp.asarray(reference[f"{prefix}initial_noise"]),
        steps=jnp.asarray(reference[f"{prefix}step_noise"]).swapaxes(0, 1),
    )


def assert_close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-5, atol=2e-6)


def energy_of(parts, critics, hyper, reference):
    return lambda obs: parts.energies(critics, obs, pressure(reference), hyper)


def pressure(reference):
    return Pressure(*(float(reference[name]) for name in ("lam", "rho", "cost_budget")))


def test_budget(parts, hyper, reference):
    assert_close(parts.budget(hyper), reference["cost_budget"])


def test_values_and_risk(parts, critics, hyper, reference):
    values = jax.vmap(lambda o, a: parts.critics.at_state(critics, o)(a))(
        reference["obs"], reference["action"]
    )
    assert_close(values.reward.T, reference["reward_values"])
    assert_close(values.cost.T, reference["cost_values"])
    _, risks = jax.vmap(lambda v: pessimistic(v, hyper.kappa))(values)
    assert_close(risks, reference["risk"])


def test_energy_and_its_gradient(parts, critics, hyper, reference):
    energy_at = energy_of(parts, critics, hyper, reference)
    energy, gradient = jax.vmap(lambda o, a: jax.value_and_grad(energy_at(o))(a))(
        reference["obs"], reference["action"]
    )
    assert_close(energy, reference["energy"])
    assert_close(gradient, reference["energy_action_gradient"])


def test_schedule(parts, hyper, reference, form):
    schedule = parts.actor.schedule(hyper)
    if form == "ve":
        assert_close(schedule.sigmas, reference["policy/ve_sigmas"])
        assert_close(schedule.deltas, reference["policy/ve_delta_sigma2"])
    else:
        assert_close(schedule.sigmas, reference["policy/sqrt_one_minus_alphas_cumprod"])
        assert_close(schedule.signals, reference["policy/sqrt_alphas_cumprod"])


def test_network_heads(parts, actor, reference, form):
    def heads(obs, inputs, k):
        return parts.actor.network.apply({"params": actor}, obs, inputs, k, method="heads")

    at_actions = jax.vmap(heads)(reference["obs"], reference["action"], reference["k"])
    assert_close(at_actions[0], reference["score"])
    if form == "ddpm":
        at_latents = jax.vmap(heads)(reference["obs"], reference["x_in"], reference["k"])
        assert_close(at_latents[1], reference["noise_prediction"])


def test_chain(parts, actor, hyper, reference):
    squash = parts.actor.squash

    def chain(obs, noise):
        return parts.actor.latents(actor, obs, noise, hyper)

    noise = batch_chain_noise(reference, "chain_")
    latents = jax.vmap(chain)(reference["obs"], noise)
    assert_close(latents.swapaxes(0, 1)[::-1], reference["chain_latents"])
    assert_close(jax.vmap(squash)(latents[:, 0]), reference["chain_action"])


def test_deterministic_action(parts, actor, hyper, reference, form):
    if form == "ddpm":
        pytest.skip("the reference's own adds noise")
    actions = jax.vmap(lambda o: parts.actor.act_deterministic(actor, o, hyper))(reference["obs"])
    assert_close(actions, reference["deterministic_action"])


def test_score_target(parts, critics, hyper, reference):
    energy_at = energy_of(parts, critics, hyper, reference)
    sigmas = parts.actor.schedule(hyper).sigmas

    def target(obs, action, k, noise):
        return score_target(energy_at(obs), action, sigmas[k], noise, hyper.temperature)

    targets = jax.vmap(target)(
        reference["obs"], reference["action"], reference["k"], reference["target_noise"]
    )
    assert_close(targets, reference["score_target"])


def test_critic_targets_and_losses(parts, critics, hyper, reference):
    batch = Transition(
        obs=reference["obs"],
        action=reference["action"],
        reward=reference["critics/reward"],
        cost=reference["critics/cost"],
        next_obs=reference["critics/next_obs"],
        terminated=reference["critics/terminated"],
        cost_terminated=jnp.zeros_like(reference["critics/terminated"]),
    )
    target_critics = critic_params(reference, "_target")
    next_actions = reference["critics/next_action"]

    def targets(transition, next_action):
        next_values = parts.critics.at_state(target_critics, transition.next_obs)(next_action)
        return td_targets(transition, next_values, hyper.discount, hyper.cost_discount)

    expected = jax.vmap(targets)(batch, next_actions)
    assert_close(expected.reward[:, 0], reference["critics/reward_target"])
    assert_close(expected.reward[:, 1], reference["critics/reward_target"])
    assert_close(expected.cost.T, reference["critics/cost_target"])

    loss, (reward_loss, cost_loss) = parts.critic_loss(
        critics, target_critics, batch, Draw(next_actions, jnp.zeros(32)), hyper
    )
    assert_close(reward_loss, reference["critics/reward_loss"])
    assert_close(cost_loss, reference["critics/cost_loss"])
    assert_close(loss, reference["critics/reward_loss"] + reference["critics/cost_loss"])


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
def test_actor_loss_and_gradients(parts, actor, critics, hyper, reference, form, jit):
    noise = DiffusionNoise(
        chain=batch_chain_noise(reference, "actor/"),
        k=jnp.asarray(reference["k"]),
        target=jnp.asarray(reference["actor/target_noise"]),
    )

    def loss(params):
        weights = pressure(reference)
        return parts.actor_loss(params, critics, weights, reference["obs"], noise, hyper)

    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    (total, (energy, score_loss)), gradients = (jax.jit(value_and_grad) if jit else value_and_grad)(
        actor
    )
    assert_close(energy, reference["actor/energy_mean"])
    assert_close(score_loss, reference["actor/score_loss"])
    assert_close(total, reference["actor/loss"])
    expected = actor_params(reference, "actor/grad/", form)
    jax.tree.map(assert_close, gradients, expected)


def test_multiplier_gradient(parts, critics, hyper, reference):
    log_lam = jnp.log(float(reference["lam"]))
    violation = reference["risk"].mean() - parts.budget(hyper)
    gradient = jax.grad(multiplier_loss)(log_lam, violation)
    assert_close(gradient, reference["multiplier/gradient_log_lam"])
