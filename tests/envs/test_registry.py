"""Names and options, and how `make` refuses the wrong ones."""

import dataclasses

import pytest

from algd_jax import envs
from algd_jax.envs import registry
from algd_jax.errors import ConfigError
from tests.probes import ActionProbe, ProbeEnv


def test_every_listed_environment_can_be_made() -> None:
    assert "PointButton1" in envs.list_envs()
    for name in envs.list_envs():
        assert envs.make(name).spec.name == name


@pytest.mark.parametrize(("name", "size"), [("PointButton1", 76), ("PointButton2", 60)])
def test_specification(name: str, size: int) -> None:
    env = envs.make(name)
    assert env.spec == envs.EnvSpec(
        name=name,
        observation_size=size,
        action_size=2,
        action_low=(-1.0, -1.0),
        action_high=(1.0, 1.0),
        episode_length=400,
        cost_limit=10.0,
        control_period=pytest.approx(0.06),
    )
    assert (env.observation_size, env.action_size, env.backend) == (size, 2, "mjx")
    with pytest.raises(dataclasses.FrozenInstanceError):
        env.spec.cost_limit = 25.0  # type: ignore[misc]


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
@pytest.mark.parametrize("name", ["PointButton1", "my:env"])
def test_names_that_cannot_be_registered(name: str) -> None:
    with pytest.raises(ConfigError, match=f"name: got '{name}'"):
        envs.register(name, ProbeEnv)


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
