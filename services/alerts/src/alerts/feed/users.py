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
# Of more events at a time the oldest is forgotten, and so deletes once more.
MOST_REMEMBERED = 1_000


class EndedAccounts:
    """Forgets the users of ended accounts, each twice."""

    def __init__(self, forget: Callable[[str], Awaitable[int]]) -> None:
        """Call `forget` with the id of each account that is gone, at least twice."""
        self._forget = forget
        # By stream sequence and user. Another replica, or we after a restart, know nothing of it: one deletion too many
        # does no harm. How often an event was delivered says nothing about how often its deletion succeeded.
        self._deleted_once: dict[tuple[int, str], None] = {}

    def reader(self, bus: Bus) -> EventReader:
        """Return the reader of their events, which all replicas share."""
        return EventReader(bus, SUBJECT, DURABLE, self.take)

    async def take(self, message: Msg) -> Again | None:
        """Forget one user, and want the event again after the first time that succeeded.

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
        return None if self._is_second((message.metadata.sequence.stream, user_id)) else Again(AGAIN_AFTER_SECONDS)

    def _is_second(self, event: tuple[int, str]) -> bool:
        """Note that the deletion of an event succeeded, and say whether it had before."""
        if event in self._deleted_once:
            del self._deleted_once[event]
            return True
        if len(self._deleted_once) >= MOST_REMEMBERED:
            del self._deleted_once[next(iter(self._deleted_once))]
        self._deleted_once[event] = None
        return False
