"""Hears which accounts are gone, also those that ended while we were away, and deletes what was theirs."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from alerts.domain.desk import UserIdInvalid
from bourse.auth.v1 import events_pb2
from chassis.bus import Bus
from chassis.event_reader import EventReader

log = logging.getLogger(__name__)

SUBJECT = "events.auth.user_deleted"
DURABLE = "alerts_user_deleted"


class EndedAccounts:
    """Forgets the users of ended accounts."""

    def __init__(self, forget: Callable[[str, datetime], Awaitable[int]]) -> None:
        """Call `forget` with the id of each account that is gone and with when it ended, at least once."""
        self._forget = forget

    def reader(self, bus: Bus) -> EventReader:
        """Return the reader of their events, which all replicas share."""
        return EventReader(bus, SUBJECT, DURABLE, self.take)

    async def take(self, message: Msg) -> None:
        """Forget one user.

        Raises:
            ValueError: it names no user, or no moment.
            DatabaseUnavailable: nothing was deleted.
        """
        try:
            event = events_pb2.UserDeleted.FromString(message.data)
            deleted_at = event.deleted_at.ToDatetime(tzinfo=UTC)
        except (DecodeError, ValueError) as error:
            raise ValueError(SUBJECT) from error
        if not event.HasField("deleted_at"):
            raise ValueError(SUBJECT)
        try:
            deleted = await self._forget(event.user_id, deleted_at)
        except UserIdInvalid as error:
            raise ValueError(SUBJECT) from error
        log.info("ended account deleted", extra={"alerts": deleted})
