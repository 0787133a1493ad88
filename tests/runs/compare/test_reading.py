"""One table from sweeps and runs, and one clear line for everything that is neither."""

import dataclasses
import json
import math
import os

import numpy as np
import pandas as pd
import pytest

from algd_jax.config import AgentConfig, Config, Hyper, LoopConfig
from algd_jax.errors import ConfigError
from algd_jax.presets import preset
from algd_jax.runs.compare.reading import last_epochs, read_runs
from algd_jax.runs.directory import RunDirectory
from tests.runs.compare.tables import make_table, write_run, write_sweep
from tests.runs.support import files


def test_a_sweep_comes_back_as_written(tmp_path):
    table = make_table(rhos=(0.5, 1.0), seeds=2)
    runs = read_runs([write_sweep(tmp_path / "sweep", table)])
    assert (runs.swept, runs.left_out) == (["rho"], {})
    assert set(runs.epochs.configuration) == {"algd rho=0.5", "algd rho=1"}
    columns = ["rho", "seed", "step"]
    numbers = ["return", "cost", "cost_limit", "lam", "feasible", "wall_time"]
    expected = table.sort_values(columns, ignore_index=True)[[*columns, *numbers]]
    found = runs.epochs.sort_values(columns, ignore_index=True)[[*columns, *numbers]]
    pd.testing.assert_frame_equal(found.astype({"rho": float}), expected, rtol=1e-15)


def test_runs_make_the_same_table_as_a_sweep(tmp_path):
    table = make_table(seeds=3)
    folders = [
        write_run(tmp_path / f"run{seed}", Config(env="EnvA", seed=seed), part)
        for seed, part in table.groupby("seed")
    ]
    from_runs = read_runs(folders).epochs
    from_sweep = read_runs([write_sweep(tmp_path / "sweep", table.drop(columns="rho"))]).epochs
    shared = [name for name in from_sweep if name != "trial"]
    pd.testing.assert_frame_equal(from_runs[shared], from_sweep[shared], rtol=1e-15)


def test_nothing_is_written_by_reading(tmp_path):
    folder = write_run(tmp_path / "run", Config(), make_table(seeds=1))
    before = files(tmp_path)
    read_runs([folder])
    assert files(tmp_path) == before


def test_what_differs_between_runs_names_their_configurations(tmp_path):
    table = make_table(seeds=1)
    configs = [
        Config(seed=0, hyper=Hyper(rho=0.5)),
        Config(seed=0, preset="paper", loop=LoopConfig(keep_last=9), hyper=Hyper(rho=2.0)),
        Config(seed=0, env="EnvB", hyper=Hyper(rho=2.0, actor_lr=0.1)),
        Config(seed=0, algorithm="cal", hyper=Hyper(rho=2.0, kappa=0.5)),
    ]
    folders = [
        write_run(tmp_path / str(index), config, table) for index, config in enumerate(configs)
    ]
    runs = read_runs(folders)
    assert runs.swept == ["rho"]  # Others go with the environment or the algorithm.
    assert set(runs.epochs.configuration) == {"algd rho=0.5", "algd rho=2", "cal"}


def test_a_presets_name_stands_for_what_its_runs_have_alike(tmp_path):
    table = make_table(seeds=1)
    quick, throughput = (preset(name, "PointButton1") for name in ("quick", "throughput"))
    configs = [quick, dataclasses.replace(quick, hyper=quick.hyper.replace(rho=2.0)), throughput]
    folders = [
        write_run(tmp_path / str(index), config, table) for index, config in enumerate(configs)
    ]
    runs = read_runs(folders)
    assert runs.swept == ["preset", "rho"]
    assert set(runs.epochs.configuration) == {
        f"algd preset=quick rho={quick.hyper.rho:g}",
        "algd preset=quick rho=2",
        f"algd preset=throughput rho={throughput.hyper.rho:g}",
    }


def test_runs_beside_a_sweep_say_what_it_swept(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", make_table(rhos=(0.5, 1.0), seeds=2))
    config = Config(env="EnvA", seed=7, hyper=Hyper(rho=0.5))
    run = write_run(tmp_path / "run", config, make_table(seeds=1))
    last = last_epochs(read_runs([sweep, run]).epochs)
    seeds = last.groupby("configuration").seed.agg(list).to_dict()
    assert seeds == {"algd rho=0.5": [0, 1, 7], "algd rho=1": [0, 1]}


def test_sweeps_of_different_sizes_are_told_apart(tmp_path):
    folders = []
    for chain_steps in (5, 10):
        table = make_table(rhos=(0.5, 1.0), seeds=2)
        sweep = write_sweep(tmp_path / f"steps{chain_steps}", table)
        for trial, part in table.groupby("trial"):
            config = Config(
                env="EnvA",
                seed=int(part.seed.iloc[0]),
                agent=AgentConfig(chain_steps=chain_steps),
                hyper=Hyper(rho=float(part.rho.iloc[0])),
            )
            write_run(sweep / "trials" / trial, config, part)
        folders.append(sweep)
    assert read_runs(folders[:1]).swept == ["rho"]
    runs = read_runs(folders)
    assert runs.swept == ["chain_steps", "rho"]
    names = {f"algd chain_steps={steps} rho={rho}" for steps in (5, 10) for rho in (0.5, 1)}
    assert set(runs.epochs.configuration) == names


def test_a_trial_that_names_a_place_elsewhere_is_not_looked_up(tmp_path):
    outside = write_run(tmp_path / "outside", Config(env="EnvB"), make_table(seeds=1))
    table = make_table(seeds=1).assign(trial="../../outside")
    sweep = write_sweep(tmp_path / "sweep", table)
    (sweep / "trials").mkdir()
    other = write_sweep(tmp_path / "other", make_table(algorithms=("cal",), seeds=1))
    assert (sweep / "trials" / "../../outside/config.json").is_file()
    (outside / "config.json").write_text("garbled")
    assert len(read_runs([sweep, other]).epochs) == 24


def test_limits_of_one_seed_are_swept(tmp_path):
    tables = [make_table(cost_limit=limit, seeds=2, seed=3) for limit in (5.0, 25.0)]
    tables[1]["trial"] = "other " + tables[1].trial
    runs = read_runs([write_sweep(tmp_path, pd.concat(tables))])
    assert runs.swept == ["cost_limit"]
    assert set(runs.epochs.configuration) == {"algd cost_limit=5", "algd cost_limit=25"}


def test_names_do_not_change_while_a_sweep_goes_on(tmp_path):
    tables = [make_table(cost_limit=limit, rhos=(0.5, 1.0), seeds=2) for limit in (5.0, 25.0)]
    tables[1]["trial"] = "other " + tables[1].trial
    table = pd.concat(tables)
    whole = read_runs([write_sweep(tmp_path / "whole", table)])
    table.loc[~table.trial.isin(["t000", "other t001"]), "status"] = "running"
    part = read_runs([write_sweep(tmp_path / "part", table)])
    assert part.swept == whole.swept == ["rho", "cost_limit"]
    names = ["algd rho=0.5 cost_limit=25", "algd rho=0.5 cost_limit=5"]
    assert sorted(part.epochs.configuration.unique()) == names
    assert set(names) < set(whole.epochs.configuration)
    assert part.left_out == {"unfinished": 6}


def test_numbers_are_as_short_as_they_stay_different(tmp_path):
    table = make_table(rhos=(0.1, 0.12345678, 0.12345679), seeds=1)
    names = read_runs([write_sweep(tmp_path, table)]).epochs.configuration.unique()
    assert list(names) == ["algd rho=0.1", "algd rho=0.12345678", "algd rho=0.12345679"]


def test_trials_without_an_end_are_left_out(tmp_path):
    table = make_table(seeds=5)
    status = {"t000": "running", "t001": "failed", "t002": "failed"}
    table["status"] = table.trial.map(status).fillna("done")
    table.loc[(table.trial == "t003") & (table.step == 12_000), "return"] = math.nan
    runs = read_runs([write_sweep(tmp_path, table)])
    assert runs.left_out == {"failed": 2, "unfinished": 1, "without an evaluation": 1}
    assert list(runs.epochs.seed.unique()) == [4]


def test_runs_without_an_end_are_left_out(tmp_path):
    table = make_table(seeds=1)
    done = write_run(tmp_path / "done", Config(seed=0), table)
    stopped = write_run(tmp_path / "stopped", Config(seed=1), table, done=False)
    fresh = write_run(tmp_path / "fresh", Config(seed=2), table.head(0), done=False)
    assert read_runs([done, stopped, fresh]).left_out == {"unfinished": 2}
    with pytest.raises(ConfigError, match=r"no finished run to compare \(2 unfinished\)"):
        read_runs([stopped, fresh])


def test_an_environment_that_is_code_is_not_imported(tmp_path):
    config = Config(env="nowhere_at_all:make")
    folder = write_run(tmp_path / "run", config, make_table(seeds=1))
    assert set(read_runs([folder]).epochs.env) == {"nowhere_at_all:make"}


def test_a_field_that_came_later_has_its_default(tmp_path):
    folder = write_run(tmp_path / "run", Config(), make_table(seeds=1))
    path = folder / "config.json"
    record = json.loads(path.read_text())
    del record["config"]["constraints"], record["config"]["hyper"]["rho"]
    path.write_text(json.dumps(record))
    assert RunDirectory(folder).look_up_config() == Config()
    record["config"]["hyper"]["rhoo"] = 1.0
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="unknown field 'rhoo'"):
        read_runs([folder])


def test_a_limited_part_of_the_cost_is_the_cost(tmp_path):
    config = Config(constraints=("cost_low",))
    part = make_table(seeds=1)
    folder = write_run(
        tmp_path / "part", config, part, cost="eval_cost/cost_low", lam="lam/cost_low"
    )
    np.testing.assert_array_equal(read_runs([folder]).epochs.cost, part.cost)
    broken = dataclasses.replace(config, constraints=("cost_low", "cost_high"))
    with pytest.raises(ConfigError, match="got 1 numbers for 2 constraints, allowed is one for"):
        read_runs([write_run(tmp_path / "broken", broken, part)])


BAD_TABLES = {
    "empty": (lambda table: table.head(0), "has no rows"),
    "half a cost": (
        lambda table: table.rename(columns={"cost_limit": "cost_limit/cost_low"}),
        "missing column 'cost/cost_low'",
    ),
    "no return": (lambda table: table.drop(columns="return"), "missing column 'return'"),
    "text": (
        lambda table: table.assign(cost="much"),
        "cost: allowed is a number from -1e+100 to 1e+100",
    ),
    "infinite": (
        lambda table: table.assign(cost=math.inf),
        "cost: allowed is a number from -1e+100 to 1e+100",
    ),
    "huge": (lambda table: table.assign(cost=1e300), "cost: allowed is a number from -1e+100"),
    "flag": (lambda table: table.assign(feasible="maybe"), "feasible: allowed is True or False"),
    "half a seed": (lambda table: table.assign(seed=0.5), "seed: allowed is an integer"),
    "limit": (lambda table: table.assign(cost_limit=-1.0), "cost_limit: allowed is a number >= 0"),
    "no limit": (lambda table: table.assign(cost_limit=math.nan), "cost_limit: allowed is a"),
    "status": (lambda table: table.assign(status="lost"), "status: got 'lost', allowed is one of"),
    "no env": (lambda table: table.assign(env=""), "env: a value is missing"),
    "bell": (lambda table: table.assign(env="E\a"), "'env': allowed is printable text"),
    "escape": (lambda table: table.rename(columns={"rho": "\x1b[2J"}), "allowed is printable text"),
    "twice": (lambda table: table.assign(step=1000), "trial 't000' has step 1000 twice"),
    "moving": (lambda table: table.assign(rho=table.step), "rho: differs between rows of trial"),
    "limits": (
        lambda table: table.assign(cost_limit=table.seed + 5.0),
        "cost_limit: got 5 and 6 in runs of 'algd' on EnvA, allowed is one limit per config",
    ),
    "seeds": (lambda table: table.assign(seed=3), "seed: 3 of 'algd' on EnvA is in"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_refused_in_one_line(tmp_path, name):
    spoil, message = BAD_TABLES[name]
    folder = write_sweep(tmp_path, spoil(make_table(seeds=2)))
    with pytest.raises(ConfigError) as error:
        read_runs([folder])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00garbage", b'trial,env\n"t0,E', b"trial,env\n1,2\n1,2,3,4\n", bytes(100)],
)
def test_garbled_tables_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=r"results\.csv: ") as error:
        read_runs([tmp_path])
    assert str(error.value).isprintable()


def test_a_table_of_any_size_is_not_read(tmp_path):
    (tmp_path / "results.csv").touch()
    os.truncate(tmp_path / "results.csv", 2**40)  # Sparse: takes no place, but nobody may read it.
    with pytest.raises(ConfigError, match="larger than 1073741824 bytes"):
        read_runs([tmp_path])


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="folders: got none"):
        read_runs([])
    with pytest.raises(ConfigError, match=r"is neither, allowed is a sweep directory"):
        read_runs([tmp_path])
    with pytest.raises(ConfigError, match=r"is no folder"):
        read_runs([tmp_path / "nowhere"])
    folder = write_sweep(tmp_path / "sweep", make_table())
    with pytest.raises(ConfigError, match="twice, allowed is each folder once"):
        read_runs([folder, folder / ".." / "sweep"])


def test_a_garbled_log_is_refused(tmp_path):
    folder = write_run(tmp_path / "run", Config(), make_table(seeds=1))
    log = folder / "metrics.jsonl"
    log.write_text("not json\n" + log.read_text())
    with pytest.raises(ConfigError, match="line 1 is no epoch"):
        read_runs([folder])
    log.write_text('{"step": 1, "eval_return": Infinity, "eval_cost": 1.0}\n{"step": 2}\n')
    with pytest.raises(ConfigError, match="line 1 is no epoch"):
        read_runs([folder])
