import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.timing import (
    Spread,
    carried,
    circumstances,
    compile_apart,
    cost,
    in_turn,
    rates,
    ratios,
    temporary_bytes,
)


class FakeClock:
    """Seconds that pass only when somebody says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class FakeResult:
    """A result that is there only ``seconds`` after somebody begins to wait for it."""

    def __init__(self, clock, seconds):
        self._clock, self._seconds = clock, seconds

    def block_until_ready(self):
        self._clock.now += self._seconds
        return self


def fake_call(clock, order, name, lasting):
    """A call that returns at once, and whose result takes one of ``lasting`` seconds each time."""
    durations = iter(lasting)

    def call():
        order.append(name)
        return FakeResult(clock, next(durations))

    return call


def test_calls_run_in_turn_after_one_untimed_call_each_and_are_waited_for():
    clock, order = FakeClock(), []
    calls = {
        "a": fake_call(clock, order, "a", [100.0, 1.0, 2.0, 3.0]),
        "b": fake_call(clock, order, "b", [100.0, 4.0, 5.0, 6.0]),
    }
    seconds = in_turn(calls, repeats=3, clock=clock)
    assert seconds == {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}
    assert order == ["a", "b"] * 4


def test_ratios_are_taken_pair_by_pair():
    clock, order = FakeClock(), []
    slowdowns = [1.0, 1.0, 7.0, 2.0, 30.0]  # Of the machine, from round to round.
    calls = {
        "a": fake_call(clock, order, "a", [3.0 * slow for slow in slowdowns]),
        "b": fake_call(clock, order, "b", [2.0 * slow for slow in slowdowns]),
    }
    seconds = in_turn(calls, repeats=4, clock=clock)
    assert ratios(seconds["a"], seconds["b"]) == Spread(4, 1.5, 1.5, 1.5, 1.5, 1.5)
    assert Spread.of(seconds["a"]).highest == 30 * Spread.of(seconds["a"]).lowest


def test_ratios_of_unequal_numbers_of_rounds_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize("order", itertools.permutations([1.0, 2.0, 4.0]))
def test_spread_of_any_order(order):
    assert Spread.of(order) == Spread(3, 2.0, 1.0, 1.5, 3.0, 4.0)


def test_spread_of_one_measurement():
    assert Spread.of([5.0]) == Spread(1, 5.0, 5.0, 5.0, 5.0, 5.0)


def test_spread_in_words():
    assert str(Spread.of([1.0, 2.0, 31.25, 40.0, 12345.6])) == "31.2±19"


def test_rates():
    assert rates(6, [1.0, 2.0, 3.0]) == Spread.of([6.0, 3.0, 2.0])


def test_carried_calls_go_on_from_their_own_results_and_consume_them():
    call = carried(lambda state, step: state + step, jnp.zeros(4), jnp.ones(4))
    first = call()
    call()
    np.testing.assert_array_equal(call(), np.full(4, 3.0))
    assert call.state is not first
    assert first.is_deleted()
    assert call.program.seconds > 0


def test_nothing_is_consumed_unless_donated():
    numbers = jnp.ones(4)
    program = compile_apart(lambda x: x * 2, numbers)
    np.testing.assert_array_equal(program.run(numbers), np.full(4, 2.0))
    assert not numbers.is_deleted()
    assert program.seconds == program.lower_seconds + program.compile_seconds
    assert min(program.lower_seconds, program.compile_seconds) > 0


def test_cost_counts_a_product():
    left, right = jnp.ones((8, 16)), jnp.ones((16, 32))
    counted = cost(compile_apart(jnp.matmul, left, right).run)
    assert counted.operations == 2 * 8 * 16 * 32
    assert counted.bytes == 4 * (8 * 16 + 16 * 32 + 8 * 32)


def test_temporary_bytes_hold_what_is_between_two_products():
    square = jnp.ones((64, 64))
    program = compile_apart(lambda x: (x @ x) @ (x.T @ x), square)
    assert temporary_bytes(program.run) >= square.nbytes


def test_circumstances_are_what_a_reader_needs():
    record = circumstances(["algd", "benchmark"])
    assert json.loads(json.dumps(record)) == record
    assert record["device"]["platform"] == jax.default_backend()
    assert record["versions"]["jax"] == jax.__version__
    assert record["command"] == ["algd", "benchmark"]
    assert record["cores"] >= 1
    assert record["load_average"] >= 0
    assert {"git_commit", "processor", "xla_flags", "start_time"} <= record.keys()
