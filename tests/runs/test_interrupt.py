import signal
import threading

import pytest

from algd_jax.runs.interrupt import SIGNALS, StopSignals, exit_code, preempted


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_the_first_signal_asks_to_stop(number, code):
    announced = threading.Event()
    with StopSignals(announced.set, lambda: None) as signals:
        assert not signals.requested()
        signal.raise_signal(number)
        assert announced.wait(10)
        assert signals.requested()
    assert signals.received == number
    assert exit_code(signals.received) == code


def test_the_second_signal_ends_the_process(monkeypatch):
    ended, codes = threading.Event(), []
    monkeypatch.setattr("os._exit", codes.append)
    with StopSignals(lambda: None, ended.set):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert ended.wait(10)
    assert codes == [130]


def test_a_second_signal_is_heard_even_if_nothing_can_be_shown(monkeypatch):
    def fail():
        raise BrokenPipeError

    ended, codes = threading.Event(), []

    def end(code):
        codes.append(code)
        ended.set()

    monkeypatch.setattr("os._exit", end)
    with StopSignals(fail, lambda: None) as signals:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert ended.wait(10)
    assert signals.received == signal.SIGINT
    assert codes == [130]


def test_former_handlers_come_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopSignals(lambda: None, lambda: None):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_where_jax_waits_for_sigterm_it_is_left_to_it(monkeypatch):
    monkeypatch.setattr("jax.distributed.is_initialized", lambda: True)
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals(lambda: None, lambda: None):
        assert signal.getsignal(signal.SIGTERM) == before
        assert signal.getsignal(signal.SIGINT) != signal.default_int_handler


def test_without_the_service_there_is_no_notice():
    assert not preempted(1)
