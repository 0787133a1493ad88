"""Names and options, and how `make` refuses the wrong ones."""

import dataclasses

import pytest

from algd_jax import envs
from algd_jax.errors import ConfigError


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
