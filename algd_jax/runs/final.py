"""The evaluation that ends a run, and which of its best policies it confirms."""

from __future__ import annotations

from collections.abc import Callable

from algd_jax.runs.best import BEST_KEPT
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import Evaluate, Summary, choose_checkpoint, evaluate_checkpoint
from algd_jax.training import checkpoint
from algd_jax.training.checkpoint import CheckpointError
from algd_jax.training.epoch import Trainer


class FinalChoice:
    """Chooses among the final evaluations of the best policies, from the newest one back."""

    def __init__(self, tell: Callable[[str], None]):
        """Args:
        tell: takes a line worth knowing.
        """
        self._tell = tell
        self._summaries: list[Summary] = []

    def refuses(self, summary: Summary) -> bool:
        """Note the next evaluation; whether its policy is refused, for a cost above its limit.

        The last policy, of a run without a best one, never is: there is nothing in its place.
        """
        self._summaries.append(summary)
        above = [
            f"{name} {one.cost_mean:.4g} (limit {one.cost_limit:g})"
            for name, one in summary.constraints.items()
            if summary.checkpoint == "best" and one.cost_mean > one.cost_limit
        ]
        if above:
            self._tell(
                f"in its final evaluation the best policy, of step {summary.step}, is above the "
                f"limit: {', '.join(above)}"
            )
        return bool(above)

    @property
    def summary(self) -> Summary:
        """The first evaluation within all limits, or not finite; the very first if none is."""
        ends = (one for one in self._summaries if one.feasible or not one.is_finite)
        return next(ends, self._summaries[0])

    def forget_refused(self, directory: RunDirectory) -> None:
        """Remove the best policies refused before the chosen one, so that all readers find that."""
        refused = self._summaries[: self._summaries.index(self.summary)]
        checkpoint.remove(directory.best, [summary.step for summary in refused])


def final_evaluation(
    trainer: Trainer,
    directory: RunDirectory,
    evaluate_batch: Evaluate,
    tell: Callable[[str], None],
) -> FinalChoice:
    """Evaluate the newest best policy; if that is above a limit, the one before, and so on.

    Without a best policy the last one is evaluated. Nothing changes on disk.

    Args:
      trainer: made from the run's configuration.
      directory: the run's folder.
      evaluate_batch: made by ``make_evaluate``.
      tell: takes a line worth knowing.
    """
    choice, before = FinalChoice(tell), None
    which = choose_checkpoint(directory)
    for _ in range(BEST_KEPT):
        try:
            summary = evaluate_checkpoint(trainer, directory, evaluate_batch, which, before=before)
        except CheckpointError:
            if before is None:
                raise
            break  # There is none before, or none that can be read.
        if not choice.refuses(summary):
            break
        before = summary.step
    return choice
