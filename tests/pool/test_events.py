"""The event log: in order, bounded, and whole for a reader on another thread."""

from __future__ import annotations

import threading

from loopai_lab.pool.events import EventLog, PoolEvent


def test_a_reader_on_another_thread_sees_every_event_once_and_in_order() -> None:
    log, count = EventLog(), 50_000

    def write() -> None:
        for number in range(count):
            log.emit(PoolEvent("queued", float(number)))

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[float] = []
    mark = 0
    while len(seen) < count:
        for number, event in log.numbered_since(mark):
            mark = number
            seen.append(event.at)
    writer.join()
    assert seen == [float(n) for n in range(count)]


def test_only_the_latest_events_are_kept_and_marks_still_hold() -> None:
    log = EventLog(keep=3)
    for number in range(10):
        log.emit(PoolEvent("queued", float(number)))
    assert log.total == 10
    assert [event.at for event in log.since(0)] == [7.0, 8.0, 9.0]
    assert [event.at for event in log.since(8)] == [8.0, 9.0]
    assert log.since(10) == []


def test_a_listener_may_leave_while_it_is_told() -> None:
    log = EventLog()
    told: list[str] = []

    def leave(event: PoolEvent) -> None:
        told.append(event.kind)
        stop()

    stop = log.subscribe(leave)
    log.subscribe(lambda event: told.append(f"{event.kind} too"))
    log.emit(PoolEvent("queued", 0.0))
    log.emit(PoolEvent("failed", 0.0))
    assert told == ["queued", "queued too", "failed too"]
