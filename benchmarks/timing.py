"""How the benchmarks take time.

Programs are compiled apart, called once untimed, and each call ends when its result is there. What
is compared runs in turn (A B A B …): a machine that slows down slows both, so ratios taken pair by
pair hold where absolute figures do not.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from algd_jax.runs.provenance import processor, provenance
from algd_jax.runs.tables import figure
from benchmarks.processes import available_cores

Name = TypeVar("Name")

Call = Callable[[], Any]
"""One measurement: does its work and returns what has to be waited for."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """n measurements of one quantity: median, quartiles, extremes."""

    n: int
    median: float
    lowest: float
    lower_quartile: float
    upper_quartile: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Spread:
        """Summarise at least one measurement."""
        lowest, lower, median, upper, highest = np.quantile(
            values, (0, 0.25, 0.5, 0.75, 1)
        ).tolist()
        return cls(np.size(values), median, lowest, lower, upper, highest)

    def __str__(self) -> str:
        """Median ± half the distance of the quartiles, as short as a table wants it."""
        return f"{figure(self.median)}±{figure((self.upper_quartile - self.lower_quartile) / 2)}"


class Program(NamedTuple):
    """A compiled function.

    Attributes:
      run: calls it.
      lower_seconds: tracing and lowering [s].
      compile_seconds: XLA's part [s].
    """

    run: jax.stages.Compiled
    lower_seconds: float
    compile_seconds: float

    @property
    def seconds(self) -> float:
        """From the Python function to the program [s]."""
        return self.lower_seconds + self.compile_seconds


class Carried:
    """A :data:`Call` that runs a program ``(state, *rest) -> state`` on its own last result.

    So every call has new data, and nothing can be left out. The state is consumed.

    Attributes:
      program: what runs.
      state: the newest.
    """

    def __init__(self, program: Program, state: Any, *rest: Any):
        self.program, self.state = program, state
        self._rest = rest

    def __call__(self) -> Any:
        self.state = self.program.run(self.state, *self._rest)
        return self.state


class Cost(NamedTuple):
    """XLA's count for one call of a program; a loop's body counts once.

    Attributes:
      operations: floating-point operations.
      bytes: read and written between its kernels.
    """

    operations: float
    bytes: float


def compile_apart(function: Callable, *arguments: Any, donate: bool = False) -> Program:
    """Compile ``function`` for these arguments (arrays or ``jax.ShapeDtypeStruct``).

    Args:
      donate: whether a call consumes its first argument.
    """
    start = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=0 if donate else ()).lower(*arguments)
    lower_end = time.perf_counter()
    compiled = lowered.compile()
    return Program(compiled, lower_end - start, time.perf_counter() - lower_end)


def carried(function: Callable, state: Any, *rest: Any) -> Carried:
    """Compile ``(state, *rest) -> state`` to be called on its own results."""
    return Carried(compile_apart(function, state, *rest, donate=True), state, *rest)


def cost(compiled: jax.stages.Compiled) -> Cost:
    """XLA's count of operations and bytes."""
    counted = compiled.cost_analysis()
    assert counted is not None
    return Cost(counted["flops"], counted["bytes accessed"])


def temporary_bytes(compiled: jax.stages.Compiled) -> int:
    """Bytes that a call needs besides its arguments and results, by XLA's plan."""
    plan = compiled.memory_analysis()
    assert plan is not None
    return plan.temp_size_in_bytes


def in_turn(
    calls: Mapping[Name, Call], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[Name, list[float]]:
    """Seconds of each call, ``repeats`` times, all of them once per round.

    Args:
      calls: by name. Each is called once more, untimed, before the first round.
      repeats: rounds.
      clock: seconds.
    """
    for call in calls.values():
        jax.block_until_ready(call())
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = clock()
            jax.block_until_ready(call())
            seconds[name].append(clock() - start)
    return seconds


def seconds_of(call: Call, repeats: int) -> list[float]:
    """:func:`in_turn` of a single call."""
    return in_turn({"": call}, repeats)[""]


def rates(count: float, seconds: Sequence[float]) -> Spread:
    """Things per second, ``count`` of them in each measurement."""
    return Spread.of([count / one for one in seconds])


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """``above / below``, round by round of :func:`in_turn`."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def circumstances(command: list[str]) -> dict[str, Any]:
    """What a reader needs to compare results with others, JSON-ready.

    Args:
      command: the command line.
    """
    return provenance(command) | {
        "processor": processor(),
        "cores": available_cores(),
        "load_average": round(os.getloadavg()[0], 2),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "matmul_precision": jax.config.values["jax_default_matmul_precision"] or "default",
    }
