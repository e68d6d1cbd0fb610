import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.clock import ManualClock
from chassis.metrics import value_of
from gateway.board import Board, head_of
from gateway.settings import Settings
from gateway.stream import LEAST_PAUSE_SECONDS, MAX_WAITING_ALERTS, SLICE_SECONDS, Client, Streams, slice_after

STUCK = {"why": "stuck"}


class Bus:
    is_ready = True


class Verifier:
    def is_current(self, _: object) -> bool:
        return True


class Parts:
    """Streams without a server: a client's events are what it would be sent next."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 4, 7, tzinfo=UTC))
        self.board = Board(self.clock, max_age_seconds=15, max_instruments=100)
        bus: Any = Bus()
        verifier: Any = Verifier()
        quotes: Any = None
        self.streams = Streams(
            board=self.board, quotes=quotes, bus=bus, verifier=verifier, settings=Settings(), clock=self.clock
        )

    def watch(self, *instruments: str) -> Client:
        client = Client({self.board.place(name): head_of(name) for name in instruments}, None)
        self.streams.add(client)
        return client


@pytest.fixture
def parts() -> Parts:
    return Parts()


def prices(told: bytes) -> dict[str, float]:
    data = told.partition(b"data: ")[2]
    return {quote["symbol"]: quote["last_price"] for quote in json.loads(data)["quotes"]}


def test_a_reader_who_is_behind_gets_the_latest_of_each_and_never_a_queue(
    parts: Parts, make_batch: Callable[..., Any]
) -> None:
    client = parts.watch("NSE:A", "NSE:B")
    for number in range(1, 1001):
        parts.board.apply(make_batch({"NSE:A": float(number), "NSE:B": 2.0}, sequence=number))
        parts.streams._spread_changes()

    assert len(client.dirty) == 2
    assert prices(client.take()) == {"NSE:A": 1000.0, "NSE:B": 2.0}
    assert client.take() == b""


def test_alerts_of_a_reader_who_is_behind_are_bounded(parts: Parts) -> None:
    client = parts.watch("NSE:A")
    for number in range(MAX_WAITING_ALERTS * 2):
        client.alerts.append(b"event: alert\ndata: %d\n\n" % number)

    assert client.take().count(b"event: alert") == MAX_WAITING_ALERTS


def test_clients_are_spread_over_the_window(parts: Parts) -> None:
    for _ in range(50):
        parts.watch("NSE:A")

    assert [len(cohort) for cohort in parts.streams._cohorts] == [10] * 5


def test_slices_keep_their_beat_whatever_they_cost() -> None:
    assert slice_after(10.0, 10.0 + 0.7 * SLICE_SECONDS) == 10.0 + SLICE_SECONDS


def test_a_late_slice_is_not_made_up_for_and_leaves_others_a_turn() -> None:
    assert slice_after(10.0, 17.0) == 17.0 + LEAST_PAUSE_SECONDS


class Connection:
    """Takes parts while it is open."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.parts: list[bytes] = []

    def write(self, make: Callable[[], bytes]) -> bool:
        if self.is_open:
            self.parts.append(make())
        return self.is_open


def test_what_a_connection_takes_is_written_at_once(parts: Parts, make_batch: Callable[..., Any]) -> None:
    client, connection = parts.watch("NSE:A"), Connection()
    client.write = connection.write
    parts.board.apply(make_batch({"NSE:A": 3.0}))
    parts.streams._spread_changes()
    parts.streams._serve_at_once(client)

    assert [prices(part) for part in connection.parts] == [{"NSE:A": 3.0}]
    assert not client.dirty
    assert not client.wake.is_set()


@pytest.mark.parametrize("hindrance", ["paused", "sending", "woken", "none"])
def test_what_a_connection_does_not_take_waits_for_the_reader(
    parts: Parts, make_batch: Callable[..., Any], hindrance: str
) -> None:
    client, connection = parts.watch("NSE:A"), Connection(is_open=hindrance != "paused")
    client.write = None if hindrance == "none" else connection.write
    client.sending_since = 0.0 if hindrance == "sending" else None
    if hindrance == "woken":
        client.end("shutdown")
    parts.board.apply(make_batch({"NSE:A": 3.0}))
    parts.streams._spread_changes()
    parts.streams._serve_at_once(client)

    assert connection.parts == []
    assert client.dirty
    assert client.wake.is_set()


def test_who_leaves_is_forgotten(parts: Parts, make_batch: Callable[..., Any]) -> None:
    client = parts.watch("NSE:A")

    parts.streams.remove(client)

    assert parts.streams.count == 0
    assert parts.board.place("NSE:A").watchers == set()


def test_a_new_client_of_a_closing_gateway_is_ended(parts: Parts) -> None:
    parts.streams.close()

    assert parts.watch("NSE:A").ending == "shutdown"


async def test_a_stuck_client_is_dropped_and_its_connection_cut(parts: Parts) -> None:
    cut = []
    before = value_of("bourse_streams_dropped_total", STUCK) or 0
    client = parts.watch("NSE:A")
    client.abort = lambda: cut.append(True)
    client.sending_since = parts.clock.monotonic()
    await parts.clock.advance(29)
    parts.streams.take_care()
    assert cut == []
    await parts.clock.advance(2)
    parts.streams.take_care()

    assert cut == [True]
    assert client.ending == "left"
    assert (value_of("bourse_streams_dropped_total", STUCK) or 0) - before == 1


async def test_a_heartbeat_is_due_only_when_nothing_was_sent(parts: Parts) -> None:
    client = parts.watch("NSE:A")
    parts.streams.take_care()
    client.take()
    client.last_sent_at = parts.clock.monotonic()
    await parts.clock.advance(14)
    parts.board.last_batch_at = parts.clock.monotonic()
    parts.streams.take_care()
    assert client.take() == b""
    await parts.clock.advance(1)
    parts.streams.take_care()

    assert client.take() == b": heartbeat\n\n"


async def test_silence_is_told_once_with_its_beginning(parts: Parts) -> None:
    client = parts.watch("NSE:A")
    client.last_sent_at = parts.clock.monotonic()
    await parts.clock.advance(5)
    parts.streams.take_care()
    parts.streams.take_care()

    assert client.take() == b'event: stale\ndata: {"reason": "no ticks", "since": "2026-04-07T00:00:00Z"}\n\n'
    assert client.take() == b""
