"""Where the stream of ticks stands."""

import asyncio
import logging
from datetime import datetime
from typing import Protocol

from alerts.domain.continuity import StreamView
from alerts.domain.positions import Position
from chassis.bus import TICKS, Bus
from chassis.errors import BusUnavailable

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0


class StreamNumbers(Protocol):
    """Numbers the lives of the stream."""

    async def ordinal_of(self, created_at: datetime) -> int:
        """Return the ordinal of the stream created at a time."""
        ...


class TickStream:
    """Asks NATS about the stream of ticks."""

    def __init__(self, bus: Bus, numbers: StreamNumbers) -> None:
        self._bus = bus
        self._numbers = numbers

    async def view(self) -> StreamView:
        """Return what the stream holds now.

        Raises:
            BusUnavailable: NATS did not answer within a second.
            DatabaseUnavailable: the stream is new and could not be numbered.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                stream = await self._bus.stream_position(str(TICKS.name))
        except TimeoutError as error:
            raise BusUnavailable from error
        ordinal = await self._numbers.ordinal_of(stream.created_at)
        return StreamView(ordinal, stream.first_sequence, stream.last_sequence)

    async def latest(self) -> Position | None:
        """Return the position behind the stream's last message; None when NATS does not answer now.

        Raises:
            DatabaseUnavailable: the stream is new and could not be numbered.
        """
        try:
            return (await self.view()).end
        except BusUnavailable:
            log.debug("tick stream not answering")
            return None
