"""What a run keeps of itself, and when: the whole state to resume from, and its policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from algd_jax.agents.state import AgentState
from algd_jax.config import Config, LoopConfig
from algd_jax.runs.best import BEST_KEPT, Best, best_of, new_best
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.logs import Record, is_number
from algd_jax.training import checkpoint
from algd_jax.training.checkpoint import CheckpointError, Entry, Keep, Writer, newest
from algd_jax.training.epoch import TrainState

LAST_KEPT = 2
"""Of the last policies: one to use, and one before it should it be damaged."""


class Keeper:
    """Writes a run's checkpoints in the background, while it goes on training.

    A write that fails is told and tried again after the next epoch; what is on disk stays. A whole
    state is written after the policies up to it, and not without them: a run that goes on from it
    finds them, however the run before has ended.

    Attributes:
      best: the best feasible policy of the epochs so far.
    """

    def __init__(self, directory: RunDirectory, config: Config, tell: Callable[[str], None]):
        """Args:
        directory: the run's folder.
        config: of the run.
        tell: takes a line worth knowing.
        """
        self.best: Best | None = None
        self._directory, self._config, self._tell = directory, config, tell
        self._last, self._best, self._state = (
            Writer(folder, directory.owner(folder.name))
            for folder in (directory.last, directory.best, directory.state)
        )
        self._saved_step: int | None = None

    def restore_state(self, like: TrainState) -> TrainState:
        """The newest undamaged whole state; damaged ones are told and set aside.

        Raises:
          CheckpointError: if there is none, or it is of another configuration.
        """
        owner = self._directory.owner("state")
        restored = checkpoint.restore(self._directory.state, like, owner=owner)
        for line in restored.damaged.values():
            self._tell(f"{line}; going on from the one of step {restored.step}")
        checkpoint.set_aside(self._directory.state, restored.damaged)
        self._saved_step = restored.step
        return restored.tree

    def recall(self, records: Sequence[Record]) -> None:
        """Go on after these epochs, from which the best policy follows.

        Not from what is on disk: a run that was killed may have left policies of later epochs.
        """
        self.best = best_of(records, self._config.limits)

    def keep(self, state: TrainState, record: Record, *, now: bool) -> None:
        """What is due after an epoch: its policy, that as the best one, the whole state.

        Args:
          state: after the epoch; copied before this returns.
          record: the epoch's.
          now: keep the whole state in any case.
        """
        notes = {name: record[name] for name in ("step", "eval_return", "eval_cost")}
        self._save_policy(self._last, state.agent, notes, newest(LAST_KEPT))
        found = new_best(self.best, record, self._config.limits)
        if found is not None:
            self.best = found
            keep = best_retained(self._saved_step or 0)
            self._save_policy(self._best, state.agent, found._asdict(), keep)
        elif self._has_failed(self._best):
            self._best.retry()
        due = is_due(self._config.loop, record["epoch"], found is not None)
        if now or due or self._has_failed(self._state):
            self.keep_state(state, record["step"], record | {"best": found is not None})

    def keep_state(self, state: TrainState, step: int, record: Record | None = None) -> None:
        """The whole state of this step, unless it is kept already.

        Args:
          state: copied before this returns.
          step: environment steps made.
          record: the epoch's, and whether its policy is the best one so far.
        """
        if step == self._saved_step:
            return
        notes = {name: (record or _NO_EPOCH)[name] for name in _NO_EPOCH}
        policies = (self._last, self._best)
        self._tell_failure(self._state.save(step, state, notes, self._retained, policies))
        self._saved_step = step

    def forget_after(self, step: int) -> None:
        """Remove the policies of later steps: the run goes another way from here."""
        self.wait()
        for folder in (self._directory.last, self._directory.best):
            checkpoint.remove_after(folder, step)

    def wait(self) -> None:
        """Return when everything is on disk.

        Raises:
          CheckpointError: if something is not.
        """
        outcomes = [writer.outcome() for writer in self._writers]
        failures = [error for error in outcomes if error is not None]
        if failures:
            raise CheckpointError(f"{failures[0]}; {self.last_good()}") from failures[0]

    def last_good(self) -> str:
        """In words, what a run that fails now can be resumed from."""
        step = checkpoint.latest(self._directory.state)
        if step is None:
            return "no checkpoint of the whole state was written before"
        return f"the last good checkpoint of the whole state, of step {step}, is kept"

    def close(self) -> None:
        """Finish what is being written."""
        for writer in self._writers:
            writer.close()

    @property
    def _writers(self) -> tuple[Writer, ...]:
        return self._last, self._best, self._state

    def _retained(self, entries: Sequence[Entry]) -> set[int]:
        return retained(entries, self._config.loop)

    def _save_policy(self, writer: Writer, agent: AgentState, notes: Record, keep: Keep) -> None:
        self._tell_failure(writer.save(notes["step"], agent, notes, keep))

    def _has_failed(self, writer: Writer) -> bool:
        """Whether the last write is over and failed; then it is told."""
        failure = None if writer.is_writing() else writer.outcome()
        self._tell_failure(failure)
        return failure is not None

    def _tell_failure(self, failure: CheckpointError | None) -> None:
        if failure is not None:
            self._tell(f"{failure}; training goes on, and the next epoch tries again")


_NO_EPOCH: Record = {"epoch": 0, "eval_return": None, "eval_cost": None, "best": False}


def is_due(loop: LoopConfig, epoch: int, is_best: bool) -> bool:
    """Whether the whole state is to be written after ``epoch``, which counts from 1."""
    periods = (loop.checkpoint_epochs, loop.keep_every)
    return any(period and epoch % period == 0 for period in periods) or (loop.keep_best and is_best)


def retained(entries: Sequence[Entry], loop: LoopConfig) -> set[int]:
    """Which whole states stay: the newest, every so many epochs one, and the best feasible."""
    kept = set(newest(loop.keep_last)(entries))
    for entry in entries:
        epoch = entry.notes.get("epoch")
        if is_number(epoch) and epoch and loop.keep_every and epoch % loop.keep_every == 0:
            kept.add(entry.step)
    best = [entry.step for entry in entries if entry.notes.get("best") is True]
    if best and loop.keep_best:
        kept.add(best[-1])  # Each is better than those before.
    return kept


def best_retained(saved_step: int) -> Keep:
    """The rule of the best policies: the newest stay, and the one to go on with from a whole state.

    Args:
      saved_step: of the last whole state.
    """

    def keep(entries: Sequence[Entry]) -> set[int]:
        known = [entry for entry in entries if entry.step <= saved_step]
        return newest(BEST_KEPT)(entries) | newest(1)(known)

    return keep
