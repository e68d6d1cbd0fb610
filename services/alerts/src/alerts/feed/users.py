"""Hears which accounts are gone, also those that ended while we were away, and deletes what was theirs."""

import logging
from collections.abc import Awaitable, Callable

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from alerts.domain.desk import UserIdInvalid
from bourse.auth.v1 import events_pb2
from chassis.bus import Bus
from chassis.event_reader import Again, EventReader

log = logging.getLogger(__name__)

SUBJECT = "events.auth.user_deleted"
DURABLE = "alerts_user_deleted"
# Behind an account's end nothing new is let in, but a request that was under way may still set an alert.
AGAIN_AFTER_SECONDS = 10.0


class EndedAccounts:
    """Forgets the users of ended accounts, each twice."""

    def __init__(self, forget: Callable[[str], Awaitable[int]]) -> None:
        """Call `forget` with the id of each account that is gone, at least twice."""
        self._forget = forget

    def reader(self, bus: Bus) -> EventReader:
        """Return the reader of their events, which all replicas share."""
        return EventReader(bus, SUBJECT, DURABLE, self.take)

    async def take(self, message: Msg) -> Again | None:
        """Forget one user, and want the event again after the first time.

        Raises:
            ValueError: it names no user.
            DatabaseUnavailable: nothing was deleted.
        """
        try:
            user_id = events_pb2.UserDeleted.FromString(message.data).user_id
            deleted = await self._forget(user_id)
        except (DecodeError, UserIdInvalid) as error:
            raise ValueError(SUBJECT) from error
        log.info("ended account deleted", extra={"alerts": deleted})
        return Again(AGAIN_AFTER_SECONDS) if message.metadata.num_delivered == 1 else None
