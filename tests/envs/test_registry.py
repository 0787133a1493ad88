"""Names and options, and how `make` refuses the wrong ones."""

import dataclasses
import re
from typing import Any

import jax
import pytest

from algd_jax import envs
from algd_jax.envs import registry
from algd_jax.errors import ConfigError
from tests.probes import ActionProbe, PartsProbe, ProbeEnv


def test_every_listed_environment_can_be_made() -> None:
    assert "PointButton1" in envs.list_envs()
    for name in envs.list_envs():
        assert envs.make(name).spec.name == name


POINT_SIZES = {"Goal1": 60, "Goal2": 60, "Button1": 76, "Button2": 76, "Push1": 76, "Push2": 76}
POINT_SIZES |= {"Circle1": 28, "Circle2": 28}
ACCELERATED_SIZES = {
    "PointButton1": 76,
    "PointButton2": 60,
    "PointPush1": 76,
    "CarButton1": 88,
    "CarButton2": 72,
}


@pytest.mark.parametrize("name", sorted(ACCELERATED_SIZES))
def test_specification_of_the_accelerated_tasks(name: str) -> None:
    env = envs.make(name)
    assert env.observation_size == ACCELERATED_SIZES[name]
    assert (env.action_size, env.spec.action_low, env.spec.action_high) == (2, (-1, -1), (1, 1))
    assert (env.spec.episode_length, env.spec.cost_limit) == (400, 10.0)
    assert env.dt == pytest.approx(0.06 if name.startswith("Point") else 0.1)
    assert env.backend == "mjx"
    with pytest.raises(dataclasses.FrozenInstanceError):
        env.spec.cost_limit = 25.0  # type: ignore[misc]


@pytest.mark.parametrize("robot", ["Point", "Car"])
@pytest.mark.parametrize("task", sorted(POINT_SIZES))
def test_specification_of_the_community_tasks(robot: str, task: str) -> None:
    env = envs.make(f"Safety{robot}{task}-v0")
    assert env.observation_size == POINT_SIZES[task] + (12 if robot == "Car" else 0)
    assert env.spec.episode_length == (500 if task.startswith("Circle") else 1000)
    assert (env.spec.cost_limit, env.spec.cost_discount) == (25.0, 1.0)
    assert env.dt == pytest.approx(0.02 if robot == "Point" else 0.04)


@pytest.mark.parametrize(
    ("name", "charged"),
    [
        ("PointButton2", {"hazards", "buttons"}),
        ("PointPush1", {"hazards", "pillars"}),
        ("SafetyPointGoal1-v0", {"hazards"}),
        ("SafetyPointGoal2-v0", {"hazards", "vases_contact", "vases_velocity"}),
        ("SafetyCarButton2-v0", {"hazards", "buttons", "gremlins"}),
        ("SafetyPointPush1-v0", {"hazards"}),
        ("SafetyPointPush2-v0", {"hazards", "pillars"}),
        ("SafetyPointCircle1-v0", {"out_of_boundary"}),
    ],
)
def test_costs_are_named_and_in_the_metrics(name: str, charged: set[str]) -> None:
    env = envs.make(name)
    names = {f"cost_{part}" for part in charged}
    assert set(env.spec.cost_names) == names
    state = jax.eval_shape(env.reset, jax.random.key(0))
    assert names | {"cost", "goal_met"} == set(state.metrics)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        envs.make("PointButon1")
    message = str(error.value)
    assert message.startswith("env: unknown name 'PointButon1'; allowed: ")
    assert message.endswith("; did you mean 'PointButton1'?")
    assert all(name in message for name in envs.list_envs())


def test_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"option of PointButton1: .*'randomstart'.*random_start"):
        envs.make("PointButton1", randomstart=True)


def test_wrong_value_of_an_option() -> None:
    with pytest.raises(ConfigError, match="random_start: got 'yes', allowed is True or False"):
        envs.make("PointButton1", random_start="yes")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of names that the test may change."""
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))


@pytest.mark.usefixtures("table")
def test_own_environments_can_be_registered() -> None:
    envs.register("Mine", ProbeEnv)
    assert "Mine" in envs.list_envs()
    assert envs.make("Mine", episode_length=3).spec.episode_length == 3
    envs.register("Mine", ActionProbe)
    assert isinstance(envs.make("Mine"), ActionProbe)


@pytest.mark.usefixtures("table")
def test_a_shared_environment_is_built_once() -> None:
    envs.register("Mine", ProbeEnv)
    first = registry.shared("Mine")
    assert registry.shared("Mine") is first
    assert registry.spec("Mine") is first.spec
    assert registry.spec("Mine", episode_length=3).episode_length == 3
    assert envs.make("Mine") is not first
    envs.register("Mine", ActionProbe)
    assert isinstance(registry.shared("Mine"), ActionProbe)
    with pytest.raises(ConfigError, match=r"env: unknown name 'Min'; .* did you mean 'Mine'"):
        registry.spec("Min")


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("name", ["PointButton1", "my:env", "", 3, []])
def test_names_that_cannot_be_registered(name: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"name: got {name!r}")):
        envs.register(name, ProbeEnv)


@pytest.mark.usefixtures("table")
def test_a_factory_of_any_options_takes_them_all() -> None:
    envs.register("Parts", PartsProbe)
    assert envs.make("Parts", episode_length=3).spec.episode_length == 3
    with pytest.raises(ConfigError, match=r"^env: cannot build 'Parts': .*'size'"):
        envs.make("Parts", size=3)


@pytest.mark.usefixtures("table")
def test_only_what_can_be_called_is_registered() -> None:
    with pytest.raises(ConfigError, match="factory of Mine: got 3, allowed is a function or a cl"):
        envs.register("Mine", 3)  # type: ignore[arg-type]


def test_a_name_is_a_text() -> None:
    with pytest.raises(ConfigError, match="env: got 3, allowed is a name"):
        envs.make(3)  # type: ignore[arg-type]


def test_a_factory_that_can_be_imported() -> None:
    env = envs.make("tests.probes:ActionProbe", cost_limit=7.0)
    assert isinstance(env, ActionProbe)
    assert env.spec.cost_limit == 7.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:make", "env: cannot import 'nowhere:make': No module named 'nowhere'"),
        ("tests.probes:Probe", "env: cannot import 'tests.probes:Probe': .*no attribute 'Probe'"),
        (":make", "env: cannot import ':make'"),
        ("tests.probes:jnp", "env: 'tests.probes:jnp' is a module, expected a function"),
        ("json:loads", "env: cannot build 'json:loads': missing a required argument: 's'"),
        ("os:getcwd", "env: 'os:getcwd' built a str, expected a SafetyEnv"),
    ],
)
def test_factories_that_will_not_do(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        envs.make(name)
    assert "\n" not in str(error.value)
