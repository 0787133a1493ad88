"""From flags to trials: what a sweep varies, and how it answers what it cannot vary."""
# ruff: noqa: E501  The table has one case on a line, as do the messages on a terminal.

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algd_jax.commands.sweep import read_arguments
from algd_jax.config import Hyper
from algd_jax.envs import registry
from algd_jax.errors import ConfigError
from algd_jax.runs.sweep.grid import points
from algd_jax.runs.sweep.plan import groups, make_trials
from tests.probes import DiscountedProbe
from tests.runs.support import TINY_FLAGS, tiny_config

TINY = ["--env=ActionProbe", "--run-dir=unused", *TINY_FLAGS]

values = st.lists(st.floats(2**-10, 2**10, width=32), min_size=1, max_size=4, unique=True)


@given(rho=values, kappa=values)
def test_a_grid_is_every_combination_in_order(rho, kappa):
    texts = [f"rho={','.join(map(str, rho))}", f"kappa={','.join(map(str, kappa))}"]
    expected = [{"rho": r, "kappa": k} for r, k in itertools.product(rho, kappa)]
    assert points(texts) == expected


def test_the_discount_of_a_discounted_limit_is_not_swept(monkeypatch):
    monkeypatch.setitem(registry._FACTORIES, "DiscountedProbe", DiscountedProbe)
    config = tiny_config("DiscountedProbe")
    config = dataclasses.replace(config, hyper=config.hyper.replace(cost_discount=0.5))
    assert len(make_trials([config], points(["cost_discount=0.5"]), seeds=2)) == 2
    with pytest.raises(ConfigError, match=r"^cost_discount: got 0\.9, allowed is 0\.5, by which"):
        make_trials([config], points(["cost_discount=0.5,0.9"]), seeds=2)


def test_no_grid_is_one_point():
    assert points() == [{}]


def test_lr_is_both_learning_rates():
    assert points(["lr=0.1,0.2"]) == [{"actor_lr": v, "critic_lr": v} for v in (0.1, 0.2)]


def test_draws_are_of_their_law_and_depend_on_seed_and_name_alone():
    law = "lr=loguniform:1e-4:1e-2"
    drawn = [one["actor_lr"] for one in points(sample=[law], trials=2000, seed=3)]
    assert min(drawn) >= 1e-4
    assert max(drawn) <= 1e-2
    # Uniform in the logarithm: quartiles at equal ratios.
    quartiles = np.quantile(np.log10(drawn), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [-3.5, -3, -2.5], atol=0.1)
    assert drawn[:5] == [one["actor_lr"] for one in points(sample=[law], trials=5, seed=3)]
    more = points(sample=["kappa=uniform:0:2", law], trials=5, seed=3)
    assert drawn[:5] == [one["actor_lr"] for one in more]
    assert drawn[:5] != [one["actor_lr"] for one in points(sample=[law], trials=5, seed=4)]
    uniform = [one["kappa"] for one in points(sample=["kappa=uniform:0:2"], trials=2000)]
    np.testing.assert_allclose(np.quantile(uniform, [0.25, 0.5, 0.75]), [0.5, 1, 1.5], atol=0.1)


def test_each_draw_runs_at_each_grid_point():
    both = points(["rho=1,2"], ["kappa=uniform:0:1"], trials=3)
    assert len(both) == 6
    kappas = [one["kappa"] for one in both]
    assert kappas[:3] == kappas[3:]
    assert len(set(kappas)) == 3


def test_flags_become_trials_in_the_order_of_environment_algorithm_point_and_seed():
    flags = ["--env", "ActionProbe", "ProbeEnv", "--algorithm=algd", "--algorithm", "cal"]
    argv = [*flags, "--grid", "rho=0.5,2", "--seeds=3", "--seed=7", *TINY_FLAGS]
    _, trials = read_arguments(argv)
    found = [(t.config.env, t.config.algorithm, t.config.hyper.rho, t.config.seed) for t in trials]
    expected = itertools.product(
        ("ActionProbe", "ProbeEnv"), ("algd", "cal"), (0.5, 2.0), (7, 8, 9)
    )
    assert found == list(expected)
    assert trials[4].name == "004-ActionProbe-algd-rho2-seed8"
    assert len({trial.name for trial in trials}) == len(trials)
    # What only changes numbers is one program, what shapes it is another.
    assert groups(trials) == [list(range(6 * k, 6 * k + 6)) for k in range(4)]


def test_trials_are_those_of_algd_train():
    """Where presets choose by algorithm, each trial has its own choice, and flags hold for all."""
    _, trials = read_arguments(["--env=PointButton1", "--algorithm=algd", "--algorithm=cal"])
    assert [trial.config.hyper.kappa for trial in trials] == [1.0, 0.5]
    _, trials = read_arguments([*TINY, "--algorithm=algd", "--algorithm=cal", "--kappa=3"])
    assert [trial.config.hyper.kappa for trial in trials] == [3.0, 3.0]


def test_one_configuration_twice_is_refused():
    with pytest.raises(ConfigError, match=r"^configs: got one twice, allowed is each"):
        make_trials([tiny_config(), tiny_config()], [{}], 1)


STATIC = (
    "is static (it shapes the program), allowed is one `algd sweep` with --{0} and a --run-dir of "
    "its own for each value"
)
SAMPLE_FORM = "NAME=uniform:LOW:HIGH or NAME=loguniform:LOW:HIGH"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--grid=roh=1,2"], "--grid roh: unknown field; did you mean rho?"),
        (["--grid=xyzzy=1"], "--grid xyzzy: unknown field; allowed: {}"),
        (["--grid=num_envs=1,2"], f"--grid num_envs: {STATIC.format('num-envs')}"),
        (["--grid=chain-steps=5"], f"--grid chain_steps: {STATIC.format('chain-steps')}"),
        (["--grid=env=A,B"], "--grid env: is static, allowed is --env several times"),
        (["--sample=algorithm=uniform:0:1", "--trials=1"],
         "--sample algorithm: is static, allowed is --algorithm several times"),
        (["--grid=seed=1,2"], "--grid seed: seeds are counted, allowed is --seeds NUMBER"),
        (["--grid=rho="], "--grid rho: got no value, allowed is rho=VALUE,VALUE,..."),
        (["--grid=rho"], "--grid: got 'rho', allowed is NAME=VALUE,VALUE,..."),
        (["--grid"], "--grid: value is missing, allowed is a text"),
        (["--grid=rho=1,x"], "--grid rho: got 'x', allowed is a finite number"),
        (["--grid=rho=1,,2"], "--grid rho: got '', allowed is a finite number"),
        (["--grid=rho=inf"], "--grid rho: got 'inf', allowed is a finite number"),
        (["--grid=rho=1,-2"], "rho: got -2.0, allowed is a finite number > 0"),
        (["--grid=sigma_min=0.1,2"], "sigma_min: got 2.0, allowed is a number below sigma_max = 0.5"),
        (["--grid=rho=1,2,1.0"], "--grid rho: got 1 twice, allowed is each value once"),
        (["--grid=rho=1", "--grid=rho=2"], "rho: is swept twice, allowed is once"),
        (["--grid=lr=1", "--grid=critic_lr=2"], "critic_lr: is swept twice, allowed is once"),
        (["--sample=rho=normal:0:1", "--trials=2"],
         f"--sample rho: got 'normal:0:1', allowed is {SAMPLE_FORM}; did you mean 'uniform'?"),
        (["--sample=rho=uniform:1", "--trials=2"],
         f"--sample rho: got 'uniform:1', allowed is {SAMPLE_FORM}"),
        (["--sample=rho=uniform:2:1", "--trials=2"],
         "--sample rho: got 'uniform:2:1', allowed is LOW < HIGH"),
        (["--sample=rho=loguniform:0:1", "--trials=2"],
         "--sample rho: got 'loguniform:0:1', allowed is 0 < LOW < HIGH"),
        (["--sample=rho=uniform:0.5:1"],
         "--trials: is missing, allowed with --sample is an integer >= 1"),
        (["--trials=2"], "--trials: got 2 without --sample, allowed is both or neither"),
        (["--sample=rho=uniform:0.5:1", "--trials=0"],
         "--trials: got 0, allowed is an integer in [1, 100000]"),
        (["--seeds=0"], "--seeds: got 0, allowed is an integer >= 1"),
        (["--seeds=two"], "--seeds: got 'two', allowed is an integer"),
        (["--seeds=1000000"], "--seeds: got 1000000, allowed is at most 100000"),
        (["--seed=4294967295", "--seeds=2"],
         "--seed: got 4294967296, allowed is an integer in [0, 2**32)"),
        (["--members=0"], "--members: got 0, allowed is an integer >= 1"),
        (["--checkpoint-minutes=-1"], "--checkpoint-minutes: got -1.0, allowed is a number >= 0"),
        (["--program=1"], "--program: got 1, allowed is an integer in [0, 0]"),
        (["--on-bad-number=skip-update"],
         "--on-bad-number: got skip-update, allowed in a sweep is stop: a trial that goes bad stays as it was before, and the others go on"),
        (["--cpus=0"], "--cpus: got 0, allowed is an integer >= 1"),
        (["--gpus=-1"], "--gpus: got -1, allowed is an integer >= 0"),
        (["--env=ActionProbe"], "--env: got ActionProbe twice, allowed is each one once"),
        (["--algorithm=cal", "--algorithm=cal"],
         "--algorithm: got cal twice, allowed is each one once"),
        (["--seedss=2"], "--seedss: unknown flag; did you mean --seeds?"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_in_one_line(algd, tmp_path, flags, line):
    folder = tmp_path / "sweep"
    code, out, err = algd("sweep", *TINY, f"--run-dir={folder}", *flags)
    fields = ", ".join(Hyper.__dataclass_fields__)
    assert (code, out, err) == (2, "", f"algd: {line.replace('{}', fields)}\n")
    assert not folder.exists()


def test_a_sweep_needs_a_folder(algd):
    line = "algd: --run-dir: is missing, allowed is the folder of the sweep\n"
    assert algd("sweep", "--env=ActionProbe", *TINY_FLAGS) == (2, "", line)
