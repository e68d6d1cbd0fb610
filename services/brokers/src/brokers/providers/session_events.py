"""Tells of sessions over the bus."""

from brokers.domain.session_events import SessionEvent
from brokers.messages import session_event_message
from chassis.bus import Bus

SUBJECT_PREFIX = "events.brokers."


class BusSessionEvents:
    """Publishes events where they must arrive."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def tell(self, event: SessionEvent) -> None:
        """Store the event; the same one is stored once.

        Raises:
            BusUnavailable: it was not acknowledged.
        """
        payload = session_event_message(event).SerializeToString()
        await self._bus.publish_event(f"{SUBJECT_PREFIX}{event.kind.value}", payload, message_id=event.message_id)
