"""The evaluation that ends a run refuses a best policy that was a lucky draw."""

import dataclasses
import json

import pytest

from algd_jax.runs.best import BEST_KEPT, best_of, confirmation_record, is_candidate
from algd_jax.runs.evaluate import evaluate_run
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import train
from algd_jax.training import checkpoint
from tests.runs.support import EPOCH, WARMUP, read_lines, stop_after, tiny_config

CONFIG = tiny_config(cost_limit=50.0, checkpoint_epochs=1)
LUCKY = dataclasses.replace(
    tiny_config("LuckyProbe", cost_limit=4.3, env_steps=WARMUP + 10 * EPOCH), seed=1
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, folder)
    assert 2 <= len(best_steps(folder)) <= BEST_KEPT
    return folder


def best_steps(folder):
    return [entry.step for entry in checkpoint.entries(folder / "checkpoints" / "best")]


def notes(folder):
    return [line.split(" ", 1)[1] for line in (folder / "run.log").read_text().splitlines()]


def test_the_policy_before_is_the_best_one_then(whole, tmp_path, refuse):
    *before, newest = best_steps(whole)
    refuse(newest)
    folder = tmp_path / "run"
    result = train(CONFIG, folder).evaluation
    assert (result.step, result.feasible, result.checkpoint) == (before[-1], True, "best")
    assert best_steps(folder) == before
    (line,) = notes(folder)
    assert line.startswith(
        f"in its final evaluation the best policy, of step {newest}, is above the limit: cost 10"
    )
    assert line.endswith(" (limit 50)")
    refuse()
    assert evaluate_run(folder) == result
    assert read_steps(folder) == read_steps(whole)


def read_steps(folder):
    return [(r["step"], r["confirmed_return"]) for r in read_lines(folder / "metrics.jsonl")]


def test_where_all_are_refused_the_newest_evaluation_stands(whole, tmp_path, refuse):
    steps = best_steps(whole)
    refuse(*steps)
    folder = tmp_path / "run"
    result = train(CONFIG, folder).evaluation
    assert (result.step, result.feasible) == (steps[-1], False)
    assert best_steps(folder) == steps
    assert len(notes(folder)) == len(steps)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["checkpoint.remove", "write_json"])
def test_a_run_killed_in_its_final_evaluation_ends_alike(
    whole, tmp_path, refuse, monkeypatch, moment
):
    *before, newest = best_steps(whole)
    refuse(newest)
    folder = tmp_path / "run"

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"algd_jax.runs.run.{moment}", die)
        with pytest.raises(Killed):
            train(CONFIG, folder)
    assert not (folder / "evaluation.json").exists()
    result = train(resumed_config(folder), folder, resume=True).evaluation
    assert (result.step, result.feasible) == (before[-1], True)
    assert best_steps(folder) == before


def test_a_policy_that_a_killed_run_has_left_is_no_bar_to_itself(whole, tmp_path):
    """It was written, but not the whole state of its epoch, which is made again."""
    folder = tmp_path / "run"
    newest = best_steps(whole)[-1]
    epochs = (newest - WARMUP) // EPOCH
    train(CONFIG, folder, stop_requested=stop_after(epochs))
    state = folder / "checkpoints" / "state"
    checkpoint.set_aside(state, [newest])
    train(resumed_config(folder), folder, resume=True)
    assert read_steps(folder) == read_steps(whole)
    assert best_steps(folder) == best_steps(whole)
    assert (folder / "evaluation.json").read_text() == (whole / "evaluation.json").read_text()


def test_a_damaged_best_policy_is_passed_over_and_stays(whole, tmp_path, monkeypatch):
    *before, newest = best_steps(whole)
    folder = tmp_path / "run"

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("algd_jax.runs.run.final_evaluation", die)
        with pytest.raises(Killed):
            train(CONFIG, folder)
    (folder / "checkpoints" / "best" / str(newest) / "manifest.json").write_text("{}")
    result = train(resumed_config(folder), folder, resume=True).evaluation
    assert result.step == before[-1]
    assert best_steps(folder) == [*before, newest]


def test_a_lucky_draw_is_not_the_best_policy(tmp_path):
    """Every policy costs 4 on average, with a deviation of 1 between evaluations."""
    folder = tmp_path / "run"
    train(dataclasses.replace(LUCKY, seed=7), folder)
    records = read_lines(folder / "metrics.jsonl")
    limits, nothing = LUCKY.limits, confirmation_record(LUCKY, None)
    for epoch, record in enumerate(records):
        candidate = is_candidate(record, best_of(records[:epoch], limits), limits)
        assert candidate == (record["confirmed_return"] is not None)
        assert candidate or record.items() >= nothing.items()
    confirmed = [record for record in records if record["confirmed_return"] is not None]
    within = [record for record in confirmed if record["confirmed_bound"] <= 4.3]
    assert 0 < len(within) < len(confirmed)
    for record in confirmed:  # Other episodes than those of the epoch's evaluation.
        assert record["confirmed_return"] != record["eval_return"]
        assert record["confirmed_bound"] >= record["confirmed_cost"]
    best = best_of(records, limits)
    assert checkpoint.read_notes(folder / "checkpoints" / "best") == best._asdict()
    assert json.loads((folder / "evaluation.json").read_text())["step"] == best.step
