"""Tells of sessions in order, again and again until it has arrived, for an hour at most."""

import asyncio
import logging

from brokers.domain.ports import SessionEventSink
from brokers.domain.session_events import SessionEvent
from chassis.clock import Clock
from chassis.errors import BusUnavailable

log = logging.getLogger(__name__)

MAX_WAITING = 32
GIVE_UP_SECONDS = 3600.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0


class Announcer:
    """A queue before the bus, so that nobody who has something to tell waits for it."""

    def __init__(self, sink: SessionEventSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._waiting: asyncio.Queue[SessionEvent] = asyncio.Queue(MAX_WAITING)

    def announce(self, event: SessionEvent) -> None:
        """Tell of `event` as soon as that is possible; what is too much is logged and given up."""
        if self._waiting.full():
            log.error("session event lost", extra={"message_id": event.message_id})
            return
        self._waiting.put_nowait(event)

    async def run(self) -> None:
        """Tell what waits, one after the other, until cancelled."""
        while True:
            await self._tell(await self._waiting.get())

    async def _tell(self, event: SessionEvent) -> None:
        until = self._clock.monotonic() + GIVE_UP_SECONDS
        wait = FIRST_WAIT_SECONDS
        while not await self._has_told(event):
            if self._clock.monotonic() >= until:
                log.error("session event lost", extra={"message_id": event.message_id})
                return
            await self._clock.sleep(wait)
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)

    async def _has_told(self, event: SessionEvent) -> bool:
        try:
            await self._sink.tell(event)
        except BusUnavailable:
            return False
        return True
