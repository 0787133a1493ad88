"""Successive halving of a running population: who goes on, with what numbers, whatever happens."""

import dataclasses
import signal
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algd_jax.commands.sweep import read_arguments
from algd_jax.errors import ConfigError
from algd_jax.runs.compare.compare import compare_folders
from algd_jax.runs.compare.words import notes
from algd_jax.runs.evaluate import evaluate_run
from algd_jax.runs.sweep import make_trials, packing, program, sweep
from algd_jax.runs.sweep.directory import SweepDirectory, TrialDirectory
from algd_jax.runs.sweep.halving import Halving, Rung, ranking, rungs
from algd_jax.runs.sweep.member import Member
from algd_jax.runs.sweep.program import Report
from algd_jax.runs.sweep.sweep import _Progress
from algd_jax.training import checkpoint
from algd_jax.training.population import only
from tests.runs.support import EPOCH, EPOCHS, TINY_FLAGS, WARMUP, files, known_probes, stop_after
from tests.runs.sweep.test_sweep import assert_same_results, have_memory_for, results, run_until
from tests.runs.sweep.test_sweep import start as start_sweep

FLAGS = ["--env=tests.probes:ActionProbe", *TINY_FLAGS, "--actor-lr=0.01", "--cost-limit=0.92"]
CONFIG = dataclasses.replace(read_arguments(FLAGS)[1][0].config, env="ActionProbe")
POINTS = [{"score_weight": weight} for weight in (0.0, 0.1, 1.0, 10.0)]
with known_probes():
    TRIALS = make_trials([CONFIG], POINTS, seeds=2)
SEARCH = Halving(reduction=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, probes):
    """The sweep without a search."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    assert sweep(TRIALS, folder).done == 8
    return folder


@pytest.fixture(scope="module")
def searched(tmp_path_factory, probes):
    folder = tmp_path_factory.mktemp("searched") / "sweep"
    lines = []
    outcome = sweep(TRIALS, folder, search=SEARCH, tell=lines.append)
    assert (outcome.trials, outcome.done, outcome.failed, outcome.pruned) == (8, 2, 0, 6)
    assert outcome.complete
    assert "after epoch 1 go on 2 of 4 points; runs pruned: 4, still trained: 4" in lines
    assert "after epoch 2 go on 1 of 2 points; runs pruned: 2, still trained: 2" in lines
    return folder


# Pure functions.


@pytest.mark.parametrize(
    ("search", "configurations", "epochs", "expected"),
    [
        (Halving(3), 9, 81, [(9, 3), (27, 1)]),
        (Halving(3), 32, 100, [(3, 10), (9, 3), (27, 1)]),
        (Halving(4), 16, 8, [(1, 4), (4, 1)]),
        (Halving(2), 2, 3, [(1, 1)]),
        (Halving(2, 3), 8, 10, [(3, 4), (6, 2)]),
        (Halving(5), 7, 100, [(20, 1)]),
    ],
)
def test_rungs(search, configurations, epochs, expected):
    assert rungs(search, configurations, epochs) == tuple(Rung(*rung) for rung in expected)


@given(st.integers(2, 6), st.integers(1, 300), st.integers(1, 300))
def test_rungs_share_the_work_out(reduction, configurations, epochs):
    """They come ever later and keep ever fewer; the last survivors are few, and train longest."""
    found = rungs(Halving(reduction), configurations, epochs)
    kept = [configurations, *(rung.kept for rung in found)]
    assert all(1 <= after == max(1, before // reduction) for before, after in pairwise(kept))
    assert all(a.epoch * reduction == b.epoch for a, b in pairwise(found))
    assert all(1 <= rung.epoch < epochs for rung in found)
    if epochs >= configurations >= reduction:
        assert kept[-1] < reduction


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 2.0, np.nan]),
            st.tuples(*[st.sampled_from([-1.0, 0.0, 0.5, 3.0])] * 2),
        ),
        min_size=1,
        max_size=7,
    )
)
def test_feasibility_ranks_before_return(members):
    """Lone members with two limits each, against a comparison of pairs."""
    returns = np.array([one for one, _ in members])
    excesses = np.array([one for _, one in members])
    order = ranking([[i] for i in range(len(members))], returns, excesses)
    assert sorted(order) == list(range(len(members)))
    for first, second in pairwise(order):
        if np.isnan(returns[second]):
            continue
        assert not np.isnan(returns[first])
        over, others = max(*excesses[first], 0), max(*excesses[second], 0)
        assert over <= others
        assert over < others or returns[first] >= returns[second]


def test_seeds_are_ranked_together():
    """A lucky seed does not save its configuration, a failed one condemns it."""
    returns = np.array([9.0, 1.0, 6.0, 6.0, 99.0, np.nan, 7.0, 7.0])
    excesses = np.array([[-1.0], [-1.0], [3.0], [-4.0], [-1.0], [np.nan], [0.5], [0.5]])
    assert ranking([[0, 1], [2, 3], [4, 5], [6, 7]], returns, excesses) == [1, 0, 3, 2]


def test_a_trial_stands_by_each_limited_cost(tmp_path, monkeypatch):
    names, hyper = ("cost_low", "cost_high"), CONFIG.hyper.replace(cost_limit=(5.0, 2.0))
    config = dataclasses.replace(CONFIG, constraints=names, hyper=hyper)
    record = {"eval_return": 7.0, "eval_cost/cost_low": 4.0, "eval_cost/cost_high": 2.5}
    monkeypatch.setattr(Member, "records", [{"eval_return": 1.0}, record])
    one = Member(config, TrialDirectory(tmp_path), print)
    assert one.standing() == (7.0, [-1.0, 0.5])
    one.fail("NaN", 100)
    assert np.isnan([one.standing()[0], *one.standing()[1]]).all()


def test_what_does_not_go_on_is_deleted():
    tree = {"a": jnp.arange(12.0).reshape(4, 3), "key": jax.random.split(jax.random.key(0), 4)}
    expected = {"a": np.array([[0.0, 1, 2], [6, 7, 8]]), "key": tree["key"][np.array([0, 2])]}
    kept = only(tree, np.array([0, 2]))
    np.testing.assert_array_equal(kept["a"], expected["a"])
    assert (kept["key"] == expected["key"]).all()
    assert tree["a"].is_deleted()
    assert tree["key"].is_deleted()


# Whole sweeps.


def going_on(table: pd.DataFrame) -> dict[int, set[float]]:
    """The points that should go on after each epoch with a rung, from the numbers of all."""
    alive, found = {point["score_weight"] for point in POINTS}, {}
    for epoch, count in ((1, 2), (2, 1)):
        rows = table[(table.step == WARMUP + epoch * EPOCH) & table.score_weight.isin(alive)]
        means = rows.groupby("score_weight")[["return", "cost"]].mean()
        means["over"] = (means.cost - CONFIG.hyper.cost_limit).clip(lower=0)
        ranked = means.sort_values(["over", "return"], ascending=[True, False])
        alive = found[epoch] = set(ranked.index[:count])
    return found


def test_who_is_pruned_is_who_ranks_last(whole, searched):
    table = results(whole)
    first = table[table.step == WARMUP + EPOCH].groupby("score_weight").cost.mean()
    assert 0 < (first <= CONFIG.hyper.cost_limit).sum() < 4  # Else nothing is to be seen.
    expected = going_on(table)
    found = results(searched)
    for epoch, points in expected.items():
        later = found[found.step > WARMUP + epoch * EPOCH]
        later = later[later.step <= WARMUP + (epoch + 1) * EPOCH]
        assert set(later.score_weight) == points


def test_each_trial_is_in_the_tables_once(searched):
    table, ends = results(searched), pd.read_csv(searched / "trials.csv")
    assert list(ends.trial) == [trial.name for trial in TRIALS]
    assert not table.duplicated(["trial", "step"]).any()
    last = table.groupby("trial").step.max()
    for end in ends.itertuples():
        assert set(table[table.trial == end.trial].status) == {end.status}
        if end.status == "pruned":
            assert end.pruned_at == last[end.trial]
            assert np.isnan(end.return_mean)
        else:
            assert end.status == "done"
            assert last[end.trial] == WARMUP + EPOCHS * EPOCH
            assert np.isnan(end.pruned_at)
            assert np.isfinite(end.return_mean)
    assert sorted(ends.pruned_at.dropna()) == [WARMUP + EPOCH] * 4 + [WARMUP + 2 * EPOCH] * 2


def test_numbers_are_those_of_the_sweep_without_search(whole, searched):
    """Of survivors to the end, of the others as long as they were trained."""
    columns = ["trial", "step", "return", "cost", "lam"]
    every, found = results(whole)[columns], results(searched)[columns]
    both = found.merge(every, on=["trial", "step"], validate="1:1", suffixes=("", "_whole"))
    assert len(both) == len(found) == 4 * 1 + 2 * 2 + 2 * EPOCHS
    for name in columns[2:]:
        np.testing.assert_allclose(both[name], both[f"{name}_whole"], rtol=1e-3, atol=1e-4)
    first, second = (pd.read_csv(f / "trials.csv").set_index("trial") for f in (searched, whole))
    done = first[first.status == "done"]
    np.testing.assert_allclose(done.return_mean, second.return_mean[done.index], rtol=1e-3)


def test_what_is_pruned_keeps_policy_and_curves(searched):
    directory = SweepDirectory(searched)
    pruned = [trial for trial in TRIALS if directory.trial(trial).status == "pruned"]
    for trial in pruned:
        one = directory.trial(trial)
        assert one.curves_file.is_file()
        assert "pruned: rank" in one.log_file.read_text()
        step = results(searched).groupby("trial").step.max()[trial.name]
        assert checkpoint.latest(one.last) == step
    assert evaluate_run(directory.trial(pruned[0]).path, episodes=2).episodes == 2


def test_compare_leaves_out_what_was_pruned(searched):
    comparison, _ = compare_folders([searched])
    (row,) = comparison.rows["ActionProbe"]
    assert row.seeds == (2,)
    assert comparison.runs.left_out == {"pruned": 6}
    assert "left out: 6 pruned" in notes(comparison)
    alone, _ = compare_folders(sorted((searched / "trials").iterdir()))
    assert alone.figures() == comparison.figures()


@pytest.mark.slow
def test_a_stopped_search_resumes_to_the_same_numbers(searched, tmp_path):
    """Stopped after each epoch, at the rungs too."""
    folder = tmp_path / "sweep"
    for _ in range(EPOCHS - 1):
        assert not sweep(TRIALS, folder, search=SEARCH, stop_requested=stop_after(2)).complete
    assert sweep(TRIALS, folder, search=SEARCH).complete
    assert_same_results(folder, searched)


class KilledError(BaseException):
    """Stands for the end of the process: nothing catches it."""


def kill(monkeypatch, place: str, owner, name: str, call: int) -> None:
    """Have a function kill the process when it is called so often."""
    function, calls = getattr(owner, name), iter(range(1000))

    def killing(*arguments, **others):
        if next(calls) == call:
            raise KilledError(place)
        return function(*arguments, **others)

    monkeypatch.setattr(owner, name, killing)


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("place", "owner", "name", "call"),
    [
        slow("before the first is pruned", Member, "prune", 0),
        ("among those that are pruned", Member, "prune", 3),
        slow("between marks and the smaller program", program, "only", 0),
        slow("at the second rung", Member, "prune", 5),
        slow("after the second rung", program._ProgramRun, "_epoch", 2),
        ("in the last epoch", program._ProgramRun, "_epoch", 3),
    ],
)
def test_a_killed_search_resumes_to_the_same_numbers(
    searched, tmp_path, monkeypatch, place, owner, name, call
):
    folder = tmp_path / "sweep"
    with monkeypatch.context() as patch:
        kill(patch, place, owner, name, call)
        with pytest.raises(KilledError):
            sweep(TRIALS, folder, search=SEARCH)
    assert sweep(TRIALS, folder, search=SEARCH).complete
    assert_same_results(folder, searched)


def test_a_damaged_checkpoint_after_a_rung_goes_back_before_it(searched, tmp_path):
    folder, lines = tmp_path / "sweep", []
    sweep(TRIALS, folder, search=SEARCH, stop_requested=stop_after(4), minutes=0)
    state = SweepDirectory(folder).program(0)
    members = {entry.step: entry.notes["members"] for entry in checkpoint.entries(state)}
    assert [len(members[step]) for step in sorted(members)] == [4, 2]
    newest = state / str(max(members))
    largest = max(newest.rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"!")
    assert sweep(TRIALS, folder, search=SEARCH, tell=lines.append).complete
    assert any("is damaged" in line for line in lines)
    assert_same_results(folder, searched)


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_numbers(searched, tmp_path):
    """Killed at a random moment about the first rung."""
    folder = tmp_path / "sweep"
    points = ",".join(str(point["score_weight"]) for point in POINTS)
    flags = ("--env=tests.probes:ActionProbe", "--actor-lr=0.01", "--cost-limit=0.92")
    flags = (*flags, "--seeds=2", f"--grid=score_weight={points}", "--search=successive-halving")
    flags = (*flags, "--reduction=2")
    delay = np.random.default_rng().uniform(0, 1)
    killed = run_until(start_sweep(folder, *flags), "epoch 1/", delay, signal.SIGKILL)
    assert killed == -signal.SIGKILL
    again = start_sweep(folder, *flags)
    assert "2 of 8 trials done, 6 pruned; tables: " in again.stdout.read()
    assert again.wait(120) == 0
    columns = ["seed", "score_weight", "step", "return", "cost", "lam", "feasible", "status"]
    first, second = results(folder)[columns], results(searched)[columns]
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_complete_search_is_left_alone_and_another_refused(searched):
    before = files(searched)
    assert sweep(TRIALS, searched, search=SEARCH).complete
    for search, words in ((None, "none"), (Halving(3), "successive-halving --reduction 3")):
        with pytest.raises(ConfigError) as error:
            sweep(TRIALS, searched, search=search)
        difference = f"(search successive-halving --reduction 2 there, {words} here)"
        assert f"holds another sweep {difference}, allowed is" in str(error.value)
    assert files(searched) == before


@pytest.mark.slow
def test_what_goes_bad_ranks_last(tmp_path):
    folder = tmp_path / "sweep"
    points = [{"critic_lr": 1e30}, {"critic_lr": 1e-3}, {"critic_lr": 1e-4}]
    config = dataclasses.replace(CONFIG, algorithm="sac_lagrangian")  # Compiles faster than algd.
    outcome = sweep(make_trials([config], points, seeds=1), folder, search=Halving(3))
    assert (outcome.done, outcome.failed, outcome.pruned) == (1, 1, 1)
    assert pd.read_csv(folder / "trials.csv").status[0] == "failed"


def test_a_dry_run_shows_the_rungs(tmp_path):
    lines = []
    sweep(TRIALS, tmp_path / "sweep", search=SEARCH, tell=lines.append, dry_run=True)
    assert lines[2] == (
        "  successive-halving of 4 points: 2 go on after epoch 1, 1 after epoch 2, of 4: 50% of "
        "the work of training all"
    )
    assert list(tmp_path.iterdir()) == []


def test_time_left_counts_what_will_be_pruned():
    """8 runs made an epoch in 16 s: 4 more in the next take 8 s, then 2 runs 4 s, twice."""
    plan, lines = packing.pack(TRIALS, search=SEARCH), []
    report = Report(0, 1, EPOCHS, WARMUP + EPOCH, 8, 0, 1, 1.5, 16.0)
    _Progress(plan, (0,), lines.append).show(report)
    assert lines[0].endswith("feasible 1 of 8  0:00:16 left")


def test_seeds_of_a_point_stay_in_one_program(monkeypatch):
    have_memory_for(monkeypatch, 5.5)
    plan = packing.pack(TRIALS, search=SEARCH)
    assert plan.programs == ((0, 1, 2, 3), (4, 5, 6, 7))
    with pytest.raises(ConfigError) as error:
        packing.pack(TRIALS, members=1, search=SEARCH)
    assert str(error.value) == (
        "--search: 2 seeds of a configuration stay in one program, allowed are at most 1 "
        "(--members, or what fits in memory)"
    )


GRID = "--grid=rho=0.5,1,2"
SEARCHING = "--search=successive-halving"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--search=random"], "--search: got 'random', allowed is successive-halving"),
        (["--reduction=3"],
         "--reduction: got 3 without --search, allowed is --search successive-halving"),
        (["--first-rung=1"],
         "--first-rung: got 1 without --search, allowed is --search successive-halving"),
        ([SEARCHING, GRID, "--reduction=1"], "--reduction: got 1, allowed is an integer >= 2"),
        ([SEARCHING, GRID, "--reduction=two"], "--reduction: got 'two', allowed is an integer"),
        ([SEARCHING, GRID, "--first-rung=0"], "--first-rung: got 0, allowed is an integer >= 1"),
        ([SEARCHING, GRID, "--first-rung=4"],
         "--first-rung: got 4, allowed is an integer below the 4 epochs of algd on ActionProbe"),
        ([SEARCHING, GRID, "--env-steps=96"],
         "--search: runs of algd on ActionProbe have 1 epoch, allowed are at least 2"),
        ([SEARCHING, GRID, "--reduction=4", "--seeds=2"],
         "--search: program 0 (6 runs of algd on ActionProbe) has 3 of the points of --grid and "
         "--sample, allowed are at least 4 (--reduction)"),
        ([SEARCHING, "--seeds=9"],
         "--search: program 0 (9 runs of algd on ActionProbe) has 1 of the points of --grid and "
         "--sample, allowed are at least 3 (--reduction)"),
        ([SEARCHING, "--grid=cost_limit=1,2,3"],
         "--search: got successive-halving of several cost_limit, allowed is a sweep for each: the "
         "loosest limit would win"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_in_one_line(algd, tmp_path, flags, line):
    folder = tmp_path / "sweep"
    code, out, err = algd("sweep", "--env=ActionProbe", f"--run-dir={folder}", *TINY_FLAGS, *flags)
    assert (code, out, err) == (2, "", f"algd: {line}\n")
    assert not folder.exists()


@pytest.mark.parametrize(
    "search", ["3", "{}", '{"reduction": 0, "first_rung": null}', '{"reduction": 2}']
)
def test_a_broken_search_in_a_plan_is_told(tmp_path, search):
    directory = SweepDirectory(tmp_path)
    directory.create(packing.pack(TRIALS), [])
    text = directory.sweep_file.read_text()
    directory.sweep_file.write_text(text.replace('"search": null', f'"search": {search}'))
    with pytest.raises(ConfigError, match="does not hold the plan of a sweep"):
        sweep(TRIALS, tmp_path)
