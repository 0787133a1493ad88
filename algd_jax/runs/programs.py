"""The compiled programs of a run.

Compiled ahead of use, so that nothing compiles in the middle of a run and measured speeds do not
count compiling; side by side, because one compilation keeps hardly more than one core busy.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax

from algd_jax.config import Hyper
from algd_jax.runs.evaluate import make_evaluate
from algd_jax.training.epoch import EpochMetrics, Trainer, TrainState
from algd_jax.training.evaluation import Episodes
from algd_jax.training.population import Population


class Programs:
    """Programs by name; each call waits until its program is compiled.

    The state is donated where it is carried, so that replay exists once.
    """

    def __init__(
        self,
        trainer: Trainer | Population,
        hyper: Hyper,
        key: jax.Array,
        *,
        fresh: bool,
    ):
        """Start compiling.

        Args:
          trainer: the pure functions of a run, or of a population.
          hyper: float32 scalars, or [P]; later calls may pass other values.
          key: any PRNG key of the kind later calls pass, or [P]. A population on several devices
            wants both where its members are.
          fresh: whether the run begins, and needs ``init`` and ``warmup`` at all.
        """
        init = jax.jit(trainer.init)
        state = trainer.placed(jax.eval_shape(init, key, hyper))
        self._pool = ThreadPoolExecutor(thread_name_prefix="compile")
        self._compiled: dict[str, Future[jax.stages.Compiled]] = {}
        # In the order of need: warm-up may run while the epoch still compiles.
        if fresh:
            self._compile("init", init, key, hyper)
            self._compile("warmup", jax.jit(trainer.warmup, donate_argnums=0), state, hyper)
        self._compile("train_epoch", jax.jit(trainer.train_epoch, donate_argnums=0), state, hyper)
        self._compile("evaluate", make_evaluate(trainer), state.agent, key, hyper)
        self._pool.shutdown(wait=False)

    def init(self, key: jax.Array, hyper: Hyper) -> TrainState:
        """See ``Trainer.init``."""
        return self._program("init")(key, hyper)

    def warmup(self, state: TrainState, hyper: Hyper) -> TrainState:
        """See ``Trainer.warmup``; consumes ``state``."""
        return self._program("warmup")(state, hyper)

    def train_epoch(self, state: TrainState, hyper: Hyper) -> tuple[TrainState, EpochMetrics]:
        """See ``Trainer.train_epoch``; consumes ``state``."""
        return self._program("train_epoch")(state, hyper)

    @property
    def evaluate(self) -> Callable[..., Episodes]:
        """See ``algd_jax.runs.evaluate.make_evaluate``; an agent from anywhere is brought along."""
        program = self._program("evaluate")
        places, _ = program.input_shardings
        return lambda *arguments: program(*jax.device_put(arguments, places))

    def wait(self) -> None:
        """Return when everything is compiled."""
        for program in self._compiled.values():
            program.result()

    def _compile(self, name: str, function: jax.stages.Wrapped, *arguments: object) -> None:
        self._compiled[name] = self._pool.submit(function.lower(*arguments).compile)

    def _program(self, name: str) -> jax.stages.Compiled:
        return self._compiled[name].result()
