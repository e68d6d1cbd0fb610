import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from nats.aio.msg import Msg

from alerts.domain.alerts import Alert, AlertType
from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.leases import Lease
from alerts.domain.matcher import Entry
from alerts.domain.positions import NOWHERE
from alerts.domain.ticks import shard_of
from alerts.domain.watch import Watch, entry_of
from alerts.domain.watches import Watches
from alerts.feed import changes as changes_module
from alerts.feed.changes import CHANGED, RELEASED, Changes, ChangeUnreadable, read, written
from chassis.bus import MessageHandler
from chassis.errors import BusUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
TCS = shard_of("NSE:TCS")
ALERT = Alert(1, "7", AlertType.BUY, "NSE:TCS", "TCS", Decimal("100.1"), 1, START)
ENTRY = Entry(1, 1, "NSE:TCS", AlertType.BUY, 100.1, armed=0)


class Wire:
    """A bus that hands every message to its own subscribers."""

    def __init__(self) -> None:
        self.handlers: dict[str, MessageHandler] = {}
        self.published: list[tuple[str, bytes]] = []
        self.is_away = False

    async def subscribe(self, subject: str, handler: MessageHandler) -> None:
        self.handlers[subject] = handler

    async def publish(self, subject: str, payload: bytes) -> None:
        if self.is_away:
            raise BusUnavailable
        self.published.append((subject, payload))
        message = Msg(_client=None, subject=subject, data=payload)  # type: ignore[arg-type]  # it answers nobody
        await self.handlers[subject](message)


class Bench:
    """A replica that holds the shard of TCS and watches for one alert."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.watches = Watches()
        checkpoint = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
        watch = Watch(checkpoint, Lease(TCS, 1))
        watch.confirm(watch.propose(ALERT, NOWHERE))
        self.watches.add(watch)
        self.changes = Changes(self.wire, self.watches)  # type: ignore[arg-type]  # it has what is used of a bus
        self.calls: list[str] = []

    async def listen(self) -> None:
        async def released() -> None:
            self.calls.append("released")

        await self.changes.listen(on_waiting=lambda: self.calls.append("waiting"), on_released=released)


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.listen()
    return bench


async def test_what_was_changed_elsewhere_is_forgotten_and_looked_for(bench: Bench) -> None:
    await bench.changes.changed({TCS}, [entry_of(ALERT)])
    assert bench.watches.watched == 0
    assert bench.calls == ["waiting"]
    await bench.changes.changed({(TCS + 1) % 16}, [])
    assert bench.calls == ["waiting"]


async def test_that_shards_are_free_is_told(bench: Bench) -> None:
    await bench.changes.released()
    assert bench.calls == ["released"]
    assert [subject for subject, _ in bench.wire.published] == [RELEASED]


async def test_many_are_told_in_several_messages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "FORGOTTEN_PER_MESSAGE", 2)
    await bench.changes.changed(set(), [ENTRY] * 5)
    told = [len(read(payload)[1]) for _, payload in bench.wire.published]
    assert told == [2, 2, 1]


async def test_what_cannot_be_told_is_left_to_be_found(bench: Bench) -> None:
    bench.wire.is_away = True
    await bench.changes.changed({TCS}, [])
    await bench.changes.released()
    await asyncio.sleep(0)
    assert bench.calls == []


def test_a_change_is_read_as_it_was_written() -> None:
    assert read(written({3, 1}, [ENTRY])) == ({1, 3}, [ENTRY])
    assert read(b'{"shards": [1, 99, "x", -1], "forgotten": []}') == ({1}, [])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"shards": 3, "forgotten": []}',
        b'{"shards": [[]], "forgotten": [[1]]}',
        b'{"shards": [], "forgotten": [[1, 1, "NSE:TCS", "hold", 1.0]]}',
        b'{"shards": [], "forgotten": [[1, 1, "NSE:TCS", "buy", NaN]]}',
        b'{"shards": [], "forgotten": [[Infinity, 1, "NSE:TCS", "buy", 1]]}',
        b'{"shards": [], "forgotten": [null]}',
        b"[" * 100_000,
        b" " * 1_000_000,
    ],
)
async def test_what_is_no_change_is_passed_over(bench: Bench, payload: bytes) -> None:
    with pytest.raises(ChangeUnreadable):
        read(payload)
    await bench.wire.publish(CHANGED, payload)
    assert (bench.watches.watched, bench.calls) == (1, [])
