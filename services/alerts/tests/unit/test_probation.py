from datetime import UTC, datetime

import pytest

from alerts.domain.positions import Position
from alerts.feed.stream import FORGOTTEN_SECONDS, PROBATION_SECONDS, Probation, TickStream
from chassis.bus import StreamPosition
from chassis.errors import BusUnavailable

CREATED_AT = datetime(2026, 1, 5, tzinfo=UTC)


class _Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_leader_is_believed_after_a_while() -> None:
    time = _Time()
    probation = Probation(time)
    assert not probation.is_over("a")
    time.now += PROBATION_SECONDS / 2
    assert not probation.is_over("a")
    time.now += PROBATION_SECONDS / 2
    assert probation.is_over("a")
    time.now += FORGOTTEN_SECONDS
    assert probation.is_over("a")


def test_of_two_who_both_say_that_they_lead_neither_is_believed() -> None:
    time = _Time()
    probation = Probation(time)
    for name in "ababab":
        assert not probation.is_over(name)
        time.now += PROBATION_SECONDS
    assert probation.is_over("b")


def test_one_that_was_not_heard_of_begins_anew() -> None:
    time = _Time()
    probation = Probation(time)
    probation.is_over("a")
    time.now += FORGOTTEN_SECONDS + 0.1
    assert not probation.is_over("a")


def test_one_that_did_not_answer_once_begins_anew() -> None:
    time = _Time()
    probation = Probation(time)
    probation.is_over("a")
    time.now += PROBATION_SECONDS
    assert probation.is_over("a")
    probation.fail()
    assert not probation.is_over("a")


class _Bus:
    def __init__(self, leader: str | None) -> None:
        self.leader = leader
        self.is_there = True

    async def stream_position(self, name: str) -> StreamPosition:
        assert name == "TICKS"
        if not self.is_there:
            raise BusUnavailable
        return StreamPosition(CREATED_AT, 1, 7, self.leader)


class _Numbers:
    async def ordinal_of(self, created_at: datetime) -> int:
        assert created_at == CREATED_AT
        return 1


async def test_alerts_are_armed_where_a_believed_leader_says_and_ticks_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time, bus = _Time(), _Bus("a")
    stream = TickStream(bus, _Numbers())  # type: ignore[arg-type]  # all of a bus that it asks
    monkeypatch.setattr(stream, "_probation", Probation(time))
    assert await stream.latest() is None
    assert (await stream.view()).end == Position(1, 7)
    time.now += PROBATION_SECONDS
    assert await stream.latest() == Position(1, 7)
    bus.is_there = False
    assert await stream.latest() is None
    bus.is_there = True
    assert await stream.latest() is None


async def test_of_one_server_nobody_has_to_be_believed() -> None:
    stream = TickStream(_Bus(None), _Numbers())  # type: ignore[arg-type]  # all of a bus that it asks
    assert await stream.latest() == Position(1, 7)
