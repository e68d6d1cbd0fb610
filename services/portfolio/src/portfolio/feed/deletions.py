"""Follows which accounts are gone; what was told while portfolio was away is heard when it is back."""

import logging
from datetime import UTC, datetime

from bourse.auth.v1.events_pb2 import UserDeleted
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from chassis.bus import Bus
from chassis.event_reader import EventReader
from portfolio.domain.accounts import Accounts
from portfolio.domain.users import UserIdInvalid

log = logging.getLogger(__name__)

SUBJECT = "events.auth.user_deleted"
DURABLE = "portfolio_user_deleted"


def read_deletions(bus: Bus, accounts: Accounts) -> EventReader:
    """Return the reader that hands deleted accounts on, one after the other."""

    async def take(message: Msg) -> None:
        user_id, deleted_at = _deletion_in(message)
        try:
            await accounts.delete(user_id, deleted_at)
        except UserIdInvalid as error:
            raise ValueError(SUBJECT) from error
        log.info("account deleted")

    return EventReader(bus, SUBJECT, DURABLE, take)


def _deletion_in(message: Msg) -> tuple[str, datetime]:
    """Return who was deleted and when.

    Raises:
        ValueError: it does not say so.
    """
    try:
        event = UserDeleted.FromString(message.data)
        moment = event.deleted_at.ToDatetime(tzinfo=UTC)
    except (DecodeError, OverflowError) as error:
        raise ValueError(SUBJECT) from error
    if not event.HasField("deleted_at"):
        raise ValueError(SUBJECT)
    return event.user_id, moment
