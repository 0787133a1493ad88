"""The long run's watch: what it counts, and which growth it does not let pass."""

import csv
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import soak
from experiments.soak import Sample, Watch, summarize
from tests.probes import ActionProbe
from tests.runs.support import probes, tiny_config  # noqa: F401

STEADY = [Sample(float(20 * i), i + 1, 10**6, 300.0, 500.0, 700.0, 30, 40, 100) for i in range(100)]


def changed(index, **values):
    """Steady samples, but for those from ``index`` on."""
    return [s._replace(**values) if i >= index else s for i, s in enumerate(STEADY)]


def test_steady_run_passes_and_leaves_out_its_warm_up():
    summary = summarize([s._replace(memory=9.0, threads=1) for s in STEADY[:5]] + STEADY[5:])
    assert summary["passed"]
    assert summary["growth"]["memory"]["per_cent"] == 0
    assert summary["recompilations"] == 0


@pytest.mark.parametrize(
    ("samples", "name"),
    [
        (changed(60, blocks=1_030_000), "blocks"),
        (changed(60, allocated=307.0), "allocated"),
        (changed(60, memory=511.0), "memory"),
        (changed(60, files=31), "files"),
        (changed(60, threads=41), "threads"),
        (changed(1, compilations=101), "compilations"),
    ],
)
def test_growth_fails_where_it_is(samples, name):
    verdict = summarize(samples)["verdict"]
    assert [failed for failed, passed in verdict.items() if not passed] == [name]


def test_memory_that_falls_is_not_flat_either():
    verdict = summarize(changed(60, memory=400.0))["verdict"]
    assert [name for name, passed in verdict.items() if not passed] == ["memory"]


def test_what_is_held_counts_as_allocated_until_it_is_let_go():
    before = soak.allocated_bytes()
    held = np.ones(10**7)
    assert soak.allocated_bytes() - before == pytest.approx(held.nbytes, rel=0.05)
    del held
    assert soak.allocated_bytes() - before == pytest.approx(0, abs=4e6)


def test_pages_of_files_that_come_and_go_are_told_and_not_judged():
    summary = summarize(changed(60, resident=600.0))
    assert summary["passed"]
    assert summary["growth"]["resident"]["per_cent"] == pytest.approx(-100 / 7, abs=1e-3)


def test_too_short_a_run_has_no_verdict():
    with pytest.raises(ValueError, match="got 2 samples behind the warm-up, needed are 4"):
        summarize(STEADY[:3])


def test_watch_samples_at_its_interval_and_stops_when_the_time_is_up():
    seconds = itertools.count()  # One per call: each epoch takes a second.
    watch = Watch(10, 3, lambda sample: None, clock=lambda: next(seconds))
    assert [watch() for _ in range(12)] == [False] * 11 + [True]
    assert [sample.seconds for sample in watch.samples] == [0, 3, 6, 9, 10]


def test_free_pages_that_the_allocator_keeps_do_not_count():
    watch = Watch(1e9, 0, lambda sample: None)
    before = watch._sample(0, 1).memory
    blocks = [bytearray(100_000) for _ in range(2_000)]  # Too small to be mapped one by one.
    assert watch._sample(0, 1).memory - before == pytest.approx(190, abs=10)
    blocks = blocks[::100]  # Those that stay keep the ones between from the end of the heap.
    held = sum(map(len, blocks)) / 2**20
    assert watch._sample(0, 1).memory - before == pytest.approx(held, abs=10)


def test_watch_counts_compilations():
    watch = Watch(1e9, 0, lambda sample: None)
    watch()
    watch()
    jax.jit(lambda x: 3 * x + jnp.float32(0.123))(jnp.ones(7))
    watch()
    first, second = watch.samples
    assert second.compilations > first.compilations


def test_short_soak_of_a_probe_compiles_nothing_after_its_first_epoch(tmp_path):
    config = tiny_config(ActionProbe.__name__, env_steps=10**6, checkpoint_epochs=1)
    summary = soak.run(config, 2.0, 0.1, tmp_path, ["soak"])
    assert summary["recompilations"] == 0
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    rows = list(csv.DictReader((tmp_path / "samples.csv").open()))
    assert len(rows) == summary["samples"]
    assert (tmp_path / "soak.png").stat().st_size > 0
