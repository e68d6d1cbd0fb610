"""Hears which accounts are gone, also those that ended while we were away, and deletes what was theirs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from bourse.auth.v1 import events_pb2
from chassis.bus import EVENTS, Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable, DatabaseUnavailable, ServiceError

log = logging.getLogger(__name__)

SUBJECT = "events.auth.user_deleted"
DURABLE = "alerts_user_deleted"
BATCH = 16
FETCH_SECONDS = 5.0
RETRY_SECONDS = 1.0
ACK_SECONDS = 30.0
STOP_SECONDS = 1.0
# Behind an account's end nothing new is let in, but a request that was under way may still set an alert.
AGAIN_AFTER_SECONDS = 10.0


class EndedAccounts:
    """Reads the events of ended accounts with a durable consumer, which all replicas share."""

    def __init__(self, bus: Bus, forget: Callable[[str], Awaitable[int]], clock: Clock) -> None:
        """Call `forget` with the id of each account that is gone, at least twice."""
        self._bus = bus
        self._forget = forget
        self._clock = clock

    async def run(self) -> None:
        """Read until cancelled; what could not be deleted comes again."""
        while True:
            try:
                await self._read()
            except (nats.errors.Error, nats.js.errors.Error, OSError, BusUnavailable, DatabaseUnavailable) as cause:
                log.debug("ended accounts not read", extra={"cause": type(cause).__name__})
            except Exception:
                log.exception("ended accounts not read")
            await self._clock.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        await self._bus.wait_until_ready()
        start = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_SECONDS)
        subscription = await self._bus.jetstream.pull_subscribe(
            SUBJECT, durable=DURABLE, stream=EVENTS.name, config=start
        )
        try:
            while True:
                for message in await _fetch(subscription):
                    await self._take(message)
        finally:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await subscription.unsubscribe()

    async def _take(self, message: Msg) -> None:
        try:
            user_id = events_pb2.UserDeleted.FromString(message.data).user_id
            deleted = await self._forget(user_id)
        except DatabaseUnavailable:
            await message.nak(delay=RETRY_SECONDS)
            raise
        except (DecodeError, ServiceError) as error:
            log.warning("ended account unreadable", extra={"problem": type(error).__name__})
            await message.term()
            return
        log.info("ended account deleted", extra={"alerts": deleted})
        if message.metadata.num_delivered == 1:
            await message.nak(delay=AGAIN_AFTER_SECONDS)
            return
        await message.ack()


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(BATCH, timeout=FETCH_SECONDS)
    except (TimeoutError, nats.errors.TimeoutError):
        return []
