import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from algd_jax.agents.state import UpdateMetrics
from algd_jax.errors import ConfigError
from algd_jax.runs.best import Best
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import evaluate_run, make_evaluate
from algd_jax.runs.resuming import epochs_made, planned_steps, resumed_config
from algd_jax.runs.run import RunError, train
from algd_jax.training import checkpoint
from tests.runs import support
from tests.runs.support import (
    CLOCK_FIELDS,
    EPOCH,
    EPOCHS,
    LAST_STEP,
    WARMUP,
    assert_equal_trees,
    files,
    read_lines,
    stop_after,
    tiny_config,
    without_clock,
)


class Recorder(Display):
    """Keeps what a run tells its user."""

    def __init__(self):
        self.phases, self.progress, self.notes, self.stopped = [], [], [], False

    def phase(self, name):
        self.phases.append(name)

    def epoch(self, progress):
        self.progress.append(progress)

    def note(self, text):
        self.notes.append(text)

    def stop(self):
        self.stopped = True


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from start to end: (result, folder, display)."""
    folder, display = tmp_path_factory.mktemp("whole") / "run", Recorder()
    result = train(tiny_config(), folder, display=display, command=["algd", "train"])
    return result, folder, display


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """The same run, stopped after two epochs and resumed."""
    folder = tmp_path_factory.mktemp("resumed") / "run"
    stopped = train(tiny_config(), folder, stop_requested=stop_after(2))
    return stopped, train(resumed_config(folder), folder, resume=True), folder


def restored_state(folder, config):
    trainer = build(config)
    key = stream_key(config.seed, Stream.TRAINING)
    like = jax.eval_shape(trainer.init, key, config.hyper.as_arrays())
    return checkpoint.restore(folder / "checkpoints" / "state", like).tree


def test_run_directory_holds_everything(whole):
    _, folder, _ = whole
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "evaluation.json",
        "curves.png",
        "run.lock",
    }
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((folder / "tensorboard").glob("events.out.tfevents.*"))
    assert (folder / "checkpoints" / "state" / str(LAST_STEP)).is_dir()
    assert (folder / "checkpoints" / "last" / str(LAST_STEP)).is_dir()


def test_config_file_says_where_the_run_came_from(whole):
    record = json.loads((whole[1] / "config.json").read_text())
    assert record["config"] == json.loads(json.dumps(dataclasses.asdict(tiny_config())))
    assert record["format_version"] == 7
    assert record["command"] == ["algd", "train"]
    assert record["device"]["platform"] == jax.devices()[0].platform
    assert record["versions"]["jax"] == jax.__version__
    for name in ("python", "jaxlib", "flax", "optax", "mujoco", "mujoco-mjx", "brax", "algd-jax"):
        assert record["versions"][name]
    assert record["versions"]["orbax-checkpoint"]
    assert {"git_commit", "start_time"} <= record.keys()


def test_metrics_hold_one_complete_line_per_epoch(whole):
    records = read_lines(whole[1] / "metrics.jsonl")
    assert [record["step"] for record in records] == [
        WARMUP + (i + 1) * EPOCH for i in range(EPOCHS)
    ]
    assert [record["updates"] for record in records] == [16 * (i + 1) for i in range(EPOCHS)]
    update_fields = {field.name for field in dataclasses.fields(UpdateMetrics)}
    others = {"epoch", "step", "updates", "episodes", "episode_return", "episode_cost", "step_cost"}
    others |= {"skipped_updates"}
    evaluation = {"eval_return", "eval_cost", "risk_correlation"}
    confirmation = {"confirmed_return", "confirmed_cost", "confirmed_bound"}
    always = update_fields | others | evaluation | set(CLOCK_FIELDS)
    for record in records:
        assert record.keys() == always | confirmation
        assert all(np.isfinite(record[name]) for name in always)
        # All or nothing is confirmed.
        assert len({record[name] is None for name in confirmation}) == 1
        assert 0 < record["eval_seconds"] < record["wall_time"]
    assert np.all(np.diff([record["wall_time"] for record in records]) > 0)


def test_the_user_is_told_what_happens(whole):
    _, _, display = whole
    per_epoch = ["training", "evaluating", "checkpointing"]
    start = ["compiling and warming up"]
    assert display.phases == [*start, *EPOCHS * per_epoch, "final evaluation"]
    assert display.progress[-1].seconds_left == 0
    assert display.progress[-1].record["step"] == display.progress[-1].total_steps == LAST_STEP
    assert display.stopped


def test_planned_steps_are_whole_epochs(whole):
    config = tiny_config(env_steps=LAST_STEP - 10)
    assert planned_steps(config) == LAST_STEP
    assert epochs_made(config, WARMUP) == 0
    assert epochs_made(config, LAST_STEP) == EPOCHS


def test_evaluate_repeats_the_final_evaluation(whole):
    result, folder, _ = whole
    stored = json.loads((folder / "evaluation.json").read_text())
    again = evaluate_run(folder)
    assert again == result.evaluation
    assert stored.items() >= again.figures().items()
    assert stored["checkpoint"] == again.checkpoint
    assert stored["episodes"] == 5
    assert evaluate_run(folder, seed=1).return_mean != again.return_mean


def test_resumed_run_is_bit_identical_to_the_uninterrupted_one(whole, resumed):
    stopped, result, folder = resumed
    assert (stopped.evaluation, stopped.step) == (None, WARMUP + 2 * EPOCH)
    assert result.evaluation == whole[0].evaluation
    assert without_clock(read_lines(folder / "metrics.jsonl")) == without_clock(
        read_lines(whole[1] / "metrics.jsonl")
    )
    assert_equal_trees(
        restored_state(folder, tiny_config()), restored_state(whole[1], tiny_config())
    )


def test_resumption_is_on_record(resumed):
    record = json.loads((resumed[2] / "config.json").read_text())
    assert len(record["resumed"]) == 1
    assert record["resumed"][0].keys() >= {"start_time", "command", "versions", "device"}


def test_a_stopped_run_is_saved_before_its_last_epoch_is_shown(tmp_path):
    folder, saved = tmp_path / "run", []

    class Watcher(Display):
        def epoch(self, progress):
            saved.append(checkpoint.latest(folder / "checkpoints" / "state"))

    train(tiny_config(), folder, display=Watcher(), stop_requested=stop_after(2))
    assert saved == [None, WARMUP + 2 * EPOCH]


def test_a_resumption_that_cannot_begin_changes_nothing(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(env_steps=WARMUP + EPOCH), folder)
    record = json.loads((folder / "config.json").read_text())
    record["config"]["agent"]["critic_layers"] += 1
    (folder / "config.json").write_text(json.dumps(record))
    metrics = folder / "metrics.jsonl"
    later = {"step": 10 * LAST_STEP}  # Beyond the checkpoint: a resumption that begins drops it.
    metrics.write_text(metrics.read_text() + json.dumps(later) + "\n")
    before = files(folder)
    with pytest.raises(checkpoint.CheckpointError, match="does not fit this run"):
        train(resumed_config(folder, LAST_STEP), folder, resume=True)
    assert files(folder) == before


def test_resume_forgets_epochs_after_the_checkpoint(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(), folder, stop_requested=stop_after(1))
    metrics = folder / "metrics.jsonl"
    first = read_lines(metrics)
    # A killed run: one epoch beyond the checkpoint, and a line cut short.
    later = {**first[0], "step": first[0]["step"] + EPOCH, "eval_return": 99.0}
    metrics.write_text(metrics.read_text() + json.dumps(later) + '\n{"epoch": 3, "st')

    train(resumed_config(folder), folder, resume=True, stop_requested=stop_after(1))
    records = read_lines(metrics)
    assert records[0] == first[0]
    assert [record["epoch"] for record in records] == [1, 2]
    assert records[1]["eval_return"] != 99.0


def test_a_finished_run_goes_on_with_more_steps(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(env_steps=WARMUP + EPOCH), folder)
    before = files(folder)
    with pytest.raises(ConfigError, match=rf"env_steps: .*allowed is a number > {WARMUP + EPOCH}"):
        train(resumed_config(folder), folder, resume=True)
    with pytest.raises(ConfigError, match="only env_steps may differ"):
        train(dataclasses.replace(resumed_config(folder), seed=5), folder, resume=True)
    assert files(folder) == before

    result = train(resumed_config(folder, LAST_STEP), folder, resume=True)
    assert result.step == LAST_STEP
    assert result.evaluation.step > WARMUP + EPOCH  # The best policy is a later one now.
    assert resumed_config(folder).loop.env_steps == LAST_STEP


def test_best_feasible_policy_is_kept_and_evaluated(tmp_path):
    folder = tmp_path / "run"
    result = train(tiny_config(cost_limit=1000.0), folder)
    records = read_lines(folder / "metrics.jsonl")
    candidates = [record for record in records if record["confirmed_return"] is not None]
    best = max(candidates, key=lambda record: record["confirmed_return"])
    notes = checkpoint.read_notes(folder / "checkpoints" / "best")
    assert notes == {name: best[name] for name in Best._fields}
    assert result.evaluation.checkpoint == "best"
    assert result.evaluation.step == best["step"]
    assert result.evaluation.feasible
    assert evaluate_run(folder, which="last").step == LAST_STEP


def test_an_infeasible_policy_is_never_best(tmp_path):
    folder = tmp_path / "run"
    config = tiny_config("ProbeEnv", cost_limit=3.9, env_steps=WARMUP + EPOCH)  # It costs 4.
    result = train(config, folder)
    assert not (folder / "checkpoints" / "best").exists()
    assert result.evaluation.checkpoint == "last"
    assert (result.evaluation.cost_mean, result.evaluation.feasible) == (4.0, False)
    with pytest.raises(ConfigError, match="checkpoint: got best"):
        evaluate_run(folder, which="best")


def test_longer_runs_trace_no_more_often(tmp_path, monkeypatch, own_programs):
    calls = []
    step = support.ActionProbe.step

    def counted(self, state, action):
        calls.append(1)
        return step(self, state, action)

    monkeypatch.setattr(support.ActionProbe, "step", counted)
    train(tiny_config(env_steps=WARMUP + EPOCH), tmp_path / "short")
    short = len(calls)
    assert short > 0
    train(tiny_config(), tmp_path / "long")
    assert len(calls) == 2 * short


@pytest.fixture
def healthy_evaluation(monkeypatch):
    """Evaluation on an environment that does not break, so that training is what fails."""
    monkeypatch.setattr(
        "algd_jax.runs.programs.make_evaluate",
        lambda trainer: make_evaluate(dataclasses.replace(trainer, env=support.ProbeEnv())),
    )


def test_nan_in_training_keeps_the_last_good_checkpoints(tmp_path, healthy_evaluation):
    folder = tmp_path / "run"
    with pytest.raises(RunError) as error:
        train(tiny_config("LateBreak", checkpoint_epochs=1), folder)
    good = WARMUP + EPOCH
    # The 25th step of four environments.
    assert str(error.value) == (
        "reward is NaN or infinite at environment step 100, environment 0; "
        f"the last good policy, of step {good}, is kept in {folder / 'checkpoints' / 'last'}"
    )
    assert checkpoint.latest(folder / "checkpoints" / "last") == good
    assert all(
        np.all(np.isfinite(leaf))
        for leaf in jax.tree.leaves(restored_state(folder, tiny_config("LateBreak")).agent)
    )
    assert [record["step"] for record in read_lines(folder / "metrics.jsonl")] == [good]
    assert (folder / "curves.png").exists()


def test_nan_in_warm_up_stops_before_any_checkpoint(tmp_path):
    message = (
        "reward is NaN or infinite at environment step 20, environment 0; "
        "no epoch was completed before"
    )
    with pytest.raises(RunError, match=message):
        train(tiny_config("BrokenProbe"), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_flag_of_the_environment_stops_the_run_in_its_own_words(tmp_path):
    message = "placement_failed is set: a reset found no free place at environment step 4, env"
    with pytest.raises(RunError, match=message):
        train(tiny_config("tests.probes:UnplacedProbe"), tmp_path / "run")


def test_nan_in_evaluation_stops_the_run(tmp_path):
    with pytest.raises(RunError, match=f"evaluation returns is NaN .* step {WARMUP + EPOCH};"):
        train(tiny_config("LateBreak"), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size: got 0, allowed is an integer >= 1"),
        ({"eval_episodes": 10**9}, "eval_episodes: got 1000000000, which does not fit"),
    ],
)
def test_a_config_that_cannot_work_writes_nothing(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        train(tiny_config(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_environment_without_the_option_is_refused(tmp_path):
    config = dataclasses.replace(tiny_config(), random_start=True)
    with pytest.raises(ConfigError, match="random_start"):
        train(config, tmp_path / "run")


def test_resume_needs_a_checkpoint_once_an_epoch_was_made(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(), folder, stop_requested=stop_after(1))
    shutil.rmtree(folder / "checkpoints" / "state")
    before = files(folder)
    with pytest.raises(ConfigError, match="no checkpoint of a whole state"):
        train(resumed_config(folder), folder, resume=True)
    assert files(folder) == before


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path, whole):
    folder = tmp_path / "run"
    RunDirectory(folder).create(tiny_config(), [])
    result = train(resumed_config(folder), folder, resume=True)
    assert result.evaluation == whole[0].evaluation
    assert without_clock(read_lines(folder / "metrics.jsonl")) == without_clock(
        read_lines(whole[1] / "metrics.jsonl")
    )


def test_with_periodic_checkpoints_the_first_is_there_before_the_first_epoch(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(checkpoint_epochs=3), folder, stop_requested=stop_after(1))
    assert checkpoint.entries(folder / "checkpoints" / "state") == [
        (WARMUP, {"epoch": 0, "eval_return": None, "eval_cost": None, "best": False}),
        (WARMUP + EPOCH, checkpoint.read_notes(folder / "checkpoints" / "state")),
    ]


def test_resuming_passes_over_a_damaged_checkpoint(tmp_path, whole):
    folder, display = tmp_path / "run", Recorder()
    train(tiny_config(checkpoint_epochs=1), folder, stop_requested=stop_after(2))
    state = folder / "checkpoints" / "state"
    newest = WARMUP + 2 * EPOCH
    (state / str(newest) / "manifest.json").unlink()

    result = train(resumed_config(folder), folder, resume=True, display=display)

    line = (
        f"checkpoint {state / str(newest)} is damaged: manifest.json is missing; "
        f"going on from the one of step {WARMUP + EPOCH}"
    )
    assert display.notes == [line]
    assert (folder / "run.log").read_text().endswith(f" {line}\n")
    assert (state / f"{newest}.damaged").is_dir()
    assert result.evaluation == whole[0].evaluation
    assert without_clock(read_lines(folder / "metrics.jsonl")) == without_clock(
        read_lines(whole[1] / "metrics.jsonl")
    )


def test_a_damaged_policy_is_passed_over(whole, tmp_path, caplog):
    folder = tmp_path / "run"
    shutil.copytree(whole[1], folder)
    (folder / "checkpoints" / "last" / str(LAST_STEP) / "manifest.json").write_text("{}")
    assert evaluate_run(folder, which="last").step == LAST_STEP - EPOCH
    (record,) = caplog.records
    assert "manifest.json cannot be read; taking the one of step" in record.getMessage()


class BreakingDisplay(Recorder):
    def epoch(self, progress):
        raise ValueError("broken\nin two lines")


def test_a_failed_run_keeps_its_traceback(tmp_path):
    folder, display = tmp_path / "run", BreakingDisplay()
    with pytest.raises(ValueError, match="broken"):
        train(tiny_config(), folder, display=display)
    log = (folder / "run.log").read_text()
    assert " failed:\nTraceback (most recent call last):\n" in log
    assert log.endswith("ValueError: broken\nin two lines\n")
    assert display.notes == [f"the traceback of this failure is in {folder / 'run.log'}"]


def test_streams_of_randomness_differ():
    keys = [tuple(np.asarray(jax.random.key_data(stream_key(3, s)))) for s in Stream]
    assert len(set(keys)) == len(Stream)
