"""Which policy is the best one, by hand."""

import dataclasses

import numpy as np
import pytest

from algd_jax.runs.best import (
    Best,
    best_of,
    confirmation_record,
    evaluation_record,
    is_candidate,
    new_best,
)
from algd_jax.training.evaluation import Episodes, Judged
from tests.runs.support import tiny_config

LIMITS = {"cost": 2.0}


def played(returns, costs, **more):
    returns, costs = np.float32(returns), np.float32(costs)
    return Episodes(returns, costs, np.full_like(returns, 8), **more)


def record(step, confirmed_return, bound, eval_return=9.0):
    found = {"confirmed_return": confirmed_return, "confirmed_cost": 0.5, "confirmed_bound": bound}
    return {"step": step, "eval_return": eval_return, "eval_cost": 1.0, **found}


def test_a_candidate_promises_more_than_was_confirmed_of_the_best():
    best = Best(7, 9.0, 1.0, 4.0, 1.0)  # Its own evaluation was luckier than its confirmation.
    promising = {"eval_return": 5.0, "eval_cost": 2.0}
    assert is_candidate(promising, best, LIMITS)
    assert is_candidate(promising, None, LIMITS)
    assert not is_candidate(promising | {"eval_return": 4.0}, best, LIMITS)
    assert not is_candidate(promising | {"eval_cost": 2.1}, None, LIMITS)


def test_a_confirmation_is_means_and_bounds_by_hand():
    fresh = played([1, 2, 3, 4], [0, 1, 2, 3])
    # Standard deviation sqrt(5/3), its standard error half of that.
    assert confirmation_record(tiny_config(), fresh) == {
        "confirmed_return": 2.5,
        "confirmed_cost": 1.5,
        "confirmed_bound": pytest.approx(1.5 + (5 / 3) ** 0.5 / 2),
    }
    nothing = confirmation_record(tiny_config(), None)
    assert nothing == dict.fromkeys(("confirmed_return", "confirmed_cost", "confirmed_bound"))


def test_each_limited_cost_has_a_bound():
    names = ("cost_low", "cost_high")
    config = dataclasses.replace(tiny_config(cost_limit=(1.0, 2.0)), constraints=names)
    parts = {"cost_low": np.float32([1, 1]), "cost_high": np.float32([1, 3])}
    found = confirmation_record(config, played([1, 1], [2, 4], parts=parts))
    assert found == {
        "confirmed_return": 1.0,
        "confirmed_cost": 3.0,
        "confirmed_cost/cost_low": 1.0,
        "confirmed_cost/cost_high": 2.0,
        "confirmed_bound/cost_low": 1.0,
        "confirmed_bound/cost_high": 3.0,
    }
    assert confirmation_record(config, None).keys() == found.keys()
    epoch = found | {"step": 5, "eval_return": 9.0, "eval_cost": 0.0}
    assert new_best(None, epoch, {"cost_low": 1.0, "cost_high": 3.0}).step == 5
    assert new_best(None, epoch, {"cost_low": 1.0, "cost_high": 2.9}) is None


def test_the_best_is_chosen_by_fresh_episodes_alone():
    log = [
        record(1, 3.0, 1.0, eval_return=5.0),
        record(2, 2.0, 1.0, eval_return=99.0),  # A lucky return.
        record(3, 8.0, 2.1, eval_return=99.0),  # A lucky cost.
        {"step": 4, "eval_return": 99.0, "eval_cost": 0.0},  # As runs were logged before.
        record(5, None, None),
        record(6, 4.0, 2.0, eval_return=3.5),
        record(7, 4.0, 0.0),
    ]
    assert best_of(log[:5], LIMITS) == Best(1, 5.0, 1.0, 3.0, 0.5)
    assert best_of(log, LIMITS) == Best(6, 3.5, 1.0, 4.0, 0.5)
    assert best_of([], LIMITS) is None
    assert str(best_of(log, LIMITS)) == "4.00 at step 6"


def judged(risk, cost, alive=True):
    """One episode of four states and one constraint."""
    risk, cost = (np.float32(values).reshape(1, -1, 1) for values in (risk, cost))
    return Judged(risk, cost, np.broadcast_to(alive, risk.shape[:2]))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # Only the first half counts.
        (judged([1, 2, 9, 9], [10, 20, -7, -9]), 1.0),
        (judged([1, 2, 9, 9], [20, 10, 7, 9]), -1.0),
        (judged([1, 2, 3, 9, 9], [3, 3.5, 5, 0, 0]), np.corrcoef([1, 2, 3], [3, 3.5, 5])[0, 1]),
        (
            judged(
                [1, 2, 3, 9, 9, 9], [1, 2, 0, 0, 0, 0], [[True, True, False, False, False, False]]
            ),
            1.0,
        ),
        (judged([1, 1, 2, 3], [1, 2, 3, 4]), None),
        (judged([1, 2, 3, 4], [0, 0, 1, 2]), None),
        (judged([np.nan, 2, 3, 4], [0, 1, 1, 2]), None),
        (judged([1], [1]), None),
    ],
)
def test_correlation_by_hand(found, expected):
    record = evaluation_record(tiny_config(), played([1.0], [2.0], judged=found))
    assert record.keys() == {"eval_return", "eval_cost", "risk_correlation"}
    if expected is None:
        assert record["risk_correlation"] is None
    else:
        assert record["risk_correlation"] == pytest.approx(expected)


def test_each_constraint_has_its_correlation():
    names = ("cost_low", "cost_high")
    config = dataclasses.replace(tiny_config(cost_limit=(1.0, 2.0)), constraints=names)
    risk, cost = np.float32([[[1, 1], [2, 2]] * 2]), np.float32([[[5, 6], [7, 4]] * 2])
    both = Judged(risk, cost, np.ones((1, 4), bool))
    record = evaluation_record(config, played([1.0], [2.0], judged=both))
    assert record["risk_correlation/cost_low"] == pytest.approx(1.0)
    assert record["risk_correlation/cost_high"] == pytest.approx(-1.0)
