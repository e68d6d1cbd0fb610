import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerInfo

from chassis import event_reader
from chassis.bus import EVENTS, Bus
from chassis.errors import DatabaseUnavailable, ServiceError
from chassis.event_reader import Again, EventReader
from chassis.tasks import running
from chassis.testing import NatsServer

SUBJECT = "events.test.happened"
DURABLE = "test_happened"


class Failing(ServiceError):
    """Says nothing about when to try again."""


class Book:
    """A handler that writes down what it was given, and answers as it is told to."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.answers: dict[bytes, list[Again | Exception | None]] = {}
        self.now = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, message: Msg) -> Again | None:
        self.seen.append(message.data)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            await self.gate.wait()
        finally:
            self.now -= 1
        answers = self.answers.get(message.data)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.01)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
async def bus(nats: NatsServer, stack: AsyncExitStack) -> Bus:
    return await start_bus(nats, stack)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_reader, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(event_reader, "FETCH_SECONDS", 0.5)


async def start_bus(nats: NatsServer, stack: AsyncExitStack) -> Bus:
    bus = Bus(nats.url, name="test", streams=(EVENTS,))
    bus.start()
    stack.push_async_callback(bus.close)
    async with asyncio.timeout(20):
        await bus.wait_until_ready()
    return bus


async def tell(bus: Bus, *events: bytes, subject: str = SUBJECT) -> None:
    for event in events:
        await bus.publish_event(subject, event, message_id=event.decode())


async def consumer(bus: Bus) -> ConsumerInfo:
    assert EVENTS.name is not None
    info: ConsumerInfo = await bus.jetstream.consumer_info(EVENTS.name, DURABLE)
    return info


async def until_none_waits(bus: Bus) -> ConsumerInfo:
    async with asyncio.timeout(30):
        while (info := await consumer(bus)).num_pending or info.num_ack_pending:
            await asyncio.sleep(0.02)
    return info


async def test_what_was_told_before_and_while_it_reads_is_acted_on_once(bus: Bus, book: Book) -> None:
    await tell(bus, b"early")
    await tell(bus, b"foreign", subject="events.test.other")
    reader = EventReader(bus, SUBJECT, DURABLE, book.handle)
    assert not await reader.is_following()
    async with running(reader.run()):
        await book.until(lambda: b"early" in book.seen)
        assert await reader.is_following()
        await tell(bus, b"late")
        await book.until(lambda: b"late" in book.seen)
        await until_none_waits(bus)
    assert book.seen == [b"early", b"late"]


async def test_what_was_acted_on_is_not_read_by_the_next_start(bus: Bus, book: Book) -> None:
    await tell(bus, b"one")
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: bool(book.seen))
        await until_none_waits(bus)
    await tell(bus, b"two")
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: b"two" in book.seen)
    assert book.seen == [b"one", b"two"]


async def test_replicas_share_the_events(nats: NatsServer, bus: Bus, stack: AsyncExitStack, book: Book) -> None:
    other = await start_bus(nats, stack)
    async with running(*(EventReader(each, SUBJECT, DURABLE, book.handle).run() for each in (bus, other))):
        await tell(bus, *(str(number).encode() for number in range(20)))
        await book.until(lambda: len(set(book.seen)) == 20)
        await until_none_waits(bus)
    assert set(Counter(book.seen).values()) == {1}


@pytest.mark.parametrize(
    "answer", [Again(0.05), DatabaseUnavailable(), Failing(), RuntimeError(), TimeoutError()], ids=repr
)
async def test_what_could_not_be_done_comes_again_and_holds_up_nothing_else(
    bus: Bus, book: Book, answer: Again | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    book.answers[b"hard"] = [answer, answer]
    await tell(bus, b"hard", b"easy")
    reader = EventReader(bus, SUBJECT, DURABLE, book.handle)
    async with running(reader.run()):
        await book.until(lambda: book.seen.count(b"hard") == 3)
        await until_none_waits(bus)
    assert book.seen.count(b"easy") == 1


async def test_an_event_waits_as_long_as_its_handler_says(bus: Bus, book: Book) -> None:
    book.answers[b"one"] = [Again(3_600)]
    await tell(bus, b"one", b"two", b"three")
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: b"three" in book.seen)
        assert (await consumer(bus)).num_ack_pending
    assert book.seen.count(b"one") == 1


async def test_what_nobody_can_act_on_is_given_up(bus: Bus, book: Book, caplog: pytest.LogCaptureFixture) -> None:
    book.answers[b"nonsense"] = [ValueError("nonsense, word for word")]
    await tell(bus, b"nonsense", b"sense")
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: b"sense" in book.seen)
        await until_none_waits(bus)
    assert book.seen == [b"nonsense", b"sense"]
    assert "event unreadable" in caplog.text
    assert "word for word" not in caplog.text


async def test_a_failing_handler_is_tried_less_and_less_often(
    bus: Bus, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    pause_after = event_reader._pause_after

    def noted(message: Msg) -> float:
        pauses.append(pause_after(message))
        return pauses[-1]

    monkeypatch.setattr(event_reader, "LONGEST_RETRY_SECONDS", 0.15)
    monkeypatch.setattr(event_reader, "_pause_after", noted)
    book.answers[b"one"] = [Failing()] * 4
    await tell(bus, b"one")
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: len(book.seen) == 5)
    assert pauses == [0.05, 0.1, 0.15, 0.15]


async def test_several_are_under_way_together_but_no_more(bus: Bus, book: Book) -> None:
    book.gate.clear()
    await tell(bus, *(str(number).encode() for number in range(9)))
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle, at_once=3).run()):
        await book.until(lambda: book.now == 3)
        book.gate.set()
        await book.until(lambda: len(book.seen) == 9)
    assert book.most_at_once == 3


async def test_what_takes_longer_than_the_server_waits_is_not_given_to_another(
    bus: Bus, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "ACK_SECONDS", 1.0)
    monkeypatch.setattr(event_reader, "ALIVE_SECONDS", 0.2)
    book.gate.clear()
    await tell(bus, b"slow")
    async with running(*(EventReader(bus, SUBJECT, DURABLE, book.handle).run() for _ in range(2))):
        await book.until(lambda: bool(book.seen))
        await asyncio.sleep(2.5)
        book.gate.set()
        await until_none_waits(bus)
    assert book.seen == [b"slow"]


async def test_a_handler_that_never_ends_is_ended(bus: Bus, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_reader, "HANDLE_SECONDS", 0.2)
    monkeypatch.setattr(logging.getLogger("chassis.event_reader"), "disabled", True)
    book.gate.clear()
    await tell(bus, b"stuck")
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: len(book.seen) == 2)
        book.gate.set()
        await until_none_waits(bus)


async def test_what_a_reader_had_in_hand_when_it_died_is_read_by_another(
    bus: Bus, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "ACK_SECONDS", 1.0)
    book.gate.clear()
    await tell(bus, b"one")
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: book.now == 1)
    book.gate.set()
    async with running(EventReader(bus, SUBJECT, DURABLE, book.handle).run()):
        await book.until(lambda: book.seen == [b"one", b"one"])
        await until_none_waits(bus)


@pytest.mark.parametrize("is_store_lost", [False, True])
async def test_it_goes_on_when_the_server_is_back_even_without_its_store(
    nats: NatsServer, bus: Bus, book: Book, tmp_path: Path, *, is_store_lost: bool
) -> None:
    reader = EventReader(bus, SUBJECT, DURABLE, book.handle)
    async with running(reader.run()):
        await tell(bus, b"before")
        await book.until(lambda: bool(book.seen))
        await until_none_waits(bus)
        nats.kill()
        async with asyncio.timeout(30):
            while await reader.is_following():
                await asyncio.sleep(0.05)
        if is_store_lost:
            shutil.rmtree(tmp_path / "nats")
        nats.start()
        async with asyncio.timeout(30):
            await bus.wait_until_ready()
        await tell(bus, b"after")
        await book.until(lambda: b"after" in book.seen)
    assert book.seen == [b"before", b"after"]


async def test_a_connection_lost_at_the_answer_is_no_end(
    nats: NatsServer, bus: Bus, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "ACK_SECONDS", 1.0)
    book.gate.clear()
    reader = EventReader(bus, SUBJECT, DURABLE, book.handle)
    async with running(reader.run()):
        await tell(bus, b"one")
        await book.until(lambda: book.now == 1)
        nats.kill()
        async with asyncio.timeout(30):
            while bus.is_ready:
                await asyncio.sleep(0.05)
        book.gate.set()
        await book.until(lambda: book.now == 0)
        nats.start()
        async with asyncio.timeout(30):
            await bus.wait_until_ready()
        await tell(bus, b"two")
        await book.until(lambda: b"two" in book.seen)
        await until_none_waits(bus)
