"""Parts for tests: a market that knows a few symbols, an auth that knows everybody, and a publisher of ticks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import grpc
from nats.aio.client import Client

from alerts.domain.ticks import SHARDS, shard_of
from bourse.auth.v1 import contacts_pb2, contacts_pb2_grpc, events_pb2
from bourse.market.v1 import instruments_pb2, instruments_pb2_grpc, quotes_pb2, ticks_pb2
from chassis.errors import Code, ServiceError
from chassis.health import Health
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings


class UnknownSymbol(ServiceError):
    """What market answers for a symbol it does not know."""

    code = Code.NOT_FOUND
    reason = "SYMBOL_UNKNOWN"


class AmbiguousSymbol(ServiceError):
    """What market answers for a symbol of several instruments."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_AMBIGUOUS"


class SmallMarket(instruments_pb2_grpc.InstrumentServiceServicer):
    """Takes `DUAL` for ambiguous, `NOPE` for unknown and every other bare symbol for one of NASDAQ."""

    async def ResolveInstrument(  # noqa: N802  # the contract's name
        self,
        request: instruments_pb2.ResolveInstrumentRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> instruments_pb2.ResolveInstrumentResponse:
        """Resolve one symbol."""
        if request.symbol == "NOPE":
            raise UnknownSymbol("'NOPE' names no known instrument")
        if request.symbol == "DUAL":
            raise AmbiguousSymbol("'DUAL' could be NASDAQ:DUAL or NYSE:DUAL; write one of these")
        exchange, _, symbol = request.symbol.rpartition(":")
        exchange = exchange or "NASDAQ"
        return instruments_pb2.ResolveInstrumentResponse(
            instrument=instruments_pb2.Instrument(id=f"{exchange}:{symbol}", exchange=exchange, symbol=symbol)
        )

    @classmethod
    @asynccontextmanager
    async def serving(cls, address: str) -> AsyncIterator[None]:
        """Serve at `address` until the block is left."""

        def register(server: grpc.aio.Server) -> None:
            instruments_pb2_grpc.add_InstrumentServiceServicer_to_server(cls(), server)

        async with serving(address, [register], health=Health(), settings=ProcessSettings()):
            yield


class UnknownUser(ServiceError):
    """What auth answers for an account that is gone."""

    code = Code.NOT_FOUND
    reason = "USER_NOT_FOUND"


class SmallAuth(contacts_pb2_grpc.ContactServiceServicer):
    """Knows every user as `<id>@example.com`, verified and willing, unless a set here says otherwise."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.unsubscribed: set[str] = set()
        self.unverified: set[str] = set()

    async def GetContact(  # noqa: N802  # the contract's name
        self,
        request: contacts_pb2.GetContactRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> contacts_pb2.GetContactResponse:
        """Find one user."""
        user_id = request.user_id
        if user_id in self.gone:
            raise UnknownUser("there is no such user")
        wanted = {
            contacts_pb2.MAIL_LIST_ALERTS: user_id not in self.unsubscribed,
            contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY: False,
        }
        contact = contacts_pb2.Contact(
            user_id=user_id,
            email=f"{user_id}@example.com",
            is_email_verified=user_id not in self.unverified,
            preferences=[contacts_pb2.MailPreference(list=each, is_wanted=wanted[each]) for each in wanted],
            unsubscribe_token="t" * 43,
        )
        return contacts_pb2.GetContactResponse(contact=contact)

    async def SetMailLists(  # noqa: N802  # the contract's name
        self,
        request: contacts_pb2.SetMailListsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> contacts_pb2.SetMailListsResponse:
        """Refuse: alerts only reads."""
        raise NotImplementedError

    async def Unsubscribe(  # noqa: N802  # the contract's name
        self,
        request: contacts_pb2.UnsubscribeRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> contacts_pb2.UnsubscribeResponse:
        """Refuse: alerts only reads."""
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self, address: str) -> AsyncIterator[None]:
        """Serve at `address` until the block is left."""

        def register(server: grpc.aio.Server) -> None:
            contacts_pb2_grpc.add_ContactServiceServicer_to_server(self, server)

        async with serving(address, [register], health=Health(), settings=ProcessSettings()):
            yield


def ended_account(user_id: str, at: datetime) -> bytes:
    """Return the event of an account that was deleted at a time."""
    event = events_pb2.UserDeleted(user_id=user_id)
    event.deleted_at.FromDatetime(at)
    return event.SerializeToString()


class TickPublisher:
    """Publishes ticks as a feed does: one batch a call, numbered by shard."""

    def __init__(self, client: Client, *, epoch: int, publisher_id: str = "feed-1") -> None:
        self._client = client
        self._epoch = epoch
        self._publisher_id = publisher_id
        self._sequences = [0] * SHARDS

    async def publish(self, instrument: str, *prices: float, at: datetime, is_lost: bool = False) -> None:
        """Publish one batch of an instrument's prices, a microsecond apart; count it, but lose it, if `is_lost`."""
        shard = shard_of(instrument)
        self._sequences[shard] += 1
        batch = ticks_pb2.TickBatch(
            publisher_id=self._publisher_id,
            epoch=self._epoch,
            shard=shard,
            sequence=self._sequences[shard],
            source="sample",
            freshness=quotes_pb2.FRESHNESS_SIMULATED,
            ticks=[
                ticks_pb2.Tick(instrument=instrument, last_price=price, offset_microseconds=offset)
                for offset, price in enumerate(prices)
            ],
        )
        batch.base_time.FromDatetime(at)
        batch.published_at.FromDatetime(at)
        if not is_lost:
            await self._client.publish(f"ticks.{shard}", batch.SerializeToString())
            await self._client.flush(timeout=2)
