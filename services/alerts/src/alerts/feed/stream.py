"""Where the stream of ticks stands."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from alerts.domain.continuity import StreamView
from alerts.domain.positions import Position
from chassis.bus import TICKS, Bus
from chassis.errors import BusUnavailable

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
# For a moment after it was cut off, a leader that was replaced meanwhile leads on, with what the stream held then.
PROBATION_SECONDS = 1.0
FORGOTTEN_SECONDS = 3.0


class StreamNumbers(Protocol):
    """Numbers the lives of the stream."""

    async def ordinal_of(self, created_at: datetime) -> int:
        """Return the ordinal of the stream created at a time."""
        ...


class Probation:
    """Believes a leader of the stream's copies who has answered for a while, and every time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._name: str | None = None
        self._since = 0.0
        self._heard_at = 0.0

    def fail(self) -> None:
        """Take note that there was no answer, or that of one who does not lead."""
        self._name = None

    def is_over(self, name: str) -> bool:
        """Take note of a leader's answer, and say whether it is believed."""
        now = self._monotonic()
        if name != self._name or now - self._heard_at > FORGOTTEN_SECONDS:
            self._name, self._since = name, now
        self._heard_at = now
        return now - self._since >= PROBATION_SECONDS


class TickStream:
    """Asks NATS about the stream of ticks."""

    def __init__(self, bus: Bus, numbers: StreamNumbers) -> None:
        self._bus = bus
        self._numbers = numbers
        self._probation = Probation()

    async def view(self) -> StreamView:
        """Return what the stream holds now.

        Raises:
            BusUnavailable: NATS did not answer within a second, or nobody who leads the stream's copies did.
            DatabaseUnavailable: the stream is new and could not be numbered.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                stream = await self._bus.stream_position(str(TICKS.name))
        except TimeoutError as error:
            self._probation.fail()
            raise BusUnavailable from error
        except BusUnavailable:
            self._probation.fail()
            raise
        is_settled = stream.leader is None or self._probation.is_over(stream.leader)
        ordinal = await self._numbers.ordinal_of(stream.created_at)
        return StreamView(ordinal, stream.first_sequence, stream.last_sequence, is_settled=is_settled)

    async def latest(self) -> Position | None:
        """Return the position behind the stream's last message; None when that is not known now.

        Raises:
            DatabaseUnavailable: the stream is new and could not be numbered.
        """
        try:
            view = await self.view()
        except BusUnavailable:
            log.debug("tick stream not answering")
            return None
        return view.end if view.is_settled else None
