"""Parts for tests: a market that says what it is told to say, and syncs as brokers sends them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc

from bourse.auth.v1 import contacts_pb2, contacts_pb2_grpc
from bourse.brokers.v1 import brokers_pb2
from bourse.market.v1 import (
    calendars_pb2,
    calendars_pb2_grpc,
    corporate_actions_pb2,
    corporate_actions_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    instruments_pb2,
    instruments_pb2_grpc,
    quotes_pb2,
    quotes_pb2_grpc,
)
from bourse.portfolio.v1 import syncs_pb2
from chassis.errors import Code, ServiceError
from chassis.health import Health
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings


class UnknownSymbols(ServiceError):
    """What market answers when it knows none of the symbols."""

    code = Code.NOT_FOUND
    reason = "SYMBOL_UNKNOWN"


class AmbiguousSymbol(ServiceError):
    """What market answers when a bare symbol names several instruments."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_AMBIGUOUS"


class NoSymbol(ServiceError):
    """What market answers to what is no symbol."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_INVALID"


class NoSources(ServiceError):
    """What market answers when no source answers it."""

    code = Code.UNAVAILABLE
    reason = "SOURCES_UNAVAILABLE"


class NoSuchUser(ServiceError):
    """What auth answers when it has no such account."""

    code = Code.NOT_FOUND
    reason = "USER_NOT_FOUND"


class SmallAuth(contacts_pb2_grpc.ContactServiceServicer):
    """Knows the contacts it was given.

    Attributes:
        is_down: whether every call fails.
    """

    def __init__(self) -> None:
        self._contacts: dict[str, contacts_pb2.Contact] = {}
        self.is_down = False

    def know(
        self, user_id: str, email: str = "asha@example.com", *, is_verified: bool = True, wants_summary: bool = True
    ) -> None:
        """Know where a user is written to from now on."""
        self._contacts[user_id] = contacts_pb2.Contact(
            user_id=user_id,
            email=email,
            name="Asha",
            is_email_verified=is_verified,
            preferences=[
                contacts_pb2.MailPreference(list=contacts_pb2.MAIL_LIST_ALERTS, is_wanted=False),
                contacts_pb2.MailPreference(list=contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY, is_wanted=wants_summary),
            ],
            unsubscribe_token="T" * 43,
        )

    async def GetContact(  # noqa: N802  # the contract's name
        self,
        request: contacts_pb2.GetContactRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> contacts_pb2.GetContactResponse:
        """Say where a user is written to."""
        if self.is_down:
            raise NoSources("auth is down")
        if request.user_id not in self._contacts:
            raise NoSuchUser("there is no such user")
        return contacts_pb2.GetContactResponse(contact=self._contacts[request.user_id])

    @asynccontextmanager
    async def serving(self, address: str) -> AsyncIterator[None]:
        """Serve at `address` until the block is left."""

        def register(server: grpc.aio.Server) -> None:
            contacts_pb2_grpc.add_ContactServiceServicer_to_server(self, server)

        async with serving(address, [register], health=Health(), settings=ProcessSettings()):
            yield


class SmallMarket(
    quotes_pb2_grpc.QuoteServiceServicer,
    instruments_pb2_grpc.InstrumentServiceServicer,
    corporate_actions_pb2_grpc.CorporateActionServiceServicer,
    history_pb2_grpc.HistoryServiceServicer,
    calendars_pb2_grpc.CalendarServiceServicer,
):
    """Knows the instruments, quotes, splits and sessions it was given, and what it was asked.

    Attributes:
        resolve_requests: the symbol of each call to resolve one.
        quote_requests: the symbols of each call for quotes.
        split_requests: the instruments of each call for splits.
        is_down: whether every call fails.
    """

    def __init__(self) -> None:
        self._quotes: dict[str, quotes_pb2.Quote] = {}
        self._splits: list[corporate_actions_pb2.Split] = []
        self._calendar = calendars_pb2.ListSessionsResponse(known_from="2026-01-01", known_through="2026-12-31")
        self._instruments: dict[str, instruments_pb2.Instrument] = {}
        self.resolve_requests: list[str] = []
        self.quote_requests: list[list[str]] = []
        self.split_requests: list[list[str]] = []
        self.is_down = False
        self._unpriced: set[str] = set()
        self._bars: dict[str, history_pb2.ListDailyBarsResponse] = {}

    def list_instrument(self, instrument: str, name: str) -> None:
        """Know what an instrument is called from now on."""
        self._instruments[instrument] = instruments_pb2.Instrument(id=instrument, name=name)

    def lose_price(self, instrument: str) -> None:
        """Know the instrument from now on, and no price of it."""
        self._quotes.pop(instrument, None)
        self._unpriced.add(instrument)

    def price(
        self,
        instrument: str,
        last_price: float,
        *,
        at: datetime,
        previous_close: float | None = None,
        freshness: str = "LIVE",
        source: str = "zerodha",
        currency: str = "INR",
    ) -> None:
        """Quote an instrument from now on."""
        quote = quotes_pb2.Quote(
            instrument=instrument,
            symbol=instrument,
            name=instrument,
            last_price=last_price,
            previous_close=previous_close,
            change=last_price - previous_close if previous_close else None,
            change_percent=(last_price / previous_close - 1) * 100 if previous_close else None,
            currency=currency,
            provenance=quotes_pb2.Provenance(
                source=source, freshness=quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness}")
            ),
        )
        quote.provenance.as_of.FromDatetime(at)
        self._quotes[instrument] = quote

    def remember(self, instrument: str, closes: dict[str, float], *, freshness: str = "LIVE") -> None:
        """Know what an instrument cost on the days before, by date, from now on."""
        self._bars[instrument] = history_pb2.ListDailyBarsResponse(
            symbol=instrument,
            bars=[history_pb2.DailyBar(date=day, close=closes[day]) for day in sorted(closes, reverse=True)],
            provenance=quotes_pb2.Provenance(
                source="test", freshness=quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness}")
            ),
        )

    def split(self, instrument: str, ex_date: str, new_units: int, old_units: int) -> None:
        """Know of a split from now on."""
        self._splits.append(
            corporate_actions_pb2.Split(
                instrument=instrument, ex_date=ex_date, new_units=new_units, old_units=old_units, source="test"
            )
        )

    def session(self, opens_at: datetime, *, hours: float = 6.25) -> None:
        """Know of a session from now on; its date is that of its opening in UTC, which is India's too."""
        session = self._calendar.sessions.add(date=opens_at.date().isoformat())
        session.opens_at.FromDatetime(opens_at)
        session.closes_at.FromDatetime(opens_at + timedelta(hours=hours))

    def know_through(self, last: date) -> None:
        """Let the calendar end with a date."""
        self._calendar.known_through = last.isoformat()

    async def GetQuotes(  # noqa: N802  # the contract's name
        self,
        request: quotes_pb2.GetQuotesRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> quotes_pb2.GetQuotesResponse:
        """Quote what is known."""
        self.quote_requests.append(list(request.symbols))
        self._require_up()
        known = [self._quotes[symbol] for symbol in request.symbols if symbol in self._quotes]
        if not known and self._unpriced.isdisjoint(request.symbols):
            raise UnknownSymbols("no such symbols")
        missing = [
            quotes_pb2.MissingSymbol(symbol=each, code="NO_PRICE" if each in self._unpriced else "SYMBOL_UNKNOWN")
            for each in request.symbols
            if each not in self._quotes
        ]
        return quotes_pb2.GetQuotesResponse(quotes=known, missing=missing)

    async def ResolveInstrument(  # noqa: N802  # the contract's name
        self,
        request: instruments_pb2.ResolveInstrumentRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> instruments_pb2.ResolveInstrumentResponse:
        """Say what a symbol means; a bare one in the United States."""
        symbol = request.symbol
        self.resolve_requests.append(symbol)
        self._require_up()
        if symbol.startswith("INVALID"):
            raise NoSymbol(symbol)
        exchanges = ("NASDAQ", "NYSE") if request.listing == quotes_pb2.LISTING_UNITED_STATES else ()
        meant = [symbol] if ":" in symbol else [f"{exchange}:{symbol}" for exchange in exchanges]
        found = [self._instruments[each] for each in meant if each in self._instruments]
        elsewhere = [each for each in self._instruments if each.endswith(f":{symbol}")]
        if not found and elsewhere:
            advice = f"write {' or '.join(elsewhere)} if that is meant"
            raise UnknownSymbols(f"'{symbol}' is not listed in this market; {advice}")
        if not found:
            raise UnknownSymbols(f"'{symbol}' names no known instrument")
        if len(found) > 1:
            raise AmbiguousSymbol(f"'{symbol}' could be {' or '.join(each.id for each in found)}; write one of these")
        return instruments_pb2.ResolveInstrumentResponse(instrument=found[0])

    async def ListDailyBars(  # noqa: N802  # the contract's name
        self,
        request: history_pb2.ListDailyBarsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> history_pb2.ListDailyBarsResponse:
        """List what is known."""
        self._require_up()
        if request.symbol not in self._bars:
            raise UnknownSymbols("no such symbol")
        return self._bars[request.symbol]

    async def ListSplits(  # noqa: N802  # the contract's name
        self,
        request: corporate_actions_pb2.ListSplitsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> corporate_actions_pb2.ListSplitsResponse:
        """List what is known."""
        self.split_requests.append(list(request.instruments))
        self._require_up()
        found = [
            each
            for each in self._splits
            if each.instrument in request.instruments and each.ex_date >= request.from_date
        ]
        return corporate_actions_pb2.ListSplitsResponse(splits=sorted(found, key=lambda split: split.ex_date))

    async def ListSessions(  # noqa: N802  # the contract's name
        self,
        request: calendars_pb2.ListSessionsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002  # gRPC's shape
    ) -> calendars_pb2.ListSessionsResponse:
        """List the sessions between two dates."""
        self._require_up()
        calendar = self._calendar
        return calendars_pb2.ListSessionsResponse(
            sessions=[each for each in calendar.sessions if request.from_date <= each.date <= request.to_date],
            known_from=calendar.known_from,
            known_through=calendar.known_through,
        )

    def _require_up(self) -> None:
        if self.is_down:
            raise NoSources("no source answers")

    @asynccontextmanager
    async def serving(self, address: str) -> AsyncIterator[None]:
        """Serve at `address` until the block is left."""

        def register(server: grpc.aio.Server) -> None:
            quotes_pb2_grpc.add_QuoteServiceServicer_to_server(self, server)
            instruments_pb2_grpc.add_InstrumentServiceServicer_to_server(self, server)
            corporate_actions_pb2_grpc.add_CorporateActionServiceServicer_to_server(self, server)
            history_pb2_grpc.add_HistoryServiceServicer_to_server(self, server)
            calendars_pb2_grpc.add_CalendarServiceServicer_to_server(self, server)

        async with serving(address, [register], health=Health(), settings=ProcessSettings()):
            yield


def sync_request(
    *holdings: syncs_pb2.BrokerHolding,
    positions: "tuple[syncs_pb2.BrokerPosition, ...]" = (),
    user_id: str = "7",
    broker: "brokers_pb2.Broker.ValueType" = brokers_pb2.BROKER_ZERODHA,
    synced_at: datetime,
    started_at: datetime | None = None,
    is_simulated: bool = False,
    sync_id: str | None = None,
) -> syncs_pb2.ReplaceBrokerRowsRequest:
    """Return a sync that began a second before it was complete, unless told otherwise."""
    request = syncs_pb2.ReplaceBrokerRowsRequest(
        sync_id=sync_id or str(uuid4()),
        user_id=user_id,
        broker=broker,
        is_simulated=is_simulated,
        holdings=holdings,
        positions=positions,
    )
    request.started_at.FromDatetime(started_at or synced_at - timedelta(seconds=1))
    request.synced_at.FromDatetime(synced_at)
    return request


def holding(symbol: str = "TCS", quantity: str = "10", **fields: Any) -> syncs_pb2.BrokerHolding:
    """Return a holding of NSE without anything unsettled, unless told otherwise."""
    return syncs_pb2.BrokerHolding(
        **{"exchange": "NSE", "tradingsymbol": symbol, "quantity": quantity, "t1_quantity": "0", **fields}
    )


def position(symbol: str = "TCS", quantity: str = "10", **fields: Any) -> syncs_pb2.BrokerPosition:
    """Return a net position of NSE, unless told otherwise."""
    given = {
        "type": syncs_pb2.POSITION_TYPE_NET,
        "exchange": "NSE",
        "tradingsymbol": symbol,
        "quantity": quantity,
        "multiplier": "1",
    }
    return syncs_pb2.BrokerPosition(**{**given, **fields})
