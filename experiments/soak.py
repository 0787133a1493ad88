"""Does a long run stay as it was after its first minutes?

    MALLOC_ARENA_MAX=1 python experiments/soak.py --hours 2 --out experiments/results/soak

Trains on the CPU, small networks on PointButton1, with an evaluation and every kind of checkpoint
after every epoch, until the time is up. Between epochs, at most every 20 seconds, it counts what a
leak would show in: memory, open files, threads, and the programs that JAX has compiled (or fetched
from its cache) so far. Whatever the run keeps of each epoch (its line of the log) counts as growth
too. Memory is counted four times. *Blocks* are those of Python's allocator, *allocated* what has
been asked of the C library and not given back: what a leak is made of. *Private* is what the system
has given for both; *resident* has pages of files too, which the system drops and brings back as it
likes. glibc keeps pages that are free, and gives them back when Protobuf, in which events for
TensorBoard are written, asks it to: at every ten thousandth message, a hundred MiB at once. So they
are given back before every sample. They can be if threads share one heap, as the command above asks
for; of many heaps, each keeps pages that are free but for a few bytes, more and more for an hour.

The first tenth of the time is warm-up. Of the rest, the median of the last quarter is compared with
that of the first. Compilations are counted from the end of the first epoch.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from matplotlib.figure import Figure

from algd_jax.config import Config
from algd_jax.presets import preset
from algd_jax.runs.provenance import provenance
from algd_jax.runs.run import train

WARM_UP = 0.1
"""Share of the time that is left out at the beginning."""

MEMORY_LIMIT = 2.0
"""Allowed change of blocks, allocated and private memory, up or down [%]."""

_LIBC = ctypes.CDLL(None)

_COMPILED = "/jax/core/compile/backend_compile_duration"


class Sample(NamedTuple):
    """What a process holds between two epochs.

    Attributes:
      seconds: since the end of the first epoch.
      epochs: made so far.
      blocks: of Python's own small objects.
      allocated: from the C library [MiB].
      memory: private, resident [MiB].
      resident: with pages of files [MiB].
      files: open descriptors.
      threads: of Python and of libraries.
      compilations: programs made since the process began.
    """

    seconds: float
    epochs: int
    blocks: int
    allocated: float
    memory: float
    resident: float
    files: int
    threads: int
    compilations: int


class Compilations:
    """Counts the programs that JAX makes, from its first use on.

    Attributes:
      count: so far.
    """

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration: float, **_: Any) -> None:
        self.count += event == _COMPILED


class Watch:
    """A ``stop_requested`` that samples, and says yes when the time is up.

    Attributes:
      samples: so far, the first one at the end of the first epoch.
    """

    def __init__(
        self,
        seconds: float,
        interval: float,
        keep: Callable[[Sample], None],
        clock: Callable[[], float] = time.perf_counter,
    ):
        """Args:
        seconds: how long to go on after the first epoch.
        interval: seconds between two samples, at least.
        keep: is given each sample.
        clock: seconds.
        """
        self.samples: list[Sample] = []
        self._seconds, self._interval, self._keep, self._clock = seconds, interval, keep, clock
        self._process, self._compilations = psutil.Process(), Compilations()
        self._calls = 0

    def __call__(self) -> bool:
        epochs, self._calls = self._calls, self._calls + 1
        if epochs == 0:  # Asked before the first epoch.
            return False
        now = self._clock()
        if epochs == 1:
            self._start = now
        seconds = now - self._start
        over = seconds >= self._seconds
        if over or not self.samples or seconds - self.samples[-1].seconds >= self._interval:
            self.samples.append(self._sample(seconds, epochs))
            self._keep(self.samples[-1])
        return over

    def _sample(self, seconds: float, epochs: int) -> Sample:
        _LIBC.malloc_trim(0)
        memory = self._process.memory_info()
        return Sample(
            seconds=round(seconds, 1),
            epochs=epochs,
            blocks=sys.getallocatedblocks(),
            allocated=round(allocated_bytes() / 2**20, 2),
            memory=round((memory.rss - memory.shared) / 2**20, 2),
            resident=round(memory.rss / 2**20, 2),
            files=self._process.num_fds(),
            threads=self._process.num_threads(),
            compilations=self._compilations.count,
        )


class _MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and newer."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def allocated_bytes() -> int:
    """Bytes in use of the C library's allocator, in its heaps and mapped one by one.

    Raises:
      AttributeError: where the C library is no glibc of 2.33 or newer.
    """
    read = _LIBC.mallinfo2
    read.restype = _MallocInfo
    info = read()
    return info.uordblks + info.hblkhd


def endless() -> Config:
    """Small networks, short epochs, everything that a run can write after each of them."""
    config = preset("quick", "PointButton1")
    loop = dataclasses.replace(
        config.loop,
        env_steps=2_000_000_000,
        num_envs=16,
        updates_per_step=2,
        batch_size=64,
        replay_capacity=20_000,
        # Longer than the 20 s after which TensorStore ends an idle thread: around those, the number
        # of threads would tell how fast the machine is.
        epoch_steps=64_000,
        eval_episodes=4,
        checkpoint_epochs=1,
        keep_best=True,
    )
    agent = dataclasses.replace(config.agent, critic_width=32, actor_width=32)
    return dataclasses.replace(config, loop=loop, agent=agent)


def run(
    config: Config, seconds: float, interval: float, out: Path, command: Sequence[str]
) -> dict[str, Any]:
    """Train for ``seconds`` after the first epoch and write ``samples.csv``, ``summary.json`` and
    ``soak.png``; returns the summary."""
    out.mkdir(parents=True, exist_ok=True)
    origin = provenance(list(command))
    with (
        tempfile.TemporaryDirectory() as scratch,
        (out / "samples.csv").open("w", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(Sample._fields)

        def keep(sample: Sample) -> None:
            table.writerow(sample)
            file.flush()  # What is there when the process dies is worth most.

        watch = Watch(seconds, interval, keep)
        train(config, Path(scratch) / "run", stop_requested=watch)
    summary = {**origin, **summarize(watch.samples)}
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    draw(out / "soak.png", watch.samples)
    return summary


def summarize(samples: Sequence[Sample]) -> dict[str, Any]:
    """Growth and verdicts; at least four samples have to lie behind the warm-up.

    Raises:
      ValueError: if there are fewer.
    """
    first, last = quarters(samples)
    end = samples[-1]
    memory = ("blocks", "allocated", "memory")
    counted = (*memory, "resident", "files", "threads")
    growth = {name: _growth(first, last, name) for name in counted}
    recompilations = end.compilations - samples[0].compilations
    verdict = {
        **{name: abs(growth[name]["per_cent"]) <= MEMORY_LIMIT for name in memory},
        **{name: growth[name]["per_cent"] <= 0 for name in ("files", "threads")},
        "compilations": recompilations == 0,
    }
    return {
        "hours": round(end.seconds / 3600, 3),
        "epochs": end.epochs,
        "samples": len(samples),
        "warm_up": WARM_UP,
        "growth": growth,
        "memory_limit_per_cent": MEMORY_LIMIT,
        "recompilations": recompilations,
        "verdict": verdict,
        "passed": all(verdict.values()),
    }


def quarters(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """The first and the last quarter of the samples behind the warm-up."""
    begin = WARM_UP * samples[-1].seconds
    settled = [sample for sample in samples if sample.seconds >= begin]
    size = len(settled) // 4
    if size == 0:
        raise ValueError(f"got {len(settled)} samples behind the warm-up, needed are 4")
    return settled[:size], settled[-size:]


def _growth(first: Sequence[Sample], last: Sequence[Sample], name: str) -> dict[str, float]:
    before, after = (
        float(np.median([getattr(sample, name) for sample in part])) for part in (first, last)
    )
    return {
        "first_quarter": before,
        "last_quarter": after,
        "per_cent": round(100 * (after - before) / before, 3),
    }


def draw(path: Path, samples: Sequence[Sample]) -> None:
    """One panel for each thing counted, over the hours."""
    units = {"blocks": "Python's blocks", "allocated": "allocated [MiB]"}
    units |= {"memory": "private [MiB]", "resident": "resident [MiB]", "files": "open files"}
    units |= {"threads": "threads", "compilations": "programs compiled"}
    figure = Figure(figsize=(7, 9), layout="constrained")
    hours = [sample.seconds / 3600 for sample in samples]
    panels = figure.subplots(len(units), 1, sharex=True)
    for axes, (name, label) in zip(panels, units.items(), strict=True):
        axes.plot(hours, [getattr(sample, name) for sample in samples], color="tab:blue")
        axes.axvspan(0, WARM_UP * hours[-1], color="tab:gray", alpha=0.2)
        axes.set(ylabel=label)
        axes.set_ylim(0, 1.1 * max(getattr(sample, name) for sample in samples))
        axes.grid(alpha=0.3)
    panels[-1].set(xlabel="hours since the first epoch (gray: warm-up)")
    figure.savefig(path, dpi=90)


def main() -> None:
    """Run for the time given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument("--hours", type=float, default=2.0)
    duration.add_argument("--minutes", type=float, help="instead of --hours, to try it")
    parser.add_argument("--interval", type=float, default=20.0, help="seconds between samples")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/soak"))
    arguments = parser.parse_args()
    if arguments.minutes is None:
        seconds, option = 3600 * arguments.hours, f"--hours={arguments.hours:g}"
    else:
        seconds, option = 60 * arguments.minutes, f"--minutes={arguments.minutes:g}"
    jax.config.update("jax_platforms", "cpu")
    heap = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("MALLOC_")]
    options = [option, f"--interval={arguments.interval:g}"]
    command = [*heap, "python", "experiments/soak.py", *options]
    summary = run(endless(), seconds, arguments.interval, arguments.out, command)
    print(json.dumps({name: summary[name] for name in ("hours", "epochs", "growth", "verdict")}))


if __name__ == "__main__":
    main()
