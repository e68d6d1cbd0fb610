"""Follows which accounts are gone; what was told while portfolio was away is heard when it is back."""

import asyncio
import logging
from datetime import UTC, datetime

import nats.errors
import nats.js.errors
from bourse.auth.v1.events_pb2 import UserDeleted
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from chassis.bus import EVENTS, Bus
from chassis.errors import DatabaseUnavailable
from portfolio.domain.accounts import Accounts
from portfolio.domain.users import UserIdInvalid

log = logging.getLogger(__name__)

SUBJECT = "events.auth.user_deleted"
# The server remembers by this name what was heard; replicas share it, so that each event is heard by one of them.
CONSUMER = "portfolio_user_deleted"
WAIT_SECONDS = 5.0
RETRY_SECONDS = 1.0
STOP_SECONDS = 1.0


class DeletionFeed:
    """Hands deleted accounts on, one after the other; one that could not be handed on is heard again.

    Args:
        bus: where events come from.
        accounts: takes them in.
    """

    def __init__(self, bus: Bus, accounts: Accounts) -> None:
        self._bus = bus
        self._accounts = accounts
        self._is_following = False

    async def is_following(self) -> bool:
        """Say whether deletions are heard; a health check."""
        return self._is_following and self._bus.is_ready

    async def run(self) -> None:
        """Follow the events until cancelled."""
        while True:
            await self._bus.wait_until_ready()
            try:
                await self._follow()
            except (nats.errors.Error, nats.js.errors.Error, OSError, DatabaseUnavailable) as cause:
                level = logging.WARNING if self._is_following else logging.DEBUG
                log.log(level, "deletions are not followed", extra={"cause": type(cause).__name__})
            except Exception:
                log.exception("deletions are not followed")
            self._is_following = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        subscription = await self._bus.jetstream.pull_subscribe(SUBJECT, durable=CONSUMER, stream=EVENTS.name)
        try:
            while True:
                # A server that lost its store has no such consumer any more, and says so only here.
                await subscription.consumer_info()
                self._is_following = True
                for message in await _fetch(subscription):
                    await self._take(message)
        finally:
            await _unsubscribe(subscription)

    async def _take(self, message: Msg) -> None:
        try:
            user_id, deleted_at = _deletion_in(message)
            await self._accounts.delete(user_id, deleted_at)
        except (ValueError, UserIdInvalid) as error:
            # Nobody can act on it, however often it is told.
            log.error("what was told is no deletion", extra={"error": type(error).__name__})  # noqa: TRY400
            await message.term()
            return
        except Exception:
            await message.nak(delay=RETRY_SECONDS)
            raise
        await message.ack()
        log.info("account deleted")


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(1, timeout=WAIT_SECONDS)
    except TimeoutError:
        return []


async def _unsubscribe(subscription: JetStreamContext.PullSubscription) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await subscription.unsubscribe()
    except (nats.errors.Error, OSError, TimeoutError) as error:
        log.debug("not unsubscribed", extra={"error": type(error).__name__})


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
