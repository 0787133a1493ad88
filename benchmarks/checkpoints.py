"""How long does training wait for a checkpoint of the whole state, and what does its writing cost?

Timed in turn: training epochs after which nothing is written, and epochs beside which a checkpoint
is written; apart from them the wait before such an epoch, while the state is copied to the host,
and the time until everything is on disk. Not timed: compiling, warm-up, evaluation.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import jax

from algd_jax.runs.build import Stream, stream_key
from algd_jax.runs.programs import Programs
from algd_jax.training import storage
from algd_jax.training.checkpoint import Writer
from benchmarks import Row
from benchmarks.data import Subject, subject
from benchmarks.timing import Spread, ratios


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: name.
      preset: decides the state and the epoch.
      repeats: n, pairs of epochs.
    """

    env: str = "PointButton1"
    preset: str = "quick"
    repeats: int = 5


QUICK = Sizes(repeats=2)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """The one row."""
    with tempfile.TemporaryDirectory() as folder:
        return [_row(subject(sizes.env, sizes.preset), Path(folder), sizes)]


def _row(of: Subject, folder: Path, sizes: Sizes) -> Row:
    key = stream_key(0, Stream.TRAINING)
    programs = Programs(of.trainer, of.hyper, key, fresh=True)
    programs.wait()
    state = programs.warmup(programs.init(key, of.hyper), of.hyper)
    state, _ = jax.block_until_ready(programs.train_epoch(state, of.hyper))
    state_bytes, writer = storage.size(state), Writer(folder)
    waits: list[float] = []
    alone: list[float] = []
    beside: list[float] = []
    written: list[float] = []
    for index in range(sizes.repeats):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(programs.train_epoch(state, of.hyper))
        alone.append(time.perf_counter() - start)
        start = time.perf_counter()
        writer.save(index, state)
        waits.append(time.perf_counter() - start)
        start = time.perf_counter()
        state, _ = jax.block_until_ready(programs.train_epoch(state, of.hyper))
        beside.append(time.perf_counter() - start)
        if (failure := writer.outcome()) is not None:
            raise failure
        written.append(waits[-1] + time.perf_counter() - start)
    writer.close()
    return {
        "preset": sizes.preset,
        "state_megabytes": state_bytes / 1e6,
        "wait_milliseconds": Spread.of([1e3 * one for one in waits]),
        "epoch_seconds": Spread.of(alone),
        "epoch_with_writing_over_without": ratios(beside, alone),
        "seconds_until_written_at_most": Spread.of(written),
    }
