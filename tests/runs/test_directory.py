import dataclasses
import json

import pytest

from algd_jax.errors import ConfigError
from algd_jax.runs.directory import RunDirectory, write_json
from tests.runs.support import files, tiny_config


@pytest.fixture
def directory(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.create(tiny_config(), ["algd"])
    return directory


def change(directory, edit):
    record = json.loads(directory.config_file.read_text())
    edit(record)
    directory.config_file.write_text(json.dumps(record))


def test_config_round_trip(directory):
    assert directory.read_config() == tiny_config()


def test_whole_numbers_are_fine_where_floats_are_meant(directory):
    change(directory, lambda record: record["config"]["hyper"].update(rho=2))
    assert directory.read_config().hyper.rho == 2.0
    assert isinstance(directory.read_config().hyper.rho, float)


def test_several_limits_round_trip(tmp_path):
    limits = tiny_config(cost_limit=(1.0, 2.5))
    config = dataclasses.replace(limits, constraints=("cost_low", "cost_high"))
    directory = RunDirectory(tmp_path / "run")
    directory.create(config, [])
    assert directory.read_config() == config


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda r: r.update(format_version=99), "format_version: got 99, allowed is 4 to 7"),
        (lambda r: r.pop("format_version"), "format_version: got None"),
        (lambda r: r.pop("config"), "missing field 'config'"),
        (lambda r: r["config"].update(colour="red"), "unknown field 'colour' in Config"),
        (lambda r: r["config"]["hyper"].pop("rho"), "missing field 'rho' in Hyper"),
        (lambda r: r["config"]["loop"].update(num_envs="four"), "num_envs: got 'four'"),
        (lambda r: r["config"]["loop"].update(num_envs=4.0), "num_envs: got 4.0, allowed is int"),
        (lambda r: r["config"]["loop"].update(num_envs=True), "num_envs: got True"),
        (lambda r: r["config"].update(loop=3), "loop: got 3"),
        (lambda r: r["config"].update(constraints="cost"), "constraints: got 'cost', allowed is t"),
        (lambda r: r["config"].update(constraints=[1]), "constraints: got [1], allowed is tuple["),
        (lambda r: r["config"]["hyper"].update(cost_limit=[1, "2"]), "cost_limit: got [1, '2']"),
        (lambda r: r["config"]["hyper"].update(cost_limit="2"), "got '2', allowed is float | tup"),
        (
            lambda r: r["config"].update(preset="\x1b]0;x\x07"),
            "preset: got '\\x1b]0;x\\x07', allowed",
        ),
        (
            lambda r: r.update(format_version="\x1b[2J"),
            "format_version: got '\\x1b[2J', allowed is",
        ),
    ],
)
def test_a_config_file_of_another_shape_is_one_clear_line(directory, edit, message):
    change(directory, edit)
    with pytest.raises(ConfigError, match=r"config\.json") as error:
        directory.read_config()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "import os", "[" * 100_000, " " * 2**21])
def test_a_file_that_is_no_config_is_one_clear_line(directory, text):
    directory.config_file.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json") as error:
        directory.read_config()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_a_run_of_an_older_version_is_read(directory, version):
    def as_before(record):
        record["format_version"] = version
        del record["config"]["loop"]["spread_episodes"]
        del record["config"]["physics"]
        if version < 6:
            del record["config"]["agent"]["chain_gradient"]
        if version < 5:
            del record["config"]["health"]

    change(directory, as_before)
    assert directory.read_config() == tiny_config()
    directory.add_resumption(tiny_config(), [])  # From here on the file is of this version.
    assert json.loads(directory.config_file.read_text())["format_version"] == 7


def test_an_older_run_of_a_body_was_simulated_by_mjx(directory):
    def as_before(record):
        record["format_version"] = 6
        record["config"]["env"] = "Hopper"
        del record["config"]["physics"]

    change(directory, as_before)
    assert directory.read_config().physics == "mjx"


def test_only_new_or_empty_folders_are_free(tmp_path, directory):
    RunDirectory(tmp_path / "new").check_free()
    (tmp_path / "empty").mkdir()
    RunDirectory(tmp_path / "empty").check_free()
    with pytest.raises(ConfigError, match=r"run_dir: .* is not empty"):
        directory.check_free()
    with pytest.raises(ConfigError, match=r"run_dir: .* is a file"):
        RunDirectory(directory.config_file).check_free()


def test_the_first_of_two_runs_gets_the_folder(directory):
    before = directory.config_file.read_bytes()
    with pytest.raises(ConfigError, match=r"run_dir: .* is taken by another run, allowed is a new"):
        directory.create(tiny_config(), ["algd", "again"])
    assert directory.config_file.read_bytes() == before


def test_a_folder_claimed_by_a_process_killed_at_once_is_free(directory, tmp_path):
    other = RunDirectory(tmp_path / "other")
    other.path.mkdir()
    (other.path / "config.json.123.tmp").write_text("{")
    other.check_free()
    other.create(tiny_config(), [])
    assert other.read_config() == tiny_config()


def test_code_that_a_run_names_must_be_named_by_the_user_too(directory):
    change(directory, lambda record: record["config"].update(env="wicked:make"))
    with pytest.raises(ConfigError) as error:
        directory.read_config()
    assert str(error.value) == (
        f"env: {directory.path} was trained on 'wicked:make', which is code to import; "
        "if you trust it, add --env wicked:make"
    )
    assert directory.read_config("wicked:make").env == "wicked:make"
    with pytest.raises(ConfigError, match=r"env: got 'other:make', but .* on 'wicked:make'"):
        directory.read_config("other:make")


@pytest.mark.parametrize(
    "name", ["checkpoints", "checkpoints/state", "tensorboard", "metrics.jsonl"]
)
def test_a_link_out_of_the_folder_is_refused(directory, tmp_path, name):
    outside, link = tmp_path / "precious", directory.path / name
    outside.mkdir()
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(ConfigError, match=f"run_dir: .*{name} leads out of the run directory"):
        directory.read_config()


def test_links_to_a_run_and_within_it_are_fine(directory, tmp_path):
    (directory.path / "kept").mkdir()
    (directory.path / "checkpoints").symlink_to("kept")
    (tmp_path / "link").symlink_to(directory.path)
    assert RunDirectory(tmp_path / "link").read_config() == tiny_config()


def test_a_folder_below_a_file_is_refused(directory):
    below = RunDirectory(directory.config_file / "runs" / "first")
    with pytest.raises(ConfigError, match=r"run_dir: .*first is below a file, allowed is a new"):
        below.create(tiny_config(), [])


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(ConfigError, match=r"cannot be written \(Permission denied\), allowed is"):
        RunDirectory(tmp_path / "run").create(tiny_config(), [])
    assert files(tmp_path) == {}


def test_json_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
