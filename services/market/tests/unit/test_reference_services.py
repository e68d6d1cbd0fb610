from datetime import UTC, datetime
from typing import Any

import pytest

from bourse.market.v1 import exchanges_pb2, indices_pb2, instruments_pb2
from chassis.clock import ManualClock
from market.domain.aliases import InstrumentNames
from market.domain.constituents import ConstituentList
from market.domain.exchange_desk import ExchangeDesk
from market.domain.exchanges import ExchangeList
from market.domain.freshness import SimulatedFreshness
from market.domain.index_desk import IndexDesk
from market.domain.instruments import InstrumentDirectory, SymbolAmbiguous
from market.domain.last_prices import LastPrices
from market.domain.quote_sources import QuoteSources
from market.handlers.exchanges import ExchangeService
from market.handlers.indices import IndexService
from market.handlers.instruments import InstrumentService
from market.providers.calendars.exchanges import ExchangeCalendar, load_calendar
from market.providers.calendars.world import WorldCalendars
from market.providers.reference.listing import read_listing
from market.providers.reference.tables import read_constituents, read_exchanges, read_identifiers
from market.providers.sample.source import SampleSource

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # a Friday, New York trades
LISTING = read_listing()
DIRECTORY = InstrumentDirectory(each.instrument for each in LISTING)
IDENTIFIERS = read_identifiers()
NAMES = InstrumentNames(DIRECTORY, IDENTIFIERS)


class FakeContext:
    """Keeps the metadata it is sent."""

    def __init__(self) -> None:
        self.metadata: list[tuple[str, str]] = []

    async def send_initial_metadata(self, metadata: Any) -> None:
        self.metadata += metadata


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return load_calendar(NOW.date())


@pytest.fixture
def context() -> Any:
    return FakeContext()


@pytest.fixture
def instruments() -> InstrumentService:
    return InstrumentService(DIRECTORY, ["sample"], NAMES)


@pytest.fixture
def exchanges(calendar: ExchangeCalendar) -> ExchangeService:
    clock = ManualClock(NOW)
    calendars = WorldCalendars(calendar, clock)
    desk = ExchangeDesk(ExchangeList(read_exchanges()), DIRECTORY, calendars=calendars, clock=clock)
    return ExchangeService(desk, NAMES)


@pytest.fixture
def indices(calendar: ExchangeCalendar) -> IndexService:
    clock = ManualClock(NOW)
    source = SampleSource(LISTING, calendar, clock, seed=7, tick_seconds=1.0, is_always_open=False)
    desk = IndexDesk(
        ConstituentList(read_constituents(IDENTIFIERS)),
        DIRECTORY,
        sources=QuoteSources([source], clock),
        last_prices=LastPrices(SimulatedFreshness()),
    )
    return IndexService(desk)


async def test_an_instrument_is_read_with_its_other_names(instruments: InstrumentService, context: Any) -> None:
    reply = await instruments.GetInstrument(instruments_pb2.GetInstrumentRequest(name="kite:2953217"), context)
    assert reply.described.instrument.id == "NSE:TCS"
    aliases = reply.described.aliases
    assert (aliases.isin, aliases.yahoo, aliases.fmp) == ("INE467B01029", "TCS.NS", "TCS.NS")
    assert aliases.kite_token == 2953217


async def test_an_ambiguous_name_names_the_candidates(instruments: InstrumentService, context: Any) -> None:
    with pytest.raises(SymbolAmbiguous, match="NSE:TCS or BSE:TCS"):
        await instruments.GetInstrument(instruments_pb2.GetInstrumentRequest(name="INE467B01029"), context)


async def test_instruments_are_searched(instruments: InstrumentService, context: Any) -> None:
    request = instruments_pb2.SearchInstrumentsRequest(query="apple", limit=1)
    reply = await instruments.SearchInstruments(request, context)
    assert [each.instrument.id for each in reply.results] == ["NASDAQ:AAPL"]
    assert reply.results[0].aliases.isin == "US0378331005"
    assert not reply.results[0].aliases.HasField("kite_token")


async def test_without_names_vendors_rules_still_hold(context: Any) -> None:
    service = InstrumentService(DIRECTORY, ["sample"])
    reply = await service.GetInstrument(instruments_pb2.GetInstrumentRequest(name="TCS.NS"), context)
    assert reply.described.instrument.id == "NSE:TCS"
    assert not reply.described.aliases.HasField("isin")


async def test_hours_are_told(exchanges: ExchangeService, context: Any) -> None:
    request = exchanges_pb2.ListExchangeHoursRequest(exchanges=["NASDAQ", "nse"])
    reply = await exchanges.ListExchangeHours(request, context)
    nasdaq, nse = reply.hours
    assert (nasdaq.opening_hour, nasdaq.closing_hour) == ("09:30 AM -05:00", "04:00 PM -05:00")
    assert (nasdaq.is_market_open, nasdaq.session_date, nasdaq.timezone) == (True, "2026-11-20", "America/New_York")
    assert nasdaq.next_close.ToDatetime(UTC) == datetime(2026, 11, 20, 21, tzinfo=UTC)
    assert (nse.opening_hour, nse.is_market_open) == ("09:15 AM +05:30", False)
    assert context.metadata


async def test_exchanges_are_listed(exchanges: ExchangeService, context: Any) -> None:
    reply = await exchanges.ListExchanges(exchanges_pb2.ListExchangesRequest(), context)
    listed = {each.exchange: each for each in reply.exchanges}
    assert (listed["NSE"].symbol_suffix, listed["NSE"].mic, listed["NSE"].currency) == (".NS", "XNSE", "INR")
    assert listed["NSE"].instruments == sum(each.instrument.exchange == "NSE" for each in LISTING)
    assert not listed["NYSE"].HasField("symbol_suffix")
    assert not listed["NYSE"].HasField("delay")


async def test_stocks_and_funds_are_told_apart(exchanges: ExchangeService, context: Any) -> None:
    reply = await exchanges.ListStocks(exchanges_pb2.ListStocksRequest(exchanges=["NSE"]), context)
    types = {each.symbol: each.type for each in reply.exchanges[0].stocks}
    assert (types["TCS"], types["NIFTYBEES"]) == ("stock", "etf")
    tcs = next(each for each in reply.exchanges[0].stocks if each.symbol == "TCS")
    assert (tcs.isin, tcs.exchange) == ("INE467B01029", "NSE")


async def test_constituents_are_listed(indices: IndexService, context: Any) -> None:
    reply = await indices.ListConstituents(indices_pb2.ListConstituentsRequest(index="nifty"), context)
    assert (reply.index, reply.name, reply.instrument) == ("NIFTY50", "NIFTY 50", "INDEX:NIFTY50")
    assert len(reply.constituents) == 50
    tcs = next(each for each in reply.constituents if each.symbol == "TCS")
    assert (tcs.instrument, tcs.isin, tcs.as_of) == ("NSE:TCS", "INE467B01029", "2026-06-22")
    assert not tcs.HasField("cik")


async def test_all_503_have_a_price(indices: IndexService, context: Any) -> None:
    request = indices_pb2.ListConstituentPricesRequest(index="SP500")
    reply = await indices.ListConstituentPrices(request, context)
    assert len(reply.prices) == 503
    assert all(each.price > 0 and each.HasField("change_percent") for each in reply.prices)
    assert {each.provenance.source for each in reply.prices} == {"sample"}


async def test_a_constituent_without_a_price_has_none(calendar: ExchangeCalendar, context: Any) -> None:
    empty = InstrumentDirectory([])
    clock = ManualClock(NOW)
    source = SampleSource(LISTING[:20], calendar, clock, seed=7, tick_seconds=1.0, is_always_open=False)
    desk = IndexDesk(
        ConstituentList(read_constituents({})),
        empty,
        sources=QuoteSources([source], clock),
        last_prices=LastPrices(SimulatedFreshness()),
    )
    request = indices_pb2.ListConstituentPricesRequest(index="DJI")
    reply = await IndexService(desk).ListConstituentPrices(request, context)
    assert len(reply.prices) == 30
    assert not any(each.HasField("price") or each.HasField("provenance") for each in reply.prices)
    assert not reply.prices[0].constituent.HasField("isin")
