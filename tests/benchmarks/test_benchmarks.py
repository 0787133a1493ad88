"""Each benchmark at its smallest size, and that it measures what it says."""

import dataclasses
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import benchmarks
from algd_jax.envs import EpisodeWrapper, make
from algd_jax.training.replay import add
from benchmarks import ceilings, chain, env, epoch, population, replay, scaling, startup, update
from benchmarks.data import subject, transitions
from benchmarks.timing import Spread

README = (Path(benchmarks.__file__).parent / "README.md").read_text()

PROBE = "ActionProbe"
AGENT = {"env": PROBE, "preset": "tiny"}
PRESETS = {"env": PROBE, "presets": ("tiny",)}
TINY = {
    "ceilings": {"squares": (8,), "layers": ((2, 4, 8),), "operations": 1e4, "megabytes": 1},
    "update": {**PRESETS, "agents": (("algd", "ve"), ("sac", None)), "updates": 2},
    "chain": {**AGENT, "forms": ("ve",), "lengths": (2,), "batches": (1, 3), "draws": 2},
    "latency": {**AGENT, "lengths": (2,), "batches": (1, 3)},
    "replay": {**PRESETS, "steps": 2},
    "env": {"batches": ((PROBE, 4),), "steps": 2},
    "bodies": {"names": ("SafetySwimmerVelocity-v1",), "batch": 4, "steps": 2},
    "epoch": {**PRESETS, "updates": 4},
    "population": {
        "env": PROBE,
        "epochs": ("tiny",),
        "updates": ("tiny",),
        "members": (2,),
        "capacity": 64,
        "steps": 1,
    },
    "checkpoints": AGENT,
}
IN_PROCESSES = {"scaling", "startup"}

NOT_POSITIVE = {"overhead_percent"}
"""May be anything finite."""


def run(name, **changed):
    module = benchmarks.load(name)
    return module.run(module.Sizes(**{**TINY[name], "repeats": 2, **changed}))


def lean(**sizes):
    """The agent that compiles fastest, for what a benchmark does with any."""
    return subject(PROBE, "tiny", "sac", **sizes)


def numbers(row):
    """All numbers of a row by name, those inside a spread too."""
    for name, value in row.items():
        parts = dataclasses.astuple(value) if isinstance(value, Spread) else (value,)
        yield from ((name, part) for part in parts if isinstance(part, int | float))


def columns(name):
    """What the README says about the names in the rows of a benchmark."""
    section = README.split(f"### `{name}`\n")[1].split("###")[0]
    return re.findall(r"`(\w+)`", section.split("Columns:")[1])


def check_rows(name, rows):
    assert rows
    for row in rows:
        assert list(row) == columns(name)
        for column, number in numbers(row):
            assert math.isfinite(number), column
            assert number > 0 or column in NOT_POSITIVE, column


def test_every_benchmark_is_run_here():
    assert set(TINY) | IN_PROCESSES == set(benchmarks.NAMES)


@pytest.mark.parametrize(
    "name",
    [
        # Several programs each: half a minute of compiling and more.
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("epoch", "population", "update")))
        for name in TINY
    ],
)
def test_rows_are_those_of_the_readme_and_their_numbers_positive(name):
    check_rows(name, run(name))


@pytest.mark.parametrize("name", benchmarks.NAMES)
def test_every_benchmark_asks_one_question_and_has_quick_sizes(name):
    module = benchmarks.load(name)
    assert benchmarks.question(name).endswith("?")
    assert module.Sizes() != module.QUICK
    assert isinstance(module.QUICK, module.Sizes)


def test_measure_takes_full_or_quick_sizes(monkeypatch):
    monkeypatch.setattr(ceilings, "run", lambda sizes: sizes)
    assert benchmarks.measure("ceilings") == ceilings.Sizes()
    assert benchmarks.measure("ceilings", quick=True) == ceilings.QUICK


def test_another_device_than_a_cpu_is_measured_at_sizes_of_its_own(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for module, wanted in ((env, env.ACCELERATOR), (ceilings, ceilings.Sizes())):
        monkeypatch.setattr(module, "run", lambda sizes: sizes)
        assert benchmarks.measure(module.__name__.split(".")[-1]) == wanted
        assert benchmarks.measure("env", quick=True) == env.QUICK


def test_updates_are_measured_in_both_precisions():
    rows = run("update", agents=(("sac", None),), computes=("float32", "bfloat16"))
    assert [row["compute"] for row in rows] == ["float32", "bfloat16"]


def test_matrix_products_are_made():
    shape = ceilings.Shape(2, 4, 8)
    x = jax.random.normal(jax.random.split(jax.random.key(0))[0], (2, 4, 8))
    call = ceilings.matrix_products(shape, 3)
    once = ceilings.matrix_products(shape, 1)
    for _ in range(3):
        once()
    np.testing.assert_allclose(call(), once.state, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(call.state), jnp.linalg.norm(x), rtol=1e-4)
    assert shape.operations == 2 * 2 * 4 * 8 * 8


def test_updates_are_those_of_the_algorithm_one_by_one():
    of, key = lean(), jax.random.key(0)
    (agent, key, total), batches = update.start(of, 3, key)
    call = update.updates(of, 3)
    for _ in range(2):
        key, update_key = jax.random.split(key)
        keys = jax.random.split(update_key, 3)
        for i in range(3):
            batch = jax.tree.map(lambda leaf, i=i: leaf[i], batches)
            agent, metrics = jax.jit(of.algorithm.update)(agent, batch, keys[i], of.hyper)
            total += sum(map(jnp.sum, jax.tree.leaves(metrics))) / 3
        state = call()
    assert int(state.agent.updates) == 6
    np.testing.assert_allclose(state.total, total, rtol=1e-4)
    for ours, theirs in zip(jax.tree.leaves(state.agent), jax.tree.leaves(agent), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_counted_operations_grow_with_the_batch():
    small, large = (update.cost_of_update(lean(batch_size=n)) for n in (32, 128))
    assert 3 < large.operations / small.operations < 4.5


def test_members_of_a_population_make_all_their_updates_on_batches_of_their_own():
    call = population.updates(lean(), members=3, count=2)
    state = call()
    np.testing.assert_array_equal(state.agent.updates, [2, 2, 2])
    assert len(set(np.asarray(state.total).tolist())) == 3


def test_epochs_of_a_population_make_their_steps():
    call = population.epochs(lean(), members=2, count=3, capacity=64)
    call()
    np.testing.assert_array_equal(call().env_steps, [2 * 3 * 4] * 2)


@pytest.mark.parametrize(
    ("gains", "at"),
    [
        ({1: 1.0, 2: 1.1, 4: 1.1}, 1),
        ({1: 1.0, 2: 1.9, 4: 3.5, 8: 3.9}, 4),
        ({1: 1.0, 4: 1.5, 8: 2.4}, 8),  # Two doublings by the factor 1.5, one by 1.6.
        ({1: 1.0, 4: 1.4, 8: 2.4}, 1),
        ({2: 1.5}, 2),
    ],
)
def test_the_bend_is_where_doubling_gains_little(gains, at):
    assert population.bend(gains) == at


def test_an_epoch_begins_with_a_full_replay_and_makes_its_steps():
    of = epoch.shortened(lean(), 3, 64)
    call = epoch.epochs(of)
    assert call.state[0].replay.filled == 64 / 4
    state, metrics = call()
    assert int(state.env_steps) == 3 * 4
    assert int(state.agent.updates) == 3 * 2
    assert float(metrics.updates.critic_gradient) > 0


def test_the_parts_of_an_epoch_are_its_steps_and_the_overhead_is_what_is_above_their_sum():
    rows = run("epoch", repeats=1)
    whole, *alone = (row["milliseconds_per_step"].median for row in rows)
    assert [row["what"] for row in rows[1:]] == [
        "acting",
        "environment",
        "writing",
        "drawing",
        "updating",
    ]
    assert rows[0]["overhead_percent"].median == pytest.approx(100 * (whole / sum(alone) - 1))
    assert rows[0]["env_steps_per_second"].median == pytest.approx(1e3 * 4 / whole)
    assert rows[0]["updates_per_second"].median == pytest.approx(1e3 * 2 / whole)


def test_environments_step_and_reset():
    wrapped = EpisodeWrapper(make(PROBE))
    reset = env.resets(wrapped, 4)
    first = np.asarray(reset()[0].obs)
    state, _ = reset()
    assert not np.array_equal(first, state.obs)  # From other keys.
    step = env.steps(wrapped, jax.tree.map(jnp.copy, state), 3)
    np.testing.assert_array_equal(step()[0].info["steps"], [3.0] * 4)
    np.testing.assert_array_equal(step()[0].info["steps"], [6.0] * 4)


def test_a_full_replay_is_one_that_has_been_written_all_over():
    of = subject(PROBE, "tiny")
    full = replay.full_replay(of.trainer)
    rows = transitions(jax.random.key(1), (of.config.loop.num_envs,), of.spec)
    written = full
    for _ in range(int(full.filled) + 1):
        written = add(written, rows, jnp.zeros(of.config.loop.num_envs, bool))
    assert jax.tree.structure(full) == jax.tree.structure(written)
    assert full.filled == written.filled
    assert jnp.sum(~full.starts) == 0
    assert jnp.sum(~written.starts) == of.config.loop.num_envs  # The states after the newest.


def test_writing_and_drawing_go_through_the_replay():
    of = subject(PROBE, "tiny")
    full = replay.full_replay(of.trainer)
    assert bool(jnp.all(jnp.any(full.rows.obs != 0, axis=-1)))
    draw = replay.drawing(of.trainer, 3)
    totals = [float(draw()[0]) for _ in range(2)]
    assert totals[0] != totals[1]
    written = replay.adding(of.trainer, 3)()
    changed = jnp.any(written.rows.obs != full.rows.obs, axis=-1)
    assert changed.sum() == of.config.loop.num_envs * (3 + 1)  # And the state after the last.


def test_drawn_actions_are_the_policy_s_and_differ_from_draw_to_draw():
    of = subject(PROBE, "tiny")
    call = chain.draws(of, 3, 2)
    first = np.asarray(call()[0])
    second = np.asarray(call()[0])
    low, high = np.array(of.spec.action_low), np.array(of.spec.action_high)
    assert np.all((first >= low) & (first <= high))  # O = A here: all of it is replaced.
    assert not np.any(first == second)


def test_scaling_varies_one_thing_at_a_time(monkeypatch):
    monkeypatch.setattr(scaling, "available_cores", lambda: 6)
    monkeypatch.setattr(scaling.os, "sched_setaffinity", lambda *_: None, raising=False)
    settings = scaling.settings(scaling.Sizes(batches=(64, 256), batch=256))
    assert settings == [
        (6, 1, 64),
        (6, 1, 256),
        (1, 1, 256),
        (2, 1, 256),
        (4, 1, 256),
        (6, 2, 256),
        (6, 4, 256),
        (6, 6, 256),
    ]


def test_one_setting_of_scaling(monkeypatch):
    taken = []
    monkeypatch.setattr(scaling.os, "sched_getaffinity", lambda _: {5, 3, 4}, raising=False)
    monkeypatch.setattr(
        scaling.os, "sched_setaffinity", lambda _, cores: taken.append(cores), raising=False
    )
    sizes = scaling.Sizes(**AGENT, updates=2, repeats=3)
    seconds = scaling.work(scaling.Setting(cores=2, devices=1, batch=8), sizes)
    assert taken == [[3, 4]]
    assert len(seconds) == 3
    assert min(seconds) > 0


# Processes of their own do not know the tests' names; agents as small as flags can make them.
FLAGS = ("--env", f"tests.probes:{PROBE}", "--algorithm", "sac", "--num-envs", "4")
FLAGS += ("--epoch-steps", "8", "--warmup-steps", "16", "--batch-size", "8")
FLAGS += ("--replay-capacity", "64")
FLAGS += ("--critic-width", "8", "--actor-width", "8", "--eval-episodes", "1")


def test_startup():
    rows = startup.run(startup.Sizes(FLAGS, repeats=1))
    check_rows("startup", rows)
    assert [row["start"] for row in rows] == ["cold", "warm"]
    for row in rows:
        *phases, whole = (value.median for value in row.values() if isinstance(value, Spread))
        assert sum(phases) == pytest.approx(whole)


def test_a_start_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"^algd: --env: unknown name 'nowhere'"):
        startup.start(("--env", "nowhere"), tmp_path, "run")


@pytest.mark.slow
def test_scaling_in_a_process_with_two_devices(monkeypatch):
    monkeypatch.setattr(scaling, "settings", lambda _: [scaling.Setting(1, 2, 8)])
    sizes = scaling.Sizes(f"tests.probes:{PROBE}", "quick", (8,), batch=8, updates=1, repeats=2)
    check_rows("scaling", scaling.run(sizes))
