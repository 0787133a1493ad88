"""Runs and sweeps logged to stand-ins for the services; ``test_services.py`` has the real ones."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest

from algd_jax.errors import ConfigError
from algd_jax.runs.display import Display
from algd_jax.runs.extras import is_installed
from algd_jax.runs.logs import read_records
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import train
from algd_jax.runs.sweep import make_trials, points, sweep
from algd_jax.runs.tracking import choice
from algd_jax.runs.tracking.choice import Tracking
from algd_jax.runs.tracking.link import Link
from tests.runs.support import (
    EPOCH,
    LAST_STEP,
    TINY_FLAGS,
    WARMUP,
    files,
    stop_after,
    tiny_config,
)

BOTH = Tracking(("wandb", "mlflow"))


class Notes(Display):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def numbers(path):
    """What is in metrics.jsonl, without what is not known."""
    lines = read_records(path / "metrics.jsonl")
    return [{k: v for k, v in record.items() if v is not None} for record in lines]


def by_step(history):
    """Epochs out of MLflow's single numbers, the later ones of a step instead of the earlier."""
    epochs = {}
    for step, name, value in history:
        epochs.setdefault(step, {"step": step})[name] = value
    return [epochs[step] for step in sorted(epochs)]


def without_final(epochs):
    return [{k: v for k, v in e.items() if not k.startswith("final_")} for e in epochs]


def test_what_is_read_back_equals_the_log_of_the_run(fakes, tmp_path):
    result = train(tiny_config(), tmp_path / "run", tracking=BOTH)
    logged = numbers(tmp_path / "run")
    assert len(logged) == 4

    (run,) = fakes["wandb"].runs.values()
    assert run.history == logged
    assert run.step_metric == "step"
    assert (run.given["project"], run.given["name"]) == ("algd-jax", "run")
    assert run.given["config"] == dataclasses.asdict(tiny_config())
    assert run.given["dir"] == str(tmp_path / "run")
    assert run.exit_code == 0
    assert run.summary["final_return_mean"] == result.evaluation.return_mean
    assert run.summary["final_cost_mean"] == result.evaluation.cost_mean

    (run,) = fakes["mlflow"].runs.values()
    assert without_final(by_step(run.history)) == logged
    assert run.data.params["rho"] == "1.0"
    assert run.data.params["cost_limit"] == "2.0"
    assert run.info.status == "FINISHED"
    assert by_step(run.history)[-1]["final_return_mean"] == result.evaluation.return_mean
    assert list(fakes["mlflow"].experiments) == ["algd-jax"]


def test_logging_elsewhere_changes_nothing_of_the_run(fakes, tmp_path):
    train(tiny_config(), tmp_path / "with", tracking=BOTH)
    train(tiny_config(), tmp_path / "without")
    first, second = (
        json.loads((tmp_path / name / "config.json").read_text())["config"]
        for name in ("with", "without")
    )
    assert first == second
    assert (tmp_path / "with" / "evaluation.json").read_text() == (
        tmp_path / "without" / "evaluation.json"
    ).read_text()
    assert not (tmp_path / "without" / "trackers").exists()


def test_the_same_run_of_the_service_goes_on(fakes, tmp_path):
    run_dir = tmp_path / "run"
    train(tiny_config(), run_dir, tracking=BOTH, stop_requested=stop_after(2))
    (wandb_run,), (mlflow_run,) = fakes["wandb"].runs.values(), fakes["mlflow"].runs.values()
    assert (wandb_run.exit_code, mlflow_run.info.status) == (1, "KILLED")
    train(resumed_config(run_dir), run_dir, tracking=BOTH, resume=True)
    assert len(fakes["wandb"].runs) == len(fakes["mlflow"].runs) == 1
    assert wandb_run.history == numbers(run_dir)
    assert without_final(by_step(mlflow_run.history)) == numbers(run_dir)
    assert (wandb_run.exit_code, mlflow_run.info.status) == (0, "FINISHED")


def test_a_service_that_comes_later_gets_all_epochs(fakes, tmp_path):
    run_dir = tmp_path / "run"
    train(tiny_config(), run_dir, stop_requested=stop_after(2))
    train(resumed_config(run_dir), run_dir, tracking=BOTH, resume=True)
    (run,) = fakes["wandb"].runs.values()
    assert run.history == numbers(run_dir)


def test_a_resumed_run_says_where_it_was_logged_before(fakes, tmp_path):
    run_dir, display = tmp_path / "run", Notes()
    train(tiny_config(), run_dir, tracking=BOTH, stop_requested=stop_after(2))
    just_one = Tracking(("mlflow",))
    train(resumed_config(run_dir), run_dir, tracking=just_one, resume=True, display=display)
    assert display.lines == ["this run was logged to wandb before; --log-to wandb goes on there"]


def test_epochs_made_again_are_sent_again(fakes, tmp_path):
    """As after a kill: the checkpoint is older than what was logged."""
    run_dir = tmp_path / "run"
    train(tiny_config(), run_dir, tracking=BOTH, stop_requested=stop_after(2))
    for name in ("wandb", "mlflow"):
        path = run_dir / "trackers" / f"{name}.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"step": LAST_STEP}))
    train(resumed_config(run_dir), run_dir, tracking=BOTH, resume=True)
    (run,) = fakes["mlflow"].runs.values()
    assert without_final(by_step(run.history)) == numbers(run_dir)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_service_that_fails_ends_nothing_and_loses_nothing(fakes, tmp_path, name):
    class Breaks(Notes):
        """The service is out of reach until the run is nearly over."""

        def start(self, title):
            fakes[name].broken = ConnectionError("Name or service not known")

        def phase(self, text):
            if text.startswith("final"):
                fakes[name].broken = None

    display = Breaks()
    result = train(tiny_config(), tmp_path / "run", tracking=Tracking((name,)), display=display)
    assert result.evaluation is not None
    assert len(display.lines) == 1
    assert display.lines[0].startswith(f"{name}: Name or service not known; training goes on")
    assert display.lines[0] in (tmp_path / "run" / "run.log").read_text()
    (run,) = fakes[name].runs.values()
    history = run.history if name == "wandb" else without_final(by_step(run.history))
    assert history == numbers(tmp_path / "run")


def test_project_by_flag_or_by_the_variable_of_the_service(fakes, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "others")
    config = tiny_config(env_steps=WARMUP + EPOCH)
    train(config, tmp_path / "a", tracking=BOTH)
    train(config, tmp_path / "b", tracking=Tracking(("wandb", "mlflow"), "mine"))
    assert [run.given["project"] for run in fakes["wandb"].runs.values()] == ["theirs", "mine"]
    assert list(fakes["mlflow"].experiments) == ["others", "mine"]


def test_a_resumed_run_stays_in_its_project_without_the_flag(fakes, tmp_path):
    mine = Tracking(("wandb", "mlflow"), "mine")
    train(tiny_config(), tmp_path / "run", tracking=mine, stop_requested=stop_after(1))
    train(tiny_config(), tmp_path / "run", resume=True, tracking=BOTH)
    (run,) = fakes["wandb"].runs.values()
    assert (run.given["project"], run.history) == ("mine", numbers(tmp_path / "run"))
    assert list(fakes["mlflow"].experiments) == ["mine"]


def test_members_of_a_sweep_are_logged_each_as_a_run_of_one_group(fakes, tmp_path):
    trials = make_trials([tiny_config()], points(["rho=1,2"]), 1)
    sweep(trials, tmp_path / "both", tracking=BOTH, stop_requested=stop_after(3))
    sweep(trials, tmp_path / "both", tracking=BOTH)
    runs = {run.given["name"]: run for run in fakes["wandb"].runs.values()}
    folders = sorted((tmp_path / "both" / "trials").iterdir())
    assert sorted(runs) == [folder.name for folder in folders]
    for folder in folders:
        run = runs[folder.name]
        assert run.history == numbers(folder)
        assert (run.given["group"], run.exit_code) == ("both", 0)
        evaluation = json.loads((folder / "evaluation.json").read_text())
        assert run.summary["final_return_mean"] == evaluation["return_mean"]
    assert {run.data.tags["sweep"] for run in fakes["mlflow"].runs.values()} == {"both"}


@pytest.mark.slow
def test_members_tell_alike_what_befalls_all_of_them_once(fakes, tmp_path):
    fakes["wandb"].broken = ConnectionError("no route")
    trials = make_trials([tiny_config()], points(["rho=1,2,3"]), 1)
    outcome = sweep(trials, tmp_path / "sweep", tracking=Tracking(("wandb",)))
    assert outcome.done == 3
    assert (tmp_path / "sweep" / "sweep.log").read_text().count("no route") == 1


# Bad input: nothing is written then.


def test_a_folder_is_no_package(fakes, tmp_path, monkeypatch):
    """Such as Weights & Biases leaves behind where it is used."""
    (tmp_path / "leftbehind").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert is_installed("wandb")
    assert not is_installed("leftbehind")
    assert not is_installed("notthere")


def test_a_missing_extra_says_what_to_install(algd, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "is_installed", lambda package: False)
    flags = ["--env", "ActionProbe", *TINY_FLAGS, "--run-dir", tmp_path / "run"]
    for command in ("train", "sweep"):
        for name in ("wandb", "mlflow"):
            line = f"algd: --log-to: {name} is not installed: pip install 'algd-jax[{name}]'\n"
            assert algd(command, *flags, "--log-to", name)[::2] == (2, line)
    assert not (tmp_path / "run").exists()


def test_unknown_services_are_refused(algd, tmp_path):
    flags = ["--env", "ActionProbe", *TINY_FLAGS, "--run-dir", tmp_path / "run"]
    code, out, err = algd("train", *flags, "--log-to", "wandbb")
    assert (code, out) == (2, "")
    assert err.startswith("algd: --log-to: got 'wandbb', allowed is wandb or mlflow")
    with pytest.raises(ConfigError, match=r"log_to: unknown name 'wandbb'.*did you mean 'wandb'"):
        train(tiny_config(), tmp_path / "run", tracking=Tracking(("wandbb",)))
    assert not (tmp_path / "run").exists()


def test_nobody_is_asked_for_a_key_in_the_middle_of_a_run(fakes, tmp_path):
    fakes["wandb"].logged_in = False
    with pytest.raises(ConfigError, match=r"wandb has no API key, allowed is wandb after `wandb"):
        train(tiny_config(), tmp_path / "run", tracking=BOTH)
    assert not (tmp_path / "run").exists()
    fakes["wandb"].mode = "offline"
    train(tiny_config(env_steps=WARMUP + EPOCH), tmp_path / "run", tracking=BOTH)


def test_a_store_that_mlflow_does_not_know_is_refused(fakes, tmp_path):
    fakes["mlflow"].broken = ValueError("unsupported URI\nand how to mend it")
    with pytest.raises(ConfigError) as error:
        train(tiny_config(), tmp_path / "run", tracking=BOTH)
    assert str(error.value) == "--log-to: mlflow: unsupported URI"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "7", '{"run": "a"}', '{"run": "../a", "step": 1}', "[" * 999),
        *('{"run": 1, "step": 1}', '{"run": "a", "step": 1.5}'),
        '{"run": "' + 2000 * "a" + '", "step": 1}',
    ],
)
def test_a_file_that_names_no_run_is_one_clear_line(tmp_path, text):
    path = tmp_path / "wandb.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        Link(path)
    assert str(error.value) == (
        f"{path}: does not say which run to go on with; without this file a new one begins"
    )


def test_a_run_is_not_resumed_beside_such_a_file(fakes, tmp_path):
    run_dir = tmp_path / "run"
    train(tiny_config(), run_dir, tracking=BOTH, stop_requested=stop_after(1))
    (run_dir / "trackers" / "wandb.json").write_text("{")
    before = files(run_dir)
    with pytest.raises(ConfigError, match="does not say which run"):
        train(resumed_config(run_dir), run_dir, tracking=BOTH, resume=True)
    assert files(run_dir) == before


def test_the_commands_of_the_page(fakes, algd, tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "logging.md").read_text()
    (block,) = re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)
    commands = re.findall(r"algd (train .*)", block)
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    for command in commands:
        code, _, err = algd(*shlex.split(command), "--env", "ActionProbe", *TINY_FLAGS)
        assert (code, err) == (0, "")
    assert [run.given["name"] for run in fakes["wandb"].runs.values()] == ["both"]
    assert list(fakes["mlflow"].experiments) == ["buttons", "algd-jax"]
