"""Validation of configurations, derived sizes, and the presets' numbers."""

import dataclasses
import math
import typing

import jax
import jax.numpy as jnp
import pytest

from algd_jax.config import (
    _COUNT,
    AgentConfig,
    Config,
    HealthConfig,
    Hyper,
    LoopConfig,
    _number,
    validate,
    validate_sizes,
)
from algd_jax.envs import make, registry
from algd_jax.errors import ConfigError
from algd_jax.presets import PRESETS, preset
from algd_jax.runs.build import build
from tests.probes import DiscountedProbe


def changed(group, **fields):
    config = Config()
    if group == "config":
        return dataclasses.replace(config, **fields)
    replaced = dataclasses.replace(getattr(config, group), **fields)
    return dataclasses.replace(config, **{group: replaced})


def test_the_defaults_are_accepted():
    assert validate(Config()) is None


@pytest.mark.parametrize(
    ("group", "fields", "message"),
    [
        ("loop", {"num_envs": 0}, "num_envs: got 0, allowed is an integer >= 1"),
        ("loop", {"batch_size": -1}, "batch_size: got -1, allowed is an integer >= 1"),
        ("loop", {"warmup_steps": -1}, "warmup_steps: got -1, allowed is an integer >= 0"),
        ("agent", {"chain_steps": 0}, "chain_steps: got 0, allowed is an integer >= 1"),
        ("agent", {"cost_critics": 0}, "cost_critics: got 0, allowed is an integer >= 1"),
        ("hyper", {"cost_limit": -0.1}, "cost_limit: got -0.1, allowed is a finite number >= 0"),
        ("hyper", {"rho": 0.0}, "rho: got 0.0, allowed is a finite number > 0"),
        ("hyper", {"rho": math.nan}, "rho: got nan, allowed is a finite number > 0"),
        ("hyper", {"temperature": -1.0}, "temperature: got -1.0, allowed is a finite number > 0"),
        ("hyper", {"kappa": math.inf}, "kappa: got inf, allowed is a finite number >= 0"),
        ("hyper", {"discount": 1.0}, "discount: got 1.0, allowed is a number in [0, 1)"),
        ("hyper", {"polyak": 0.0}, "polyak: got 0.0, allowed is a number in (0, 1]"),
        (
            "hyper",
            {"sigma_min": 2.0},
            "sigma_min: got 2.0, allowed is a number below sigma_max = 1.0",
        ),
        ("hyper", {"sigma_min": 1.0}, "sigma_min: got 1.0, allowed is a number below sigma_max"),
        ("hyper", {"kappa": -0.1}, "kappa: got -0.1, allowed is a finite number >= 0"),
        ("hyper", {"initial_alpha": 0.0}, "initial_alpha: got 0.0, allowed is a finite number > 0"),
        ("hyper", {"rectifier": -1.0}, "rectifier: got -1.0, allowed is a finite number >= 0"),
        ("hyper", {"penalty_growth": 0.5}, "penalty_growth: got 0.5, allowed is a finite number"),
        ("hyper", {"penalty_period": 0.0}, "penalty_period: got 0.0, allowed is a finite number"),
        ("hyper", {"pid_integral": -1.0}, "pid_integral: got -1.0, allowed is a finite number"),
        ("hyper", {"ddpm_beta_max": 1.0}, "ddpm_beta_max: got 1.0, allowed is a number in (0, 1)"),
        (
            "hyper",
            {"ddpm_beta_min": 0.5},
            "ddpm_beta_min: got 0.5, allowed is a number up to ddpm_beta_max = 0.02",
        ),
        (
            "health",
            {"on_bad_number": "skip"},
            "on_bad_number: unknown name 'skip'; allowed: restore, skip-update, stop",
        ),
        ("health", {"lam_bound": 0.0}, "lam_bound: got 0.0, allowed is a finite number > 0"),
        ("health", {"value_bound": math.inf}, "value_bound: got inf, allowed is a finite number"),
        ("config", {"seed": -3}, "seed: got -3, allowed is an integer in [0, 2**32)"),
        ("config", {"seed": 2**32}, "seed: got 4294967296, allowed is an integer in [0, 2**32)"),
        ("loop", {"batch_size": 1.5}, "batch_size: got 1.5, allowed is an integer >= 1"),
        ("agent", {"chain_steps": "5"}, "chain_steps: got 5, allowed is an integer >= 1"),
        ("agent", {"cost_critics": True}, "cost_critics: got True, allowed is an integer >= 1"),
        ("agent", {"chain_gradient": 1}, "chain_gradient: got 1, allowed is True or False"),
        # As float32, in which the program computes, these are 1, 0 and infinity.
        ("hyper", {"cost_discount": 1 - 1e-9}, "cost_discount: got 0.999999999, allowed is a numb"),
        ("hyper", {"rho": 1e-50}, "rho: got 1e-50, allowed is a finite number > 0"),
        ("hyper", {"kappa": 1e39}, "kappa: got 1e+39, allowed is a finite number >= 0"),
        (
            "loop",
            {"env_steps": 2_147_483_600},
            "env_steps: got 2147483600, allowed is at most 2147483247 (steps are counted",
        ),
        (
            "loop",
            {"env_steps": 2_000_000_000},
            "updates_per_step: got 10, allowed is at most 2147483647 updates in the run (counted",
        ),
        (
            "loop",
            {"batch_size": 64, "replay_capacity": 32},
            "batch_size: got 64, allowed is at most replay_capacity = 32",
        ),
        (
            "loop",
            {"num_envs": 512, "replay_capacity": 256},
            "num_envs: got 512, allowed is at most half of replay_capacity = 256",
        ),
        (
            "loop",
            {"replay_capacity": 2**31},
            "replay_capacity: got 2147483648, allowed is at most 2147483647",
        ),
        (
            "loop",
            {"env_steps": 5_000},
            "env_steps: got 5000, allowed is more than the 5000 steps of warm-up",
        ),
        ("config", {"constraints": ()}, "constraints: got none, allowed is at least one name"),
        (
            "config",
            {"constraints": ("cost", "cost")},
            "constraints: got 'cost' twice, allowed is each name once",
        ),
        (
            "config",
            {"constraints": ("cost_a", "cost_b")},
            "cost_limit: got 10.0, allowed is 2 numbers, one each for cost_a, cost_b",
        ),
        ("hyper", {"cost_limit": (1.0, 2.0)}, "cost_limit: got (1.0, 2.0), allowed is one number"),
        (
            "hyper",
            {"cost_limit": (1.0,)},
            "cost_limit: got (1.0,), allowed is one number, for cost",
        ),
        ("hyper", {"cost_limit": (1.0, -2.0)}, "cost_limit: got -2.0, allowed is a finite number"),
        ("hyper", {"cost_limit": (math.inf, 1.0)}, "cost_limit: got inf, allowed is a finite"),
    ],
)
def test_one_line_names_field_value_and_what_is_allowed(group, fields, message):
    with pytest.raises(ConfigError) as raised:
        validate(changed(group, **fields))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("group", [AgentConfig, LoopConfig, HealthConfig, Hyper])
def test_every_number_carries_its_range(group):
    kinds = typing.get_type_hints(group)
    numbers = [name for name, kind in kinds.items() if kind not in (bool, str)]
    assert numbers == [
        each.name for each in dataclasses.fields(group) if "allowed" in each.metadata
    ]


@dataclasses.dataclass(frozen=True)
class MoreSizes(LoopConfig):
    more: int = _number(1, _COUNT)
    on: bool = True


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"more": 0}, "more: got 0, allowed is an integer >= 1"),
        ({"on": 1}, "on: got 1, allowed is True or False"),
    ],
)
def test_sizes_are_validated_however_their_annotations_are_written(fields, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        validate_sizes(MoreSizes(**fields))


def test_epochs_cover_the_steps_asked_for():
    config = changed("loop", env_steps=1_000, num_envs=3, warmup_steps=100, epoch_steps=100)
    steps = config.warmup_iterations + config.epochs * config.steps_per_epoch
    assert config.steps_per_epoch == 33
    assert 1_000 <= 3 * steps < 1_000 + 100


def test_hyper_becomes_float32_arrays():
    assert {leaf.dtype.name for leaf in jax.tree.leaves(Hyper().as_arrays())} == {"float32"}
    limits = Hyper(cost_limit=(1.0, 2.0)).as_arrays().cost_limit
    assert (limits.shape, limits.dtype.name) == ((2,), "float32")


def test_every_number_is_validated():
    for name in vars(Hyper()):
        with pytest.raises(ConfigError, match=f"{name}: got nan, allowed is a"):
            Hyper().replace(**{name: math.nan}).as_arrays()
        with pytest.raises(ConfigError, match=f"{name}: got nan, allowed is a"):
            Hyper().replace(**{name: jnp.array([getattr(Hyper(), name), math.nan])}).as_arrays()


def test_numbers_that_are_traced_pass():
    traced = jax.jit(lambda rho: Hyper(rho=rho).as_arrays().rho)
    assert traced(-1.0) == -1.0


def test_limits_have_the_names_of_the_constraints():
    assert Config().limits == {"cost": 10.0}
    assert Config().limited_parts == ()
    hyper = Hyper(cost_limit=(1.0, 2.0))
    config = dataclasses.replace(Config(), constraints=("cost_a", "cost"), hyper=hyper)
    validate(config)
    assert config.limits == {"cost_a": 1.0, "cost": 2.0}
    assert config.limited_parts == ("cost_a",)


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize("env", ["PointButton1", "PointButton2"])
def test_presets_are_valid_and_take_the_limit_of_the_environment(name, env):
    config = preset(name, env)
    validate(config)
    assert (config.preset, config.env) == (name, env)
    assert config.hyper.cost_limit == make(env).spec.cost_limit


def test_the_paper_preset_is_the_papers_regime():
    config = preset("paper", "PointButton1")
    assert config.agent == AgentConfig(
        chain_steps=5,
        score_samples=4,
        cost_critics=4,
        critic_width=256,
        critic_layers=2,
        actor_width=128,
        actor_layers=3,
        time_features=16,
        target_period=2,
    )
    assert config.hyper == Hyper(
        cost_limit=10.0,
        discount=0.99,
        cost_discount=0.99,
        actor_lr=3e-4,
        critic_lr=3e-4,
        multiplier_lr=3e-4,
        polyak=0.005,
        rho=1.0,
        temperature=1.0,
        kappa=1.0,
        initial_lam=0.6931,
        score_weight=0.1,
        sigma_min=0.01,
        sigma_max=1.0,
    )
    assert config.loop == LoopConfig(
        env_steps=105_000,
        num_envs=1,
        warmup_steps=5_000,
        updates_per_step=10,
        batch_size=256,
        replay_capacity=1_000_000,
        epoch_steps=400,
        eval_episodes=1,
        checkpoint_epochs=50,
        goal_terminates=True,
        timeout_terminates=False,
        termination_frees_cost=False,
    )
    assert config.epochs == 250


@pytest.mark.parametrize("env", ["PointButton1", "SafetyPointGoal1-v0", "SafetyHopperVelocity-v1"])
def test_quick_and_throughput_differ_in_sizes_only(env):
    small, large = preset("quick", env), preset("throughput", env)
    assert (small.agent, small.hyper) == (large.agent, large.hyper)
    differing = {
        name for name, value in vars(small.loop).items() if value != getattr(large.loop, name)
    }
    sizes = {"num_envs", "env_steps", "warmup_steps", "updates_per_step", "batch_size"}
    assert differing == sizes | {"eval_episodes", "epoch_steps"}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_know_an_environment_by_its_spec_alone(name):
    spec = registry.spec("SafetyPointGoal1-v0")
    config = preset(name, "SafetyPointGoal1-v0")
    of_another = PRESETS[name](dataclasses.replace(spec, name="another"))
    assert (config.loop, config.agent) == (of_another.loop, of_another.agent)
    assert config.hyper == of_another.hyper


@pytest.mark.parametrize(
    ("updates", "period", "policy_updates"),
    [(4, 4, 1), (8, 4, 2), (3, 4, 1), (6, 4, 1), (10, 4, 2), (10, 1, 10), (7, 2, 1)],
)
def test_policy_updates_divide_those_of_the_critics(updates, period, policy_updates):
    config = Config(
        loop=LoopConfig(updates_per_step=updates), agent=AgentConfig(actor_period=period)
    )
    assert config.policy_updates == policy_updates


def test_rings_of_the_recipe_are_no_shorter_than_an_episode():
    for name in ("quick", "throughput"):
        for env in ("PointButton1", "SafetyPointGoal1-v0"):
            loop = preset(name, env).loop
            length = registry.spec(env).episode_length
            assert loop.replay_capacity // loop.num_envs > length
            assert loop.spread_episodes


def test_the_limit_of_a_discounted_sum_is_the_critics_budget(monkeypatch):
    monkeypatch.setitem(registry._FACTORIES, "DiscountedProbe", DiscountedProbe)
    for name in PRESETS:
        config = preset(name, "DiscountedProbe")
        assert config.hyper.cost_discount == 0.5
        assert build(config).algorithm.budget(config.hyper) == config.hyper.cost_limit == 3.0
        assert config.loop.timeout_terminates == (name == "paper")
        assert config.loop.termination_frees_cost
        wrong = dataclasses.replace(config, hyper=config.hyper.replace(cost_discount=0.9))
        with pytest.raises(ConfigError, match=r"^cost_discount: got 0\.9, allowed is 0\.5, by whi"):
            build(wrong)


@pytest.mark.parametrize("name", ["quick", "throughput"])
def test_a_fallen_body_costs_nothing_more(name):
    assert preset(name, "SafetyHopperVelocity-v1").loop.termination_frees_cost


@pytest.mark.parametrize(
    ("env", "rectifier"),
    [("PointButton1", 10), ("Hopper", 10), ("Ant", 100), ("HalfCheetah", 1000), ("Humanoid", 1000)],
)
def test_cal_has_the_rectifier_of_its_authors(env, rectifier):
    assert preset("paper", env, "cal").hyper.rectifier == rectifier
    # Theirs are for costs in the environment's units, which the recipe does not use.
    assert preset("quick", env, "cal").hyper.rectifier == 10


@pytest.mark.parametrize(
    ("algorithm", "kappa", "members"),
    [
        ("algd", 1.0, 4),
        ("diffusion_lagrangian", 1.0, 4),
        ("cal", 0.5, 4),
        ("sac_lagrangian", 1.0, 1),
        ("sac", 1.0, 1),
    ],
)
def test_an_algorithm_brings_the_settings_of_its_authors(algorithm, kappa, members):
    config = preset("paper", "PointButton1", algorithm)
    assert config.algorithm == algorithm
    assert (config.hyper.kappa, config.agent.cost_critics) == (kappa, members)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError, match=r"preset: unknown name 'quik'; .* did you mean 'quick'"):
        preset("quik", "PointButton1")
    with pytest.raises(ConfigError, match=r"PointButon1.*'PointButton1'"):
        preset("quick", "PointButon1")
