"""Sweeps of tiny probes: trials are lone runs, and nothing is lost, done or counted twice."""

import dataclasses
import itertools
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algd_jax.commands.sweep import read_arguments
from algd_jax.envs import registry
from algd_jax.errors import ConfigError
from algd_jax.presets import preset
from algd_jax.runs.build import build
from algd_jax.runs.compare.compare import compare_folders
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import evaluate_run
from algd_jax.runs.run import train
from algd_jax.runs.sweep import make_trials, packing, program, sweep
from algd_jax.runs.sweep.directory import SweepDirectory
from algd_jax.runs.sweep.member import Member
from algd_jax.runs.sweep.program import Report
from algd_jax.runs.sweep.sweep import _Progress
from algd_jax.training import checkpoint
from algd_jax.training.memory import required_memory
from tests.probes import ActionProbe
from tests.runs.support import (
    EPOCH,
    EPOCHS,
    TINY_FLAGS,
    WARMUP,
    assert_close_trees,
    files,
    known_probes,
    read_lines,
    stop_after,
    tiny_config,
    without_clock,
)

FLAGS = ["--env=tests.probes:ActionProbe", *TINY_FLAGS]
CONFIG = dataclasses.replace(read_arguments(FLAGS)[1][0].config, env="ActionProbe")
with known_probes():
    TRIALS = make_trials([CONFIG], [{"rho": 0.5}, {"rho": 2.0}], seeds=2)
CLOCKS = ["wall_time"]
LAX = CONFIG.hyper.replace(cost_limit=50.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, probes):
    folder = tmp_path_factory.mktemp("undisturbed") / "sweep"
    outcome = sweep(TRIALS, folder)
    assert (outcome.trials, outcome.done, outcome.failed) == (4, 4, 0)
    return folder


def results(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv", engine="python")


def assert_same_results(folder: Path, other: Path) -> None:
    """All columns but the clock's, to the last digit; and the final evaluations."""
    for name in ("results.csv", "trials.csv"):
        first, second = (
            pd.read_csv(path / name, engine="python").drop(columns=CLOCKS, errors="ignore")
            for path in (folder, other)
        )
        pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_the_set_up_builds_an_environment_once(monkeypatch):
    built = []

    def counted():
        built.append(1)
        return ActionProbe()

    monkeypatch.setitem(registry._FACTORIES, "Counted", counted)
    config = dataclasses.replace(CONFIG, env=preset("quick", "Counted").env)
    plan = packing.pack(make_trials([config], [{"cost_discount": 0.9}], seeds=2))
    packing.describe(plan)
    packing.check_fits(plan, 0)
    build(config)
    assert built == [1]


def test_a_trial_equals_the_run_alone(undisturbed, tmp_path):
    trial = TRIALS[3]
    result = train(trial.config, tmp_path / "alone")
    alone, member = RunDirectory(result.run_dir), SweepDirectory(undisturbed).trial(trial)
    assert member.read_config() == alone.read_config() == trial.config
    records = zip(
        without_clock(read_lines(alone.metrics_file)),
        without_clock(read_lines(member.metrics_file)),
        strict=True,
    )
    for expected, actual in records:
        assert expected.keys() == actual.keys()
        for name, value in expected.items():
            assert (actual[name] is None) == (value is None), name
            if value is not None:
                assert actual[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    agent = build(trial.config).algorithm.init(jax.random.key(0), CONFIG.hyper.as_arrays())
    for name in ("last", "best"):
        expected, actual = (checkpoint.restore(getattr(d, name), agent) for d in (alone, member))
        assert (actual.step, actual.notes.keys()) == (expected.step, expected.notes.keys())
        assert_close_trees(actual.tree, expected.tree)
    expected, actual = (json.loads(d.evaluation_file.read_text()) for d in (alone, member))
    assert actual.keys() == expected.keys()
    assert actual["step"] == expected["step"]
    assert actual["return_mean"] == pytest.approx(expected["return_mean"], rel=1e-3)


def test_a_trial_is_an_ordinary_run_directory(undisturbed):
    trial = SweepDirectory(undisturbed).trial(TRIALS[0])
    noted = json.loads(trial.evaluation_file.read_text())
    # The sweep evaluates with the keys that ``algd evaluate`` repeats.
    again = evaluate_run(trial.path)
    assert again.return_mean == pytest.approx(noted["return_mean"], rel=1e-5)
    assert trial.curves_file.is_file()


def test_tables_hold_each_trial_once_per_epoch(undisturbed):
    table = results(undisturbed)
    assert not table.duplicated(["trial", "step"]).any()
    counts = table.groupby("trial").size()
    assert dict(counts) == {trial.name: EPOCHS for trial in TRIALS}
    for trial in TRIALS:
        rows = table[table.trial == trial.name]
        log = read_lines(SweepDirectory(undisturbed).trial(trial).metrics_file)
        assert set(rows.rho) == {trial.config.hyper.rho}
        assert set(rows.seed) == {trial.config.seed}
        assert set(rows.status) == {"done"}
        assert list(rows["return"]) == [record["eval_return"] for record in log]
        assert list(rows.cost) == [record["eval_cost"] for record in log]
        assert list(rows.lam) == [record["lam"] for record in log]
        assert list(rows.feasible) == [r["eval_cost"] <= CONFIG.limits["cost"] for r in log]
    pd.testing.assert_frame_equal(pd.read_parquet(undisturbed / "results.parquet"), table)
    ends = pd.read_csv(undisturbed / "trials.csv")
    assert list(ends.trial) == [trial.name for trial in TRIALS]
    assert ends.return_mean.notna().all()


def test_compare_reads_a_sweep(undisturbed):
    comparison, _ = compare_folders([undisturbed])
    assert len(comparison.rows) >= 1


def test_a_sweep_and_its_trials_are_the_same_comparison(undisturbed):
    trials = sorted((undisturbed / "trials").iterdir())
    alone, _ = compare_folders(trials)
    together, _ = compare_folders([undisturbed])
    assert alone.figures() == together.figures()


LUCKY = tiny_config("LuckyProbe", cost_limit=4.3, env_steps=WARMUP + 10 * EPOCH)


def read_all(directory: RunDirectory) -> tuple:
    """What a run says of its evaluations, its best policies and its end."""
    keys = ("step", "eval_return", "eval_cost", "confirmed_return", "confirmed_bound")
    log = [[record[key] for key in keys] for record in read_lines(directory.metrics_file)]
    told = [line.split(" ", 1)[1] for line in directory.log_file.read_text().splitlines()]
    ended = json.loads(directory.evaluation_file.read_text())
    return log, checkpoint.entries(directory.best), told, ended


def test_members_have_candidates_and_fall_back_as_lone_runs_do(tmp_path, refuse):
    """Policies that all cost the same; each member has other lucky draws."""
    trials = make_trials([LUCKY], [{}], seeds=8)
    refuse(224, 480)
    assert sweep(trials, tmp_path / "sweep").done == 8
    directory = SweepDirectory(tmp_path / "sweep")
    candidates = [
        tuple(r["confirmed_return"] is not None for r in read_lines(one.metrics_file))
        for one in map(directory.trial, trials)
    ]
    assert len(set(candidates)) > 4  # Where one has a candidate, others have none.
    refused = [trial for trial in trials if directory.trial(trial).log_file.exists()]
    ended = {
        trial: json.loads(directory.trial(trial).evaluation_file.read_text()) for trial in refused
    }
    # One whose policies before were refused too or never there, and one that falls back to one.
    without = next(trial for trial in refused if not ended[trial]["feasible"])
    falls_back = next(trial for trial in refused if ended[trial]["feasible"])
    assert ended[without]["step"] in (224, 480)
    assert ended[falls_back]["step"] not in (224, 480)
    for trial in (without, falls_back):
        alone = RunDirectory(train(trial.config, tmp_path / trial.name).run_dir)
        assert read_all(directory.trial(trial)) == read_all(alone)


def test_members_fall_back_to_the_policy_of_before(tmp_path, refuse):
    """... and evaluate that: it repeats."""
    trials = make_trials([dataclasses.replace(CONFIG, hyper=LAX)], [{}], seeds=4)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    sweep(trials, calm)
    bests = {
        trial.name: [
            entry.step for entry in checkpoint.entries(SweepDirectory(calm).trial(trial).best)
        ]
        for trial in trials
    }
    newest = {steps[-1] for steps in bests.values()}
    refuse(*newest)

    class Killed(BaseException):
        pass

    end, killed = Member.end, []

    def die_once(self):
        if len(killed) < 1 and self._choice.summary.step not in newest:
            self._choice.forget_refused(self._directory)
            killed.append(self)
            raise Killed
        end(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Member, "end", die_once)
        with pytest.raises(Killed):
            sweep(trials, rough)
    assert sweep(trials, rough).done == 4
    refuse()
    fell_back = 0
    for trial in trials:
        one = SweepDirectory(rough).trial(trial)
        ended = json.loads(one.evaluation_file.read_text())
        kept = [step for step in bests[trial.name] if step not in newest]
        assert ended["step"] == (kept or bests[trial.name])[-1]
        again = evaluate_run(one.path)
        assert again.step == ended["step"]
        if kept:
            fell_back += 1
            assert again.feasible
            assert again.return_mean == pytest.approx(ended["return_mean"], rel=1e-5)
    assert fell_back


def test_a_stopped_sweep_resumes_to_the_same_numbers(undisturbed, tmp_path):
    folder = tmp_path / "sweep"
    phases = []
    outcome = sweep(TRIALS, folder, stop_requested=stop_after(3), phase=phases.append)
    assert phases[:6] == [
        "compiling and warming up",
        *2 * ["training", "evaluating"],
        "checkpointing",
    ]
    assert not outcome.complete
    assert set(results(folder).status) == {"running"}
    assert sweep(TRIALS, folder).complete
    assert_same_results(folder, undisturbed)


def test_a_complete_sweep_is_left_alone(undisturbed):
    before, lines = files(undisturbed), []
    assert sweep(TRIALS, undisturbed, tell=lines.append).complete
    assert lines[0] == f"4 trials in 1 program, 1 complete already -> {undisturbed}"
    assert files(undisturbed) == before


def test_the_first_epoch_says_how_long_all_takes():
    """Two programs of two runs; an epoch of 64 steps took 32 s, 96 of 288 steps are done."""
    plan, lines = packing.pack(TRIALS, members=2), []
    progress = _Progress(plan, (0, 1), lines.append)
    report = Report(0, 1, 4, 96, 2, 0, 1, 1.5, 32.0)
    progress.show(report)
    progress.show(report._replace(failed=2, feasible=0, median_return=None))
    # (4 · 288 − 2 · 96) steps at 32 s for 2 · 64.
    assert lines == [
        "program 0  epoch 1/4  step 96  median return 1.50  feasible 1 of 2  0:01:36 left",
        "by this epoch, all programs one after the other take 0:04:00",
        "program 0  epoch 1/4  step 96  median return -  feasible 0 of 2, 2 failed  0:01:36 left",
    ]


def test_a_member_that_goes_bad_does_not_stop_the_others(undisturbed, tmp_path):
    """The first two trials are those of the undisturbed sweep; the others' losses overflow."""
    folder, lines = tmp_path / "sweep", []
    sound = {"rho": 0.5, "critic_lr": CONFIG.hyper.critic_lr}
    trials = make_trials([CONFIG], [sound, {"rho": 0.5, "critic_lr": 1e30}], seeds=2)
    outcome = sweep(trials, folder, tell=lines.append)
    assert (outcome.done, outcome.failed, outcome.complete) == (2, 2, True)
    table = results(folder)
    assert list(table[table.seed == 0].status.unique()) == ["done", "failed"]
    good, expected = table[table.status == "done"], results(undisturbed)
    np.testing.assert_array_equal(good["return"], expected[expected.rho == 0.5]["return"])
    failed = pd.read_csv(folder / "trials.csv").iloc[2]
    assert failed.status == "failed"
    assert "at environment step" in failed.failure
    assert any(line.startswith(f"{trials[2].name} failed: ") for line in lines)
    before = files(folder)
    assert sweep(trials, folder).failed == 2
    assert files(folder) == before


def test_another_sweep_is_not_overwritten(undisturbed):
    before = files(undisturbed)
    others = {
        "trial 002-ActionProbe-algd-rho2-seed0: rho 2.0 there, 3.0 here": make_trials(
            [CONFIG], [{"rho": 0.5}, {"rho": 3.0}], seeds=2
        ),
        "4 trials there, 2 here": TRIALS[:2],
    }
    for difference, trials in others.items():
        with pytest.raises(ConfigError) as error:
            sweep(trials, undisturbed)
        assert str(error.value) == (
            f"run_dir: {undisturbed} holds another sweep ({difference}), allowed is a new or empty "
            "directory (or the command that began the sweep, to resume it)"
        )
    assert files(undisturbed) == before


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="is not empty and no sweep, allowed is"):
        sweep(TRIALS, tmp_path)
    assert files(tmp_path) == {"thesis.tex": b"precious"}


def test_a_failed_sweep_keeps_its_traceback(tmp_path, monkeypatch):
    def broken(run, stop_requested, command):
        raise ValueError("broken")

    monkeypatch.setattr(program._ProgramRun, "run", broken)
    with pytest.raises(ValueError, match="broken"):
        sweep(TRIALS, tmp_path / "sweep")
    log = SweepDirectory(tmp_path / "sweep").log_file.read_text()
    assert " failed:\nTraceback (most recent call last):\n" in log
    assert log.endswith("ValueError: broken\n")


def test_a_plan_of_before_a_field_was_there_is_read(tmp_path):
    directory = SweepDirectory(tmp_path)
    plan = packing.pack(TRIALS)
    directory.create(plan, [])
    record = json.loads(directory.sweep_file.read_text())
    for one in record["trials"]:
        del one["config"]["loop"]["spread_episodes"]
        del one["config"]["health"]
    directory.sweep_file.write_text(json.dumps(record))
    assert directory.read_plan() == plan


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format_version": 2}', '{"format_version": 1, "trials": 3}']
)
def test_a_broken_plan_is_told(tmp_path, content):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(ConfigError, match=r"sweep\.json: "):
        sweep(TRIALS, tmp_path)
    assert (tmp_path / "sweep.json").read_text() == content


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path):
    lines = []
    outcome = sweep(TRIALS, tmp_path / "sweep", tell=lines.append, dry_run=True)
    assert outcome.done == 0
    assert lines[0].startswith("4 trials in 1 program -> ")
    assert lines[1].startswith("program 0: 4 runs of algd on ActionProbe, ")
    assert list(tmp_path.iterdir()) == []


def have_memory_for(monkeypatch, members: float) -> None:
    memory = required_memory(build(CONFIG), CONFIG.hyper.as_arrays())
    free = memory.allowance + int(members * sum(memory.parts.values()))
    monkeypatch.setattr(packing, "available_memory", lambda device: free)


def test_a_population_that_does_not_fit_is_split(monkeypatch, tmp_path):
    have_memory_for(monkeypatch, 3.5)
    trials, lines = make_trials([CONFIG], [{}], seeds=7), []
    sweep(trials, tmp_path / "sweep", tell=lines.append, dry_run=True)
    assert lines[1] == (
        "7 runs of algd on ActionProbe are 3 programs: so many do not fit in memory"
    )
    assert packing.pack(trials).programs == ((0, 1), (2, 3), (4, 5, 6))
    with pytest.raises(ConfigError) as error:
        packing.pack(trials, members=5)
    assert str(error.value) == (
        "--members: got 5, which do not fit in memory, allowed are at most 3 of algd on ActionProbe"
    )
    have_memory_for(monkeypatch, 0.5)
    with pytest.raises(ConfigError, match=r"^memory: one run of algd on ActionProbe needs"):
        packing.pack(trials)


@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))),
)
def test_members_on_several_devices_are_split_into_the_fewest_programs_that_fit(
    devices, room, trials_and_most
):
    """Of a prime number of members all lie on one device: more members may fit where fewer do
    not."""
    trials, wanted = trials_and_most

    def fits(members):
        taken = max(n for n in range(1, devices + 1) if members % n == 0)
        return members // taken <= room

    most = packing._most_that_fit(TRIALS[0], fits, wanted)
    assert most == max(count for count in range(1, wanted + 1) if fits(count))
    programs = packing._split([(number,) for number in range(trials)], most, fits)
    assert list(itertools.chain(*programs)) == list(range(trials))
    sizes = [len(program) for program in programs]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert all(map(fits, sizes))
    for fewer in range(1, len(programs)):
        low, more = divmod(trials, fewer)
        even = {low, low + 1} if more else {low}
        assert max(even) > most or not all(map(fits, even))


def test_eight_devices_with_room_for_two_each_take_sixteen_members():
    def fits(members):
        return members // max(n for n in range(1, 9) if members % n == 0) <= 2

    assert packing._most_that_fit(TRIALS[0], fits, 16) == 16
    assert list(map(len, packing._split([(k,) for k in range(22)], 14, fits))) == [7, 7, 8]


def test_a_program_that_does_not_fit_any_more_is_told(monkeypatch, tmp_path):
    directory = SweepDirectory(tmp_path / "sweep")
    directory.create(packing.pack(TRIALS), [])
    have_memory_for(monkeypatch, 2.5)
    with pytest.raises(ConfigError) as error:
        sweep(TRIALS, directory.path)
    assert str(error.value) == (
        "memory: program 0 has 4 runs of algd on ActionProbe, but only 2 would fit here; allowed "
        "is a new sweep with --members 2"
    )


def test_programs_that_are_there_are_not_made_smaller(tmp_path):
    directory = SweepDirectory(tmp_path / "sweep")
    directory.create(packing.pack(TRIALS), [])
    with pytest.raises(ConfigError) as error:
        sweep(TRIALS, directory.path, members=3)
    assert str(error.value) == (
        f"--members: got 3, but a program of {directory.path} has 4, and programs that are there "
        "stay; allowed is that, or a new sweep"
    )
    sweep(TRIALS, directory.path, members=4, dry_run=True)


def test_what_happens_after_the_last_epoch_is_told_too(monkeypatch, tmp_path):
    refuses = Member.refuses

    def fail_at_the_end(self, outcome):
        if self._directory.path.name == TRIALS[1].name:
            outcome = outcome.replace(returns=np.full_like(outcome.returns, np.nan))
        return refuses(self, outcome)

    monkeypatch.setattr(Member, "refuses", fail_at_the_end)
    lines = []
    outcome = sweep(TRIALS[:2], tmp_path / "sweep", tell=lines.append)
    assert (outcome.done, outcome.failed) == (1, 1)
    (line,) = [line for line in lines if " failed: evaluation returns is NaN or infinite" in line]
    assert line.startswith(TRIALS[1].name)


def test_two_processes_do_not_run_one_program(tmp_path):
    directory = SweepDirectory(tmp_path / "sweep")
    directory.create(packing.pack(TRIALS), [])
    with directory.running(0), pytest.raises(ConfigError) as error:
        sweep(TRIALS, directory.path)
    assert str(error.value) == (
        f"run_dir: program 0 of {directory.path} is being run by another process; allowed is one "
        "at a time"
    )


def test_the_script_for_slurm_runs_each_program(algd, undisturbed, tmp_path):
    folder = tmp_path / "sweep"
    sizes = ["--seeds=2", "--grid=rho=0.5,2", "--members=2", "--gpus=1", "--cpus=8"]
    flags = ["--env=ActionProbe", *sizes, f"--run-dir={folder}", *TINY_FLAGS]
    code, out, _ = algd("sweep", *flags, "--executor", "slurm-script")
    assert code == 0
    assert out.splitlines()[1] == (
        "4 runs of algd on ActionProbe are 2 programs: as --members says"
    )
    assert out.splitlines()[-1] == f"next: sbatch {folder}/sweep.sbatch"
    script = (folder / "sweep.sbatch").read_text()
    for line in ("array=0,1", "gpus-per-task=1", "cpus-per-task=8"):
        assert f"#SBATCH --{line}\n" in script
    subprocess.run(["bash", "-n", folder / "sweep.sbatch"], check=True)
    command = script.splitlines()[-1]
    task = f"exec srun {shlex.join(['algd', 'sweep', *flags])}"
    assert command == f'{task} --program="$SLURM_ARRAY_TASK_ID"'
    # As Slurm would call it, each makes its own program's trials and no others.
    assert algd("sweep", *flags, "--program=1")[0] == 0
    assert list(results(folder).groupby("trial").status.first()) == ["running"] * 2 + ["done"] * 2
    assert algd("sweep", *flags, "--program=0")[0] == 0
    # Programs of other sizes make the same trials.
    first, second = results(folder), results(undisturbed)
    assert list(first.trial) == list(second.trial)
    np.testing.assert_allclose(first["return"], second["return"], rtol=1e-3, atol=1e-4)


def test_the_example_ranks_by_feasibility_and_then_return(monkeypatch, tmp_path):
    """Its table, of a sweep that is made up: two algorithms, four points, two seeds."""
    from experiments import sweep as example

    def make_up(trials, run_dir, **_):
        assert len(trials) == 16
        rows = [
            {
                "algorithm": trial.config.algorithm,
                "cost_limit": trial.config.hyper.cost_limit,
                "rho": trial.config.hyper.rho,
                "feasible": trial.config.algorithm == "algd",
                "return_mean": trial.config.hyper.rho + trial.config.seed,
                "cost_mean": 3.0,
            }
            for trial in trials
        ]
        pd.DataFrame(rows).to_csv(f"{run_dir}/trials.csv")

    monkeypatch.setattr(example, "sweep", make_up)
    table = example.main(str(tmp_path))
    assert len(table) == 8
    assert list(table.index.get_level_values("algorithm")) == ["algd"] * 4 + ["cal"] * 4
    assert list(table.return_mean) == [2.5, 2.5, 1.0, 1.0] * 2


# In processes of their own, which are killed.


def start(folder: Path, *flags: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "algd_jax", "sweep", f"--run-dir={folder}", *flags]
    return subprocess.Popen(
        [*command, "--checkpoint-minutes=0", *TINY_FLAGS], stdout=subprocess.PIPE, text=True
    )


def run_until(
    process: subprocess.Popen, line: str, delay: float, number: int, times: int = 1
) -> int:
    """Send a signal some time after a line was told so many times; the exit code."""
    for told in process.stdout:
        times -= line in told
        if times == 0:
            time.sleep(delay)
            process.send_signal(number)
            break
    process.stdout.read()
    return process.wait(120)


SMALL = ("--env=tests.probes:ActionProbe", "--seeds=2", "--grid=rho=0.5,2")


def test_a_killed_sweep_is_finished_by_the_same_command(undisturbed, tmp_path):
    """Stopped first, which leaves a checkpoint, then killed at a random moment."""
    folder = tmp_path / "sweep"
    code = run_until(start(folder, *SMALL), "epoch 1/", 0, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    state = SweepDirectory(folder).program(0)
    assert checkpoint.latest(state) == max(results(folder).step)
    delay = np.random.default_rng().uniform(0, 0.5)
    code = run_until(start(folder, *SMALL), "program 0  epoch", delay, signal.SIGKILL)
    assert code == -signal.SIGKILL
    again = start(folder, *SMALL)
    assert "4 of 4 trials done" in again.stdout.read()
    assert again.wait(120) == 0
    first, second = results(folder), results(undisturbed)
    columns = ["seed", "rho", "step", "return", "cost", "lam", "feasible"]
    pd.testing.assert_frame_equal(first[columns], second[columns], check_exact=True)


@pytest.mark.slow
def test_a_large_sweep_killed_twice(tmp_path):
    """2 environments, 2 algorithms, 3 seeds, 2 values: it equals an undisturbed one."""
    flags = (
        "--env=tests.probes:ActionProbe",
        "--env=tests.probes:ProbeEnv",
        "--algorithm=algd",
        "--algorithm=cal",
        "--seeds=3",
        "--grid=rho=0.5,2",
    )
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    process = start(calm, *flags)
    assert process.stdout.read().count("  epoch ") == 4 * EPOCHS
    assert process.wait(10) == 0
    generator = np.random.default_rng()
    for _ in range(2):
        process, epochs = start(rough, *flags), int(generator.integers(1, 7))
        delay = generator.uniform(0, 1)
        code = run_until(process, "  epoch ", delay, signal.SIGKILL, epochs)
        assert code == -signal.SIGKILL
    process = start(rough, *flags)
    assert "24 of 24 trials done" in process.stdout.read()
    assert process.wait(10) == 0
    assert_same_results(rough, calm)
    assert results(rough).groupby("trial").size().tolist() == [EPOCHS] * 24
