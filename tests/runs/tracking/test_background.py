"""A slow or broken log never holds up, ends or falsifies a run."""

import threading

import pytest

from algd_jax.runs.logs import Log
from algd_jax.runs.tracking.background import Background

RECORDS = [{"step": step} for step in range(1, 6)]


class Memory(Log):
    """Sends each epoch once, like a service; fails while it is told to."""

    def __init__(self):
        self.calls, self.sent, self.final, self.broken = [], [], "open", False

    def open(self, records):
        self._do("open")
        for record in records:
            if record not in self.sent:
                self.record(record)

    def record(self, record):
        self._do("record")
        self.sent.append(record)

    def close(self, final):
        self._do("close")
        self.final = final

    def _do(self, name):
        self.calls.append(name)
        if self.broken:
            raise ConnectionError("no route\nto host")


@pytest.fixture
def told():
    return []


def settle(background):
    """Wait until the thread has done what it was given."""
    done = threading.Event()
    background._tasks.put(done.set)
    assert done.wait(10)


def test_epochs_arrive_in_order_and_the_end_waits_for_them(told):
    log = Memory()
    background = Background("memory", log, told.append)
    background.open(RECORDS[:2])
    for record in RECORDS[2:]:
        background.record(record)
    background.close({"final_return_mean": 1.0})
    assert log.sent == RECORDS
    assert log.final == {"final_return_mean": 1.0}
    assert told == []
    assert not background._thread.is_alive()


def test_a_failure_is_told_once_and_nothing_is_lost_when_it_is_over(told):
    log = Memory()
    background = Background("memory", log, told.append)
    background.open([])
    for i, record in enumerate(RECORDS):
        log.broken = 1 <= i <= 3
        background.record(record)
        settle(background)
    background.close(None)
    assert log.sent == RECORDS
    assert told == [
        "memory: no route; training goes on, metrics.jsonl has every epoch, and the next one "
        "tries again"
    ]
    assert log.final is None


def test_a_second_failure_is_told_too(told):
    log = Memory()
    background = Background("memory", log, told.append)
    background.open([])
    for i, record in enumerate(RECORDS):
        log.broken = i % 2 == 1
        background.record(record)
        settle(background)
    assert len(told) == 2
    background.close(None)


def test_the_end_tries_once_more(told):
    log = Memory()
    log.broken = True
    background = Background("memory", log, told.append)
    background.open(RECORDS)
    settle(background)
    log.broken = False
    background.close(None)
    assert log.sent == RECORDS
    assert log.final is None


def test_an_error_of_any_kind_and_without_words_is_one_line(told):
    class Bad(Memory):
        def _do(self, name):
            raise AssertionError

    background = Background("memory", Bad(), told.append)
    background.open([])
    background.close(None)
    assert len(told) == 1
    assert told[0].startswith("memory: AssertionError; training goes on")


def test_what_went_back_is_opened_anew(told):
    log = Memory()
    background = Background("memory", log, told.append)
    background.open([])
    background.record(RECORDS[0])
    background.open([])
    background.record({"step": 1, "lam": 2.0})
    background.close(None)
    assert log.calls == ["open", "record", "open", "record", "close"]
    assert log.sent == [{"step": 1}, {"step": 1, "lam": 2.0}]


def test_nobody_waits_for_ever(told):
    never = threading.Event()

    class Stuck(Memory):
        def record(self, record):
            never.wait(60)
            raise ConnectionAbortedError

    background = Background("memory", Stuck(), told.append, patience=0.05)
    background.open([])
    for record in RECORDS:
        background.record(record)  # Returns at once.
    background.close(None)
    never.set()
    background._thread.join(10)
    assert told == ["memory: not everything was sent within 0.05 s"]
