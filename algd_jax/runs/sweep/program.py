"""The host loop of one packed program: many trials, one epoch after the other.

What decides where the trials stand is one thing, the program's checkpoint: the population's whole
state and the best policies so far. Logs are rewound to it, policies and failures told anew.
At a rung of a search a checkpoint is written first, then the members that go on become a program of
their own, smaller by those that are pruned.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.agents.state import AgentState
from algd_jax.files import append_note
from algd_jax.runs.best import BEST_KEPT, FRESH_BATCHES
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.evaluate import concatenated
from algd_jax.runs.health import found
from algd_jax.runs.interrupt import preempted
from algd_jax.runs.programs import Programs
from algd_jax.runs.resuming import epochs_made
from algd_jax.runs.run import RunError, failure_noted
from algd_jax.runs.sweep.directory import SweepDirectory
from algd_jax.runs.sweep.halving import Rung, ranking
from algd_jax.runs.sweep.member import Member
from algd_jax.runs.sweep.packing import check_fits
from algd_jax.runs.sweep.plan import Plan, configurations
from algd_jax.runs.sweep.table import is_complete, write_tables
from algd_jax.runs.tracking.choice import Tracking
from algd_jax.training import checkpoint
from algd_jax.training.checkpoint import CheckpointError, Restored, Writer, newest
from algd_jax.training.epoch import CHECKED, TrainState
from algd_jax.training.evaluation import Episodes
from algd_jax.training.health import Health, describe
from algd_jax.training.population import Population, member, only, stack_hypers
from algd_jax.training.sharding import member_mesh, member_sharding

CHECKPOINT_MINUTES = 10.0
"""Between two checkpoints of a program's whole state, by the clock: so a kill costs little,
whether an epoch takes a second or an hour."""


class Report(NamedTuple):
    """An epoch of a program.

    Attributes:
      program: its number.
      epoch, epochs: how many are done, of how many.
      step: environment steps that each member has made.
      members, failed, feasible: how many were trained, and how many of them have failed or were
        feasible in this epoch's evaluation.
      median_return: of the members that have not failed; None if all have.
      seconds: that the epoch took, evaluation included.
    """

    program: int
    epoch: int
    epochs: int
    step: int
    members: int
    failed: int
    feasible: int
    median_return: float | None
    seconds: float


class _Carry(NamedTuple):
    """What goes from epoch to epoch, and into checkpoints.

    Attributes:
      state: of the population.
      bests: agents [P] that were the best feasible ones, the newest first; arbitrary where there
        were not so many.
    """

    state: TrainState
    bests: tuple[AgentState, ...]


def run_program(
    directory: SweepDirectory,
    plan: Plan,
    number: int,
    stop_requested: Callable[[], bool] = lambda: False,
    minutes: float = CHECKPOINT_MINUTES,
    command: tuple[str, ...] = (),
    patience: float = 0.0,
    tracking: Tracking = Tracking(),
    phase: Callable[[str], None] = lambda name: None,
) -> Iterator[Report | str]:
    """Begin or resume a program and run it to its end; a report for each epoch, and lines to tell.

    Args:
      directory: of the sweep; its plan must have been written.
      plan: of the sweep.
      number: of the program.
      stop_requested: asked before the first epoch and after each; a true answer ends the program
        with a checkpoint.
      minutes: between two checkpoints of the whole state; there is one at the end in any case.
      command: the command line, for the record.
      patience: how long to wait for another process that is still running the program [s].
      tracking: where else trials are logged.
      phase: takes what is done from now on.

    Raises:
      ConfigError: if the program does not fit, or another process is running it.
      RunError: if what it shall leave cannot be written.
    """
    with directory.running(number, patience), failure_noted(directory.log_file):
        if is_complete(directory, plan, number):
            return
        check_fits(plan, number)
        run = _ProgramRun(directory, plan, number, minutes, tracking, phase)
        try:
            for report in run.run(stop_requested, command):
                yield from run.take_notes()
                yield report
            write_tables(directory, plan)
            _close(run.every)
            yield from run.take_notes()
        except OSError as error:
            raise RunError(f"{error.filename} was not written: {error.strerror}") from error
        except CheckpointError as error:
            raise RunError(str(error)) from error
        finally:
            run.writer.close()
            _close(run.every)


class _ProgramRun:
    """The host side of one program."""

    def __init__(
        self,
        directory: SweepDirectory,
        plan: Plan,
        number: int,
        minutes: float,
        tracking: Tracking,
        phase: Callable[[str], None],
    ):
        self.directory, self.plan, self.number, self.minutes = directory, plan, number, minutes
        self.phase = phase
        self.notes: list[str] = []
        self.told: set[str] = set()
        self.trials = plan.members(number)
        self.rungs = {rung.epoch: rung for rung in plan.rungs(number)}
        self.every = [
            Member(one.config, directory.trial(one), self._tell, tracking) for one in self.trials
        ]
        # It has the first trial's seed and Hyper, but those are arguments here.
        self.config = self.trials[0].config
        self.trainer = build(self.config)
        self.select = jax.jit(jax.vmap(_select))
        self.folder = directory.program(number)
        self.owner = directory.owner(number)
        self.writer = Writer(self.folder, self.owner)
        self.saved_step: int | None = None
        self.saved_time = time.monotonic()
        self._train_only(range(len(self.trials)))

    def _train_only(self, numbers: Sequence[int]) -> None:
        """Make these trials, by their numbers in the program, the members of the population."""
        self.numbers = list(numbers)
        trials = [self.trials[i] for i in numbers]
        self.members = [self.every[i] for i in numbers]
        mesh = member_mesh(members=len(trials))
        self.sharding = member_sharding(mesh) if mesh.size > 1 else None
        self.population = Population(self.trainer, mesh if mesh.size > 1 else None)
        self.hyper = self._put(stack_hypers([one.config.hyper for one in trials]))
        self.seeds = [one.config.seed for one in trials]

    def run(self, stop_requested: Callable[[], bool], command: tuple[str, ...]) -> Iterator[Report]:
        """All remaining epochs and, unless stopped before, the final evaluations."""
        for one in self.every:
            one.begin(command)
        carry = self._begin() if checkpoint.latest(self.folder) is None else self._restore()
        self._open(carry)
        done = epochs_made(self.config, _step(carry.state))
        stopped = stop_requested() or preempted(done)
        while done < self.config.epochs and not stopped and self._any_sound():
            if done in self.rungs:
                carry = self._halve(carry, self.rungs[done])
            clock = time.perf_counter()
            carry = self._epoch(carry, done)
            done += 1
            stopped = stop_requested() or preempted(done)
            if stopped or time.monotonic() - self.saved_time >= 60 * self.minutes:
                self._keep(carry)
            yield self._report(carry, done, time.perf_counter() - clock)
        self._keep(carry)
        if done >= self.config.epochs:
            self._end(carry)

    def take_notes(self) -> Iterator[str]:
        """What was worth telling since the last time."""
        while self.notes:  # As a generator, because Ray sends values to what it iterates over.
            yield self.notes.pop(0)

    def _begin(self) -> _Carry:
        """The state after warm-up, from nothing."""
        keys = self._keys(Stream.TRAINING)
        self._compile(keys, fresh=True)
        state = self.programs.warmup(self.programs.init(keys, self.hyper), self.hyper)
        bests = [jax.tree.map(jnp.copy, state.agent) for _ in range(BEST_KEPT)]
        return _Carry(state, tuple(bests))

    def _restore(self) -> _Carry:
        """The state of the last undamaged checkpoint."""
        self.phase("restoring")
        restored: Restored[_Carry] = checkpoint.restore(self.folder, self._like, owner=self.owner)
        for line in restored.damaged.values():
            self._tell(f"{line}; going on from the one of step {restored.step}")
        checkpoint.set_aside(self.folder, restored.damaged)
        self.saved_step = restored.step
        self._compile(self._keys(Stream.TRAINING), fresh=False)
        return restored.tree

    def _like(self, notes: dict[str, Any]) -> _Carry:
        """Shapes of what a checkpoint holds, whose members become those of the population."""
        self._train_only(notes.get("members", range(len(self.trials))))
        state = jax.eval_shape(self.population.init, self._keys(Stream.TRAINING), self.hyper)
        state = self.population.placed(state)
        return _Carry(state, BEST_KEPT * (state.agent,))

    def _compile(self, keys: jax.Array, *, fresh: bool) -> None:
        self.phase("compiling and warming up" if fresh else "compiling")
        self.programs = Programs(self.population, self.hyper, keys, fresh=fresh)

    def _open(self, carry: _Carry) -> None:
        """Put every trial's directory to where the state stands."""
        step = _step(carry.state)
        for one in self.members:
            one.open(step)
        self._find_failures(carry.state.health, step)
        self.programs.wait()

    def _epoch(self, carry: _Carry, epoch: int) -> _Carry:
        """Train, evaluate and log; ``epoch`` counts from 0."""
        self.phase("training")
        clock = time.perf_counter()
        state, metrics = self.programs.train_epoch(carry.state, self.hyper)
        metrics, updates = jax.device_get((metrics, state.agent.updates))
        seconds, step = time.perf_counter() - clock, _step(state)
        self._find_failures(state.health, step)
        self.phase("evaluating")
        clock = time.perf_counter()
        keys = self._keys(Stream.EVALUATION, epoch)
        episodes = self._evaluate(state.agent, keys)
        candidates = [one.is_candidate(member(episodes, i)) for i, one in enumerate(self.members)]
        fresh = self._confirm(state.agent, epoch) if any(candidates) else None
        both = seconds, time.perf_counter() - clock
        is_best = []
        for i, one in enumerate(self.members):
            played = *member((metrics, episodes), i), member(fresh, i) if candidates[i] else None
            is_best.append(one.log(epoch, step, int(updates[i]), both, *played))
        mask, agents = self._put(np.array(is_best)), (state.agent, *carry.bests)
        return _Carry(state, tuple(self.select(mask, *pair) for pair in itertools.pairwise(agents)))

    def _evaluate(self, agents: AgentState, keys: jax.Array) -> Episodes:
        """Episodes [P, n], on the host."""
        return jax.device_get(self.programs.evaluate(agents, keys, self.hyper))

    def _confirm(self, agents: AgentState, epoch: int) -> Episodes:
        """Fresh episodes of all members, of which only those of candidates are used."""
        keys = [self._keys(Stream.CONFIRMATION, epoch, number) for number in range(FRESH_BATCHES)]
        return concatenated([self._evaluate(agents, one) for one in keys], axis=1)

    def _halve(self, carry: _Carry, rung: Rung) -> _Carry:
        """Prune all but the members that go on, and make those a smaller program.

        What is pruned is on disk before: a program that is killed goes on here, or later.
        """
        self._keep(carry)
        alike = configurations([self.trials[i] for i in self.numbers])
        returns, excesses = zip(*(one.standing() for one in self.members), strict=True)
        ranked = ranking(alike, np.array(returns), np.array(excesses))
        for rank, number in enumerate(ranked, 1):
            if rank > rung.kept:
                for i in alike[number]:
                    self.members[i].prune(_step(carry.state), rung.epoch, rank, len(ranked))
        staying = sorted(i for number in ranked[: rung.kept] for i in alike[number])
        self._tell(
            f"after epoch {rung.epoch} go on {rung.kept} of {len(ranked)} points; runs pruned: "
            f"{len(self.members) - len(staying)}, still trained: {len(staying)}"
        )
        _close([one for i, one in enumerate(self.members) if i not in staying])
        carry = only(carry, np.array(staying))
        self._train_only([self.numbers[i] for i in staying])
        self._compile(self._keys(Stream.TRAINING), fresh=False)
        self.programs.wait()
        write_tables(self.directory, self.plan)
        return self._put(carry)

    def _keep(self, carry: _Carry) -> None:
        """Write the whole state and, once it is on disk, what follows from it."""
        self.phase("checkpointing")
        step = _step(carry.state)
        if step != self.saved_step:
            notes = {"members": self.numbers}
            self.writer.save(step, carry, notes, newest(self.config.loop.keep_last))
            if (failure := self.writer.outcome()) is not None:
                raise failure
            self.saved_step, self.saved_time = step, time.monotonic()
        policies = jax.device_get((carry.state.agent, carry.bests))
        for i, one in enumerate(self.members):
            one.save_policies(*member(policies, i))
        write_tables(self.directory, self.plan)

    def _end(self, carry: _Carry) -> None:
        """The final evaluations, with the keys and the policies of lone runs.

        As long as members refuse a policy, all are evaluated again, these with the one before.
        """
        self.phase("final evaluation")
        sound = asked = [i for i, one in enumerate(self.members) if one.failure is None]
        while asked:
            outcome = self._final_episodes(carry)
            asked = [i for i in asked if self.members[i].refuses(member(outcome, i))]
        for i in sound:
            self.members[i].end()

    def _final_episodes(self, carry: _Carry) -> Episodes:
        """Of each member's policy in question, on the host."""
        loop, agents = self.config.loop, carry.state.agent
        for number, best in enumerate(carry.bests):
            is_meant = np.array([one.in_question == number for one in self.members])
            agents = self.select(self._put(is_meant), best, agents)
        batches = [
            self._evaluate(agents, self._keys(Stream.FINAL_EVALUATION, i))
            for i in range(-(-loop.final_eval_episodes // loop.eval_episodes))
        ]
        outcome = concatenated(batches, axis=1)
        return jax.tree.map(lambda leaf: leaf[:, : loop.final_eval_episodes], outcome)

    def _find_failures(self, health: Health, step: int) -> None:
        health = jax.device_get(health)
        for i, one in enumerate(self.members):
            bad = describe(member(health, i), CHECKED)
            if bad is not None:
                one.fail(found(bad), step)

    def _any_sound(self) -> bool:
        return any(one.failure is None for one in self.members)

    def _report(self, carry: _Carry, done: int, seconds: float) -> Report:
        returns = [one.records[-1]["eval_return"] for one in self.members if one.failure is None]
        return Report(
            program=self.number,
            epoch=done,
            epochs=self.config.epochs,
            step=_step(carry.state),
            members=len(self.members),
            failed=len(self.members) - len(returns),
            feasible=sum(one.is_feasible() for one in self.members),
            median_return=float(np.median(returns)) if returns else None,
            seconds=seconds,
        )

    def _keys(self, stream: Stream, *folded: int) -> jax.Array:
        """Each member's own key of a stream, as its lone run has it."""
        keys = [stream_key(seed, stream) for seed in self.seeds]
        for number in folded:
            keys = [jax.random.fold_in(key, number) for key in keys]
        return self._put(jnp.stack(keys))

    def _put(self, tree: Any) -> Any:
        """Members to where they live."""
        return tree if self.sharding is None else jax.device_put(tree, self.sharding)

    def _tell(self, line: str) -> None:
        """Once: members tell alike what befalls all of them, such as a service out of reach."""
        if line not in self.told:
            self.told.add(line)
            self.notes.append(line)
            append_note(self.directory.log_file, line)


def _close(members: Sequence[Member]) -> None:
    """End their logs, side by side because each may have to wait for a service."""
    with ThreadPoolExecutor(max(1, len(members))) as pool:
        list(pool.map(Member.close, members))


def _step(state: TrainState) -> int:
    """Environment steps made; all members have made as many."""
    return int(state.env_steps[0])


def _select(first_is_meant: jax.Array, first: AgentState, second: AgentState) -> AgentState:
    return jax.tree.map(partial(jnp.where, first_is_meant), first, second)
