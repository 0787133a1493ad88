"""What is told of numbers that have gone bad, or are on their way there."""

from __future__ import annotations

from collections.abc import Iterator

from algd_jax.config import Config
from algd_jax.envs.base import FLAGS, INVALID_COST
from algd_jax.runs.logs import Record
from algd_jax.training.epoch import CHECKED_IN_UPDATES
from algd_jax.training.health import BadNumber

_PROBLEMS = {"cost": INVALID_COST, "state": "holds NaN", **FLAGS}


def diverging(record: Record, config: Config) -> Iterator[tuple[str, str]]:
    """What of an epoch is beyond the bounds of ``HealthConfig``: names, each with a warning."""
    health = config.health
    reasons = {
        "lam": (health.lam_bound, "lam_bound", "the limit may be out of reach"),
        "risk": (health.value_bound, "value_bound", "the cost critics diverge"),
        "reward_value": (health.value_bound, "value_bound", "the reward critics diverge"),
    }
    for name, value in record.items():
        quantity = name.split("/")[0]
        if quantity in reasons:
            bound, field, reason = reasons[quantity]
            if abs(value) > bound:
                step = record["step"]
                yield (
                    name,
                    f"{name} is {value:.4g} at step {step}, beyond {field} {bound:g}: {reason}",
                )


def found(bad: BadNumber) -> str:
    """A finding as a sentence."""
    problem = _PROBLEMS.get(bad.quantity, "is NaN or infinite")
    where = "update" if bad.quantity in CHECKED_IN_UPDATES else "environment"
    return f"{bad.quantity} {problem} at environment step {bad.env_step}, {where} {bad.place}"
