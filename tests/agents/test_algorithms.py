"""The algorithm record on probe problems with known reward values and known cost values."""

import dataclasses
import typing
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.agents.algorithms import ALGORITHMS, configured, make_algorithm
from algd_jax.agents.critics import pessimistic
from algd_jax.agents.state import Pressure
from algd_jax.config import AgentConfig, Config, Hyper
from algd_jax.errors import ConfigError
from algd_jax.lagrangian.multiplier import multiplier_loss
from algd_jax.types import Transition
from tests.compiling import OPTIMISED

OBS_SIZE, ACTION_SIZE, HORIZON = 3, 2, 50
LOW, HIGH = (-1.0, -0.5), (1.0, 1.5)
SIZES = AgentConfig(chain_steps=3, critic_width=32, actor_width=32, actor_layers=2)
# Next to no entropy bonus, so that values are those of the reward alone.
HYPER = Hyper(
    discount=0.8,
    cost_discount=0.6,
    critic_lr=3e-3,
    actor_lr=3e-3,
    polyak=0.05,
    initial_alpha=1e-6,
)
CONSTRAINED = [name for name in ALGORITHMS if name != "sac"]
UPDATES = 1_500


class Probe(NamedTuple):
    """A problem with known answers, in numbers, so that one compiled program serves them all.

    reward = reward + slope a_0; cost = cost + steepness max(a_0, 0).
    """

    reward: float = 0.0
    slope: float = 0.0
    cost: float = 0.0
    steepness: float = 0.0
    terminated: float = 0.0
    cost_terminated: float = 0.0


@cache
def make(name="algd", **sizes):
    """The same functions each time, so that what they compile to is shared too."""
    agent = configured(Config(agent=SIZES), name).agent if name in ALGORITHMS else SIZES
    agent = dataclasses.replace(agent, **sizes)
    return make_algorithm(name, OBS_SIZE, LOW, HIGH, HORIZON, agent)


def draw_batch(key, probe, size=64):
    """Transitions with random observations and actions."""
    obs_key, action_key, next_key = jax.random.split(key, 3)
    low, high = jnp.array(LOW), jnp.array(HIGH)
    action = jax.random.uniform(action_key, (size, ACTION_SIZE), minval=low, maxval=high)
    return Transition(
        obs=jax.random.uniform(obs_key, (size, OBS_SIZE), minval=-1.0),
        action=action,
        reward=probe.reward + probe.slope * action[:, 0],
        cost=probe.cost + probe.steepness * jnp.maximum(action[:, 0], 0.0),
        next_obs=jax.random.uniform(next_key, (size, OBS_SIZE), minval=-1.0),
        terminated=jnp.full(size, probe.terminated),
        cost_terminated=jnp.full(size, probe.cost_terminated),
    )


@cache
def compiled_training(name):
    """(key, probe, hyper) -> (state, metrics of all updates)."""
    algorithm = make(name)

    def train(key, probe, hyper):
        init_key, loop_key = jax.random.split(key)

        def update(state, key):
            batch_key, update_key = jax.random.split(key)
            return algorithm.update(state, draw_batch(batch_key, probe), update_key, hyper)

        state = algorithm.init(init_key, hyper)
        return jax.lax.scan(update, state, jax.random.split(loop_key, UPDATES))

    return jax.jit(train, compiler_options=OPTIMISED)


def train(name, probe, hyper=HYPER):
    probe = jax.tree.map(jnp.float32, probe)
    return compiled_training(name)(jax.random.key(0), probe, hyper.as_arrays())


@pytest.mark.parametrize(
    ("probe", "reward_value", "cost_value"),
    [
        (Probe(reward=1.0, cost=0.5), 1 / (1 - 0.8), 0.5 / (1 - 0.6)),
        # At a goal the cost critics look on.
        (Probe(reward=1.0, cost=0.5, terminated=1.0), 1.0, 0.5 / (1 - 0.6)),
        (Probe(reward=1.0, cost=0.5, terminated=1.0, cost_terminated=1.0), 1.0, 0.5),
    ],
    ids=["endless", "goal", "death"],
)
@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_constant_gains_have_known_values(name, probe, reward_value, cost_value):
    state, _ = train(name, probe)
    batch, critics = draw_batch(jax.random.key(99), probe), make(name).critics
    values = jax.vmap(lambda obs, action: critics.at_state(state.critics, obs)(action))(
        batch.obs, batch.action
    )
    np.testing.assert_allclose(values.reward.mean(axis=0), [reward_value] * 2, rtol=0.05)
    costs = values.cost.mean(axis=0)
    np.testing.assert_allclose(costs, [cost_value] * critics.ensemble_size, rtol=0.05)


def mean_first_action(name, state):
    obs = jax.random.uniform(jax.random.key(7), (32, OBS_SIZE), minval=-1.0)
    algorithm, hyper = make(name), HYPER.as_arrays()
    actions = jax.vmap(lambda o: algorithm.act_deterministic(state, o, hyper))(obs)
    return actions[:, 0].mean()


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_the_policy_seeks_reward_where_cost_allows_it(name):
    """Reward wants a large first action component; free of cost it is taken."""
    state, _ = train(name, Probe(slope=1.0))
    assert mean_first_action(name, state) > 0.8


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_cost_holds_the_policy_back(name):
    """The same reward, but its positive side costs five times what it pays, with no budget."""
    state, _ = train(name, Probe(slope=1.0, steepness=5.0), HYPER.replace(cost_limit=0.0))
    action = mean_first_action(name, state)
    assert action < 0.3 if name in CONSTRAINED else action > 0.8


def test_unconstrained_sac_has_no_multiplier():
    _, metrics = train("sac", Probe(cost=1.0), HYPER.replace(cost_limit=0.0))
    assert not metrics.lam.any()
    np.testing.assert_allclose(metrics.violation[-1], 1 / (1 - 0.6), rtol=0.1)


@pytest.mark.parametrize("name", CONSTRAINED)
@pytest.mark.parametrize(("limit", "sign"), [(1_000.0, -1), (0.0, 1)], ids=["slack", "violation"])
def test_lam_falls_with_slack_and_rises_with_violation(name, limit, sign):
    _, metrics = train(name, Probe(cost=1.0), HYPER.replace(cost_limit=limit))
    assert np.sign(metrics.lam[-1] - metrics.lam[0]) == sign


def make_each_policy():
    return [make("algd"), make("algd", diffusion="ddpm"), make("cal")]


@pytest.mark.parametrize("algorithm", make_each_policy(), ids=["ve", "ddpm", "gaussian"])
def test_actions_stay_in_the_box_and_differ_between_keys(algorithm):
    hyper = HYPER.as_arrays()
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    keys = jax.random.split(jax.random.key(1), 200)
    act = jax.jit(algorithm.act)
    actions = jax.vmap(lambda key: act(state, jnp.zeros(OBS_SIZE), key, hyper))(keys)
    assert (actions >= jnp.array([-1.0, -0.5])).all()
    assert (actions <= jnp.array([1.0, 1.5])).all()
    assert (actions.std(axis=0) > 0.1).all()
    again = act(state, jnp.zeros(OBS_SIZE), keys[0], hyper)
    np.testing.assert_allclose(again, actions[0], rtol=1e-4, atol=1e-5)


def test_targets_move_at_every_second_update_only():
    algorithm, hyper = make(), HYPER.as_arrays()
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    update = jax.jit(algorithm.update)
    batch = draw_batch(jax.random.key(1), Probe(1.0, cost=1.0))
    first, _ = update(state, batch, jax.random.key(2), hyper)
    second, _ = update(first, batch, jax.random.key(3), hyper)
    assert trees_equal(first.target_critics, state.target_critics)
    assert not trees_equal(second.target_critics, state.target_critics)
    expected = jax.tree.map(
        lambda old, new: old + hyper.polyak * (new - old), state.target_critics, second.critics
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        second.target_critics,
        expected,
    )


def test_actor_and_multiplier_learn_from_the_critics_just_updated():
    """The order of one update, by Adam's first moments: 0.1 of the gradient after one step."""
    algorithm, hyper = make(), HYPER.replace(critic_lr=1e-1).as_arrays()
    state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
    batch, key = draw_batch(jax.random.key(1), Probe(1.0, cost=1.0)), jax.random.key(2)
    updated, _ = jax.jit(algorithm.update)(state, batch, key, hyper)

    def actor_gradient(critics):
        noise_keys = jax.random.split(jax.random.split(key)[1], batch.reward.shape[0])
        noise = jax.vmap(algorithm.actor.draw_noise)(noise_keys)
        # The multiplier's own step comes later.
        lam = algorithm.multiplier(hyper).lam(state.multiplier)
        pressure = Pressure(lam, hyper.rho, algorithm.budget(hyper))

        def loss(actor):
            return algorithm.actor_loss(actor, critics, pressure, batch.obs, noise, hyper)[0]

        return jax.jit(jax.grad(loss))(state.actor)

    def multiplier_gradient(critics):
        values = jax.vmap(lambda o, a: algorithm.critics.at_state(critics, o)(a))(
            batch.obs, batch.action
        )
        risks = jax.vmap(lambda value: pessimistic(value, hyper.kappa)[1])(values)
        violation = risks.mean() - algorithm.budget(hyper)
        return jax.grad(multiplier_loss)(state.multiplier.log_lam, violation)

    for optimizer, gradient in (
        (updated.actor_optimizer, actor_gradient),
        (updated.multiplier.adam, multiplier_gradient),
    ):
        moments = jax.tree.map(lambda g: 0.1 * g, gradient(updated.critics))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
            optimizer.mu,
            moments,
        )
        # The test can tell: with the critics before their update it is another gradient.
        stale = jax.tree.map(lambda g: 0.1 * g, gradient(state.critics))
        differences = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), moments, stale)
        assert max(jax.tree.leaves(differences)) > 1e-4


@pytest.mark.parametrize(
    ("low", "high"), [((1.0,), (1.0,)), ((-jnp.inf,), (1.0,)), ((), ()), ((0.0,), ())]
)
def test_an_action_box_that_is_none_is_refused(low, high):
    with pytest.raises(ConfigError, match="action_low, action_high: got"):
        make_algorithm("algd", OBS_SIZE, low, high, HORIZON, SIZES)


@pytest.mark.parametrize("name", ["algd", "cal"])
@pytest.mark.parametrize("field", ["diffusion", "multiplier", "penalty", "compute"])
def test_unknown_parts_are_one_clear_line(name, field):
    with pytest.raises(ConfigError, match=f"{field}: unknown name 'none'; allowed: "):
        make(name, **{field: "none"})


@pytest.mark.parametrize("name", ["algd", pytest.param("sac", marks=pytest.mark.slow)])
def test_bfloat16_computes_roughly_the_same_and_keeps_float32_state(name):
    batch, hyper = draw_batch(jax.random.key(1), Probe(slope=1.0, cost=0.5)), HYPER.as_arrays()
    outcomes = {}
    for compute in ("float32", "bfloat16"):
        algorithm = make(name, compute=compute)
        state = jax.jit(algorithm.init)(jax.random.key(0), hyper)
        state, metrics = jax.jit(algorithm.update)(state, batch, jax.random.key(2), hyper)
        assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves((state, metrics)))
        outcomes[compute] = metrics
    exact, rounded = outcomes["float32"], outcomes["bfloat16"]
    for field in ("reward_loss", "cost_loss", "energy", "risk", "critic_gradient"):
        actual, expected = getattr(rounded, field), getattr(exact, field)
        np.testing.assert_allclose(actual, expected, rtol=0.03, atol=0.01)
    assert rounded.reward_loss != exact.reward_loss


def test_bfloat16_reaches_the_matrix_products():
    algorithm, hyper = make(compute="bfloat16"), HYPER.as_arrays()
    batch = draw_batch(jax.random.key(1), Probe())
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hyper)
    program = jax.jit(algorithm.update).lower(state, batch, jax.random.key(2), hyper).as_text()
    products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    # In float32 remain the look-up of the latent with index k, and its derivative.
    narrow = [line for line in products if "bf16" in line]
    assert len(products) - len(narrow) <= 2


@pytest.mark.parametrize(
    "field",
    [name for name, kind in typing.get_type_hints(AgentConfig).items() if kind is int],
)
def test_a_size_that_is_none_is_refused(field):
    with pytest.raises(ConfigError, match=f"{field}: got 0, allowed is an integer >= 1"):
        make(**{field: 0})


@pytest.mark.parametrize("field", ["obs_size", "horizon", "constraints"])
def test_a_count_that_is_none_is_refused(field):
    counts = {"obs_size": OBS_SIZE, "horizon": HORIZON, "constraints": 1, field: 0}
    with pytest.raises(ConfigError, match=f"{field}: got 0, allowed is an integer >= 1"):
        make_algorithm("algd", action_low=LOW, action_high=HIGH, **counts)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"rho": 0.0}, "rho: got 0.0, allowed is a finite number > 0"),
        ({"temperature": -1.0}, "temperature: got -1.0, allowed is a finite number > 0"),
        ({"kappa": -0.5}, "kappa: got -0.5, allowed is a finite number >= 0"),
        ({"sigma_min": 1.0}, "sigma_min: got 1.0, allowed is a number below sigma_max = 1.0"),
        ({"cost_limit": -1.0}, "cost_limit: got -1.0, allowed is a finite number >= 0"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_made(numbers, message):
    hyper = HYPER.replace(**numbers)
    for refuse in (hyper.as_arrays, lambda: make().init(jax.random.key(0), hyper)):
        with pytest.raises(ConfigError) as error:
            refuse()
        assert str(error.value) == message


def test_limits_of_the_wrong_length_are_refused():
    with pytest.raises(ConfigError, match=r"cost_limit: got an array of shape \(2,\), allowed is"):
        make().init(jax.random.key(0), HYPER.replace(cost_limit=jnp.ones(2)).as_arrays())


def test_several_constraints_are_learnt_and_priced_apart():
    """Two costs of known values, one far under its limit, one above."""
    sizes = configured(Config(agent=SIZES), "sac_lagrangian").agent
    algorithm = make_algorithm("sac_lagrangian", OBS_SIZE, LOW, HIGH, HORIZON, sizes, constraints=2)
    hyper = HYPER.replace(cost_limit=jnp.array([1_000.0, 0.0])).as_arrays()

    def update(state, key):
        batch = draw_batch(key, Probe(reward=1.0))
        batch = batch.replace(cost=jnp.broadcast_to(jnp.array([0.5, 1.0]), (64, 2)))
        return algorithm.update(state, batch, key, hyper)

    @partial(jax.jit, compiler_options=OPTIMISED)
    def train():
        keys = jax.random.split(jax.random.key(1), UPDATES)
        return jax.lax.scan(update, algorithm.init(jax.random.key(0), hyper), keys)

    _, metrics = train()
    np.testing.assert_allclose(metrics.risk[-1], [0.5 / 0.4, 1.0 / 0.4], rtol=0.05)
    assert metrics.lam[-1, 0] < 0.6931 < metrics.lam[-1, 1]


def test_unknown_algorithm_is_one_clear_line():
    with pytest.raises(ConfigError, match=r"algorithm: unknown name 'algdd'; allowed: .*algd"):
        make("algdd")


def trees_equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))
