"""What is read of ``evaluation.json`` is what was written, or a line that says what is wrong."""

import dataclasses
import json
import re

import numpy as np
import pytest

from algd_jax.errors import ConfigError
from algd_jax.runs.evaluate import summarize
from algd_jax.runs.evaluation_file import read_summary
from algd_jax.training.evaluation import Episodes
from tests.runs.support import tiny_config

PARTS = dataclasses.replace(
    tiny_config(cost_limit=(1.0, 2.0)), constraints=("cost_low", "cost_high")
)


def summary(count, config):
    costs = np.linspace(0.5, 2, count)
    parts = {"cost_low": costs / 4, "cost_high": 3 * costs / 4}
    episodes = Episodes(np.arange(1.0, count + 1), costs, np.full(count, 8), parts)
    return summarize(config, episodes, 160, "best", 0)


@pytest.mark.parametrize("config", [tiny_config(), PARTS], ids=["total", "parts"])
@pytest.mark.parametrize("count", [1, 5])
def test_what_was_written_is_read(tmp_path, config, count):
    file = tmp_path / "evaluation.json"
    assert read_summary(file) is None
    file.write_text(json.dumps(summary(count, config).record()))
    assert read_summary(file) == summary(count, config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"return_mean": "31"}, "return_mean: got '31', allowed is a number"),
        ({"return_mean": True}, "return_mean: got True, allowed is a number"),
        ({"return_mean": None}, "return_mean: got None, allowed is a number"),
        ({"return_std": float("nan")}, "return_std: got nan, allowed is a number"),
        ({"cost_limit": [1]}, "cost_limit: got [1], allowed is a number or null"),
        ({"cost_limit": None}, "cost_limit: got None, allowed is a number"),
        ({"episodes": 2.5}, "episodes: got 2.5, allowed is an integer"),
        ({"feasible": 1}, "feasible: got 1, allowed is true or false"),
        ({"checkpoint": "first"}, "checkpoint: got 'first', allowed is best or last"),
        ({"checkpoint": {}}, "checkpoint: got {}, allowed is best or last"),
        ({"env": 3}, "env: got 3, allowed is a text"),
        ({"return_interval": [1]}, "return_interval: got [1], allowed is two numbers or null"),
        ({"return_interval": ["a", "b"]}, "return_interval: got ['a', 'b'], allowed is two"),
        ({"constraints": []}, "constraints: got [], allowed is an object for each limited cost"),
        ({"constraints": {"cost": {}}}, "is no evaluation of a run: cost_mean is missing"),
    ],
)
def test_what_is_none_is_named(tmp_path, changes, message):
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(summary(5, tiny_config()).record() | changes))
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {message}")):
        read_summary(file)


@pytest.mark.parametrize("text", ["", "[1]", "{", "{}", '{"a":' * 10_000, "1e999", "\xff"])
def test_what_is_no_object_is_told(tmp_path, text):
    file = tmp_path / "evaluation.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="is no evaluation of a run"):
        read_summary(file)


def test_missing_fields_are_named(tmp_path):
    file = tmp_path / "evaluation.json"
    record = summary(5, tiny_config()).record()
    for name in record:
        file.write_text(json.dumps({key: value for key, value in record.items() if key != name}))
        with pytest.raises(ConfigError, match=f"evaluation.json: .*{name}"):
            read_summary(file)
