"""Reads events that must be acted on, also those that came while we were away: each until it was, by one replica."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis.bus import EVENTS, Bus
from chassis.errors import ServiceError
from chassis.metrics import counter, reading
from chassis.tasks import running
from chassis.tracing import TRACE_PARENT, SpanKind, span

log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
# How soon another replica takes what one that died had in hand; who lives says so in time.
ACK_SECONDS = 30.0
ALIVE_SECONDS = 10.0
# No handler takes that long: the calls it makes have bounds of their own.
HANDLE_SECONDS = 300.0
RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
STOP_SECONDS = 1.0


EVENTS_TAKEN = counter("bourse_events_taken", "Events acted on, wanted again, or given up.", ["reader", "outcome"])


@dataclass(frozen=True, slots=True)
class Again:
    """Wants an event once more after some seconds."""

    after_seconds: float


Handler = Callable[[Msg], Awaitable[Again | None]]
"""Acts on an event and returns None when that is done.

A `ServiceError` wants the event again after its delay, a `ValueError` never: it says that nobody can act on the event.
What else is raised is logged, and the event comes again. The stream's age is how long it does.
"""


class EventReader:
    """Hands a subject's events to a handler, at least once each, several at a time and in no order.

    Args:
        bus: where `EVENTS` is.
        subject: what is read.
        durable: the name by which the server remembers what was acted on; replicas share it.
        handle: acts on one event.
        at_once: how many are under way together.
    """

    def __init__(self, bus: Bus, subject: str, durable: str, handle: Handler, *, at_once: int = 1) -> None:
        self._bus = bus
        self._subject = subject
        self._durable = durable
        self._handle = handle
        self._at_once = at_once
        self._is_following = False
        self._lag = 0

    async def is_following(self) -> bool:
        """Say whether events are read; a health check."""
        return self._is_following and self._bus.is_ready

    async def run(self) -> None:
        """Read until cancelled."""
        documentation = "Events that are neither acted on nor given up yet, as the server last said."
        with reading("bourse_events_lag", documentation, self._lags, labels=["reader"]):
            await self._read()

    def _lags(self) -> dict[tuple[str, ...], float]:
        return {(self._durable,): float(self._lag)}

    async def _read(self) -> None:
        while True:
            await self._bus.wait_until_ready()
            try:
                await self._follow()
            except (nats.errors.Error, nats.js.errors.Error, OSError, ServiceError) as cause:
                level = logging.WARNING if self._is_following else logging.DEBUG
                log.log(level, "events not read", extra={"subject": self._subject, "cause": type(cause).__name__})
            except Exception:
                log.exception("events not read", extra={"subject": self._subject})
            self._is_following = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        start = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_SECONDS)
        subscription = await self._bus.jetstream.pull_subscribe(
            self._subject, durable=self._durable, stream=EVENTS.name, config=start
        )
        try:
            while True:
                # A server that lost its store has no such consumer any more, and says so only here.
                state = await subscription.consumer_info()
                self._lag = (state.num_pending or 0) + (state.num_ack_pending or 0)
                self._is_following = True
                await asyncio.gather(*(self._take(message) for message in await self._fetch(subscription)))
        finally:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await subscription.unsubscribe()

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        try:
            return await subscription.fetch(self._at_once, timeout=FETCH_SECONDS)
        except TimeoutError:
            return []

    async def _take(self, message: Msg) -> None:
        try:
            async with running(_stay_alive(message)):
                outcome = await self._outcome(message)
            await _answer(message, outcome)
            EVENTS_TAKEN.labels(self._durable, _name_of(outcome)).inc()
        except (nats.errors.Error, OSError) as cause:
            # The server does not know what became of it, and gives it out again.
            log.debug("event not answered", extra={"subject": self._subject, "cause": type(cause).__name__})

    def _traced(self, message: Msg) -> AbstractContextManager[object]:
        parent = (message.headers or {}).get(TRACE_PARENT)
        return span(f"{self._durable} process", SpanKind.CONSUMER, parent=parent) if parent else nullcontext()

    async def _outcome(self, message: Msg) -> "Again | _GivenUp | None":
        try:
            async with asyncio.timeout(HANDLE_SECONDS):
                with self._traced(message):
                    return await self._handle(message)
        except ValueError as error:
            # Nobody can act on it, however often it is told.
            log.error(  # noqa: TRY400
                "event unreadable", extra={"subject": self._subject, "error": type(error).__name__}
            )
            return _GivenUp()
        except ServiceError as error:
            return Again(error.retry_after_seconds or _pause_after(message))
        except Exception:
            log.exception("event not handled", extra={"subject": self._subject})
            return Again(_pause_after(message))


class _GivenUp:
    """Wants an event never more."""


def _name_of(outcome: Again | _GivenUp | None) -> str:
    return "done" if outcome is None else "again" if isinstance(outcome, Again) else "given_up"


async def _answer(message: Msg, outcome: Again | _GivenUp | None) -> None:
    match outcome:
        case None:
            await message.ack()
        case Again(after_seconds):
            await message.nak(delay=after_seconds)
        case _GivenUp():
            await message.term()


async def _stay_alive(message: Msg) -> None:
    while True:
        await asyncio.sleep(ALIVE_SECONDS)
        with suppress(nats.errors.Error, OSError):
            await message.in_progress()


def _pause_after(message: Msg) -> float:
    times = message.metadata.num_delivered
    return float(min(RETRY_SECONDS * 2 ** min(times - 1, 10), LONGEST_RETRY_SECONDS))
