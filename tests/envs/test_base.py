"""The specification of an environment refuses what cannot be meant."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from algd_jax.envs import EnvSpec
from algd_jax.errors import ConfigError

SPEC = EnvSpec(
    name="Own",
    observation_size=3,
    action_size=2,
    action_low=(-1.0, -0.5),
    action_high=(1.0, 1.5),
    episode_length=100,
    cost_limit=0.0,
    control_period=0.1,
)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("name", "", "a text that is not empty"),
        ("name", 3, "a text that is not empty"),
        ("observation_size", 0, "an integer >= 1"),
        ("action_size", 2.0, "an integer >= 1"),
        ("action_low", (-1.0,), "2 finite numbers"),
        ("action_low", (-1.0, np.nan), "2 finite numbers"),
        ("action_low", -1.0, "2 finite numbers"),
        ("action_high", (1.0, np.inf), "2 finite numbers above action_low"),
        ("action_high", (1.0, -0.5), "2 finite numbers above action_low"),
        ("episode_length", 0, "an integer from 1 to 1000000"),
        ("episode_length", 10.5, "an integer from 1 to 1000000"),
        ("episode_length", True, "an integer from 1 to 1000000"),
        ("cost_limit", -1.0, "a number >= 0"),
        ("cost_limit", np.nan, "a number >= 0"),
        ("cost_limit", "25", "a number >= 0"),
        ("control_period", 0.0, "a number > 0"),
        ("cost_names", "cost_a", "a tuple of different texts, none of them 'cost'"),
        ("cost_names", ("cost",), "a tuple of different texts, none of them 'cost'"),
        ("cost_names", ("a", "a"), "a tuple of different texts, none of them 'cost'"),
        ("cost_names", (3,), "a tuple of different texts, none of them 'cost'"),
        ("timeout_terminal", 1, "True or False"),
        ("cost_discount", 0.0, "a number above 0 and up to 1"),
        ("cost_discount", 1.01, "a number above 0 and up to 1"),
    ],
)
def test_wrong_values_are_refused_by_name(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError) as error:
        dataclasses.replace(SPEC, **{field: value})
    name = value if field == "name" else "Own"
    assert str(error.value) == f"{name}: {field}: got {value!r}, allowed is {allowed}"
