"""Says on core NATS, each second, that who hears it hears what is revoked as well."""

import logging

from chassis.bus import EVENTS, Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable

log = logging.getLogger(__name__)

BEAT_SUBJECT = "control.auth.beat"
BEAT_SECONDS = 1.0


class Beat:
    """Every replica's, without content; no beat says that events may not be told, and nothing else."""

    def __init__(self, bus: Bus, *, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def run(self) -> None:
        """Beat every second until cancelled."""
        while True:
            try:
                await self.beat()
            except Exception:
                # The outermost frame of a task that must outlive any one failure.
                log.exception("no beat")
            await self._clock.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        """Beat once, if events can be stored here.

        A replica whose server was cut off from the others is heard by those who are cut off with it; what is revoked is
        told by a replica on the other side.
        """
        try:
            await self._bus.stream_position(str(EVENTS.name))
            await self._bus.publish(BEAT_SUBJECT, b"")
        except BusUnavailable:
            log.debug("no beat: events cannot be stored")
