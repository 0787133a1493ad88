import dataclasses
import json

import numpy as np
import pytest

from algd_jax.errors import ConfigError
from algd_jax.runs import watch
from algd_jax.runs.directory import RunDirectory, write_json
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import summarize
from algd_jax.training.evaluation import Episodes
from tests.runs.support import EPOCH, EPOCHS, LAST_STEP, WARMUP, tiny_config


def epoch(number: int, eval_return: float = 1.0, eval_cost: float = 1.0, **more) -> dict:
    """As a run logs it; an epoch takes 10 s, the first, which waits for compiling, 60."""
    record = {"step": WARMUP + number * EPOCH, "wall_time": 50.0 + 10.0 * number}
    shown = {"eval_return": eval_return, "eval_cost": eval_cost, "lam": 0.25}
    shown |= {"confirmed_return": eval_return - 0.5, "confirmed_cost": eval_cost}
    shown["confirmed_bound"] = eval_cost
    return record | shown | {"steps_per_second": 6.4} | more


class Recorder(Display):
    """Remembers what it was told."""

    def __init__(self):
        self.told, self.epochs = [], []

    def start(self, title):
        self.told.append(title)

    def phase(self, name):
        self.told.append(name)

    def epoch(self, progress):
        self.epochs.append(progress)

    def note(self, text):
        self.told.append(text)

    def stop(self):
        self.told.append("stopped")


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.create(tiny_config(), ["algd", "train"])
    return directory


def append(run, *records, end="\n"):
    with run.metrics_file.open("a") as file:
        file.write("\n".join(map(json.dumps, records)) + end)


def finish(run):
    returns, costs = np.array([3.0, 3.5]), np.array([1.0, 2.0])
    episodes = Episodes(returns, costs, np.array([8, 8]), {})
    summary = summarize(tiny_config(), episodes, LAST_STEP, "last", 0)
    write_json(run.evaluation_file, summary.record())


def script(monkeypatch, *acts):
    """What happens between two looks, one act each; more looks fail."""
    left = iter(acts)
    monkeypatch.setattr(watch.time, "sleep", lambda _: next(left)())


def test_it_follows_the_run_to_its_end(run, monkeypatch):
    def half_a_line():
        append(run, json.dumps(epoch(2))[:20], end="")

    def the_other_half():
        run.metrics_file.write_text(json.dumps(epoch(1)) + "\n")
        append(run, epoch(2, 5.0), epoch(3, 9.0, eval_cost=2.5))

    def the_end():
        append(run, epoch(4))
        finish(run)

    script(monkeypatch, lambda: append(run, epoch(1)), half_a_line, the_other_half, the_end)
    seen = Recorder()
    watch.watch(run.path, seen)
    assert [progress.record["step"] for progress in seen.epochs] == [
        WARMUP + number * EPOCH for number in range(1, EPOCHS + 1)
    ]
    assert {progress.total_steps for progress in seen.epochs} == {LAST_STEP}
    # 64 steps at 6.4/s each, then 10 s an epoch.
    assert [progress.seconds_left for progress in seen.epochs] == [30, 20, 10, 0]
    first, better = f"0.50 at step {WARMUP + EPOCH}", f"4.50 at step {WARMUP + 2 * EPOCH}"
    assert [progress.best for progress in seen.epochs] == [first, better, better, better]
    assert seen.told == [
        f"algd on ActionProbe, preset quick, seed 0: {run.path}",
        "waiting for the first epoch",
        *["waiting for the next epoch"] * 2,
        "final evaluation",
        "finished: return 3.25, cost 1.50 per episode, feasible",
        "stopped",
    ]


def test_a_resumed_run_makes_epochs_again(run, monkeypatch):
    """Its log goes back to its checkpoint, and its configuration says how long it will be."""
    append(run, epoch(1), epoch(2), epoch(3))

    def resume():
        longer = dataclasses.replace(
            tiny_config(),
            loop=dataclasses.replace(tiny_config().loop, env_steps=LAST_STEP + EPOCH),
        )
        run.metrics_file.write_text(json.dumps(epoch(1)) + "\n")
        run.add_resumption(longer, ["algd", "train"])

    script(monkeypatch, resume, lambda: append(run, epoch(2)), lambda: finish(run))
    seen = Recorder()
    watch.watch(run.path, seen)
    steps = [(progress.record["step"] - WARMUP) // EPOCH for progress in seen.epochs]
    assert steps == [1, 2, 3, 1, 2]
    assert [progress.total_steps for progress in seen.epochs][2:] == [LAST_STEP, *[352] * 2]


def test_of_a_long_past_the_newest_epochs_are_shown(run):
    append(run, *(epoch(number) for number in range(1, 31)))
    finish(run)
    seen = Recorder()
    watch.watch(run.path, seen)
    assert [(p.record["step"] - WARMUP) // EPOCH for p in seen.epochs] == list(range(21, 31))


def test_once_tells_how_the_run_stands(run, algd):
    append(run, epoch(1), epoch(2, 7.5))
    code, out, err = algd("watch", run.path, "--once")
    assert (code, err) == (0, "")
    title, figures, phase = out.splitlines()
    assert "algd on ActionProbe" in title
    for part in ("160/288", "7.50", "1.00 (limit 2)", "0.250", "0:00:20 left"):
        assert part in figures
    assert phase == "waiting for the next epoch ..."


def test_ctrl_c_ends_the_watch_and_nothing_else(run, algd, monkeypatch):
    def press():
        raise KeyboardInterrupt

    append(run, epoch(1))
    script(monkeypatch, press)
    before = sorted(run.path.iterdir())
    code, _, err = algd("watch", run.path)
    assert (code, err) == (0, "")
    assert sorted(run.path.iterdir()) == before


@pytest.mark.parametrize(
    ("line", "named"), [({"step": 96}, "eval_return"), (epoch(1, lam=None), "lam")]
)
def test_an_epoch_of_something_else_is_named(run, algd, line, named):
    append(run, line)
    code, _, err = algd("watch", run.path, "--once")
    assert code == 2
    file = run.path / "metrics.jsonl"
    assert err == f"algd: {file}: the epoch of step 96 has no number '{named}'\n"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"return_mean": "x", "cost_mean": 1}', "\0"])
def test_an_evaluation_of_something_else_is_named(run, text):
    run.evaluation_file.write_text(text)
    with pytest.raises(ConfigError, match=r"evaluation\.json: is no evaluation of a run"):
        watch.watch(run.path, Recorder())


def test_a_foreign_folder_is_named(tmp_path, algd):
    code, out, err = algd("watch", tmp_path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert str(tmp_path) in err


def test_code_that_a_run_names_is_not_imported(tmp_path, algd):
    directory = RunDirectory(tmp_path / "run")
    directory.create(tiny_config("no_such_module:env"), ["algd", "train"])
    finish(directory)
    code, out, _ = algd("watch", directory.path)
    assert code == 0
    assert "no_such_module:env" in out
