"""The thread that tells of finished requests can be slow, wrong or stuck, and nobody waits for it."""

import logging
import threading

import pytest

from trimtab.telemetry.afterwards import Afterwards


def test_everything_is_told_in_order_and_closing_waits_for_it() -> None:
    told: list[int] = []
    afterwards: Afterwards[int] = Afterwards(told.append, lambda: None)
    for number in range(500):
        afterwards.put(number)
    afterwards.close(timeout_s=10)
    assert told == list(range(500))
    afterwards.close(timeout_s=10)


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    begun, go = threading.Event(), threading.Event()
    told: list[int] = []
    dropped: list[None] = []

    def slow(number: int) -> None:
        begun.set()
        go.wait(60)
        told.append(number)

    afterwards: Afterwards[int] = Afterwards(slow, lambda: dropped.append(None), limit=10)
    afterwards.put(0)
    assert begun.wait(60)
    for number in range(1, 31):
        afterwards.put(number)
    assert len(dropped) == 20
    go.set()
    afterwards.close(timeout_s=10)
    assert told == list(range(11))


def test_closing_gives_up_in_time_on_work_that_is_stuck() -> None:
    begun, go = threading.Event(), threading.Event()

    def stuck(number: int) -> None:
        begun.set()
        go.wait(60)

    dropped: list[None] = []
    afterwards: Afterwards[int] = Afterwards(stuck, lambda: dropped.append(None))
    afterwards.put(1)
    assert begun.wait(60)
    afterwards.close(timeout_s=0.05)
    afterwards.put(2)
    assert len(dropped) == 1
    go.set()


def test_a_mistake_in_the_work_is_logged_once_and_costs_one_item(caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []

    def work(number: int) -> None:
        if number < 3:
            raise ValueError(number)
        told.append(number)

    afterwards: Afterwards[int] = Afterwards(work, lambda: None)
    with caplog.at_level(logging.ERROR, "trimtab.telemetry"):
        for number in range(5):
            afterwards.put(number)
        afterwards.close(timeout_s=10)
    assert told == [3, 4]
    assert len(caplog.records) == 1


def test_closing_what_never_worked_is_fine() -> None:
    Afterwards(lambda item: None, lambda: None).close(timeout_s=1)
