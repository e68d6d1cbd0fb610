"""What market answers, and how it fails, over real gRPC."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import grpc
import pytest
from bourse.market.v1.calendars_pb2_grpc import CalendarServiceStub
from bourse.market.v1.corporate_actions_pb2_grpc import CorporateActionServiceStub
from bourse.market.v1.history_pb2_grpc import HistoryServiceStub
from bourse.market.v1.quotes_pb2_grpc import QuoteServiceStub

from chassis.metrics import value_of
from chassis.testing import free_port
from portfolio.domain.market import MarketUnavailable
from portfolio.domain.quotes import Freshness, Provenance, Quote
from portfolio.domain.splits import Split
from portfolio.domain.value_series import PastCloses
from portfolio.providers.past_closes import MarketCloses
from portfolio.providers.quotes import MarketQuotes
from portfolio.providers.sessions import MarketSessions
from portfolio.providers.splits import MarketSplits
from portfolio.testing import SmallMarket

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
FIRST = date(2026, 3, 1)


@pytest.fixture
def market() -> SmallMarket:
    return SmallMarket()  # type: ignore[abstract]  # what it isn't asked it doesn't answer


@pytest.fixture
async def channel(market: SmallMarket) -> AsyncIterator[grpc.aio.Channel]:
    address = f"127.0.0.1:{free_port()}"
    async with market.serving(address), grpc.aio.insecure_channel(address) as channel:
        yield channel


async def test_a_quote_is_the_decimal_that_its_double_stands_for(
    market: SmallMarket, channel: grpc.aio.Channel
) -> None:
    market.price("NSE:TCS", 3842.55, at=NOW, previous_close=0.1, freshness="DELAYED", source="yahoo")
    answer = await MarketQuotes(QuoteServiceStub(channel)).latest(["NSE:TCS", "NSE:NOPE"])
    provenance = Provenance("yahoo", NOW, Freshness.DELAYED)
    assert answer.quotes == {"NSE:TCS": Quote(Decimal("3842.55"), Decimal("0.1"), provenance)}


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf"), 1e200, 1e-200])
async def test_what_is_no_price_is_no_quote(market: SmallMarket, channel: grpc.aio.Channel, price: float) -> None:
    market.price("NSE:TCS", price, at=NOW)
    market.price("NSE:INFY", 5.0, at=NOW, freshness="UNSPECIFIED")
    market.price("NSE:ITC", 5.0, at=NOW, previous_close=price)
    answer = await MarketQuotes(QuoteServiceStub(channel)).latest(["NSE:TCS", "NSE:INFY", "NSE:ITC"])
    assert {name: quote.previous_close for name, quote in answer.quotes.items()} == {"NSE:ITC": None}


async def test_what_market_knows_and_has_no_price_of_is_unanswered(
    market: SmallMarket, channel: grpc.aio.Channel
) -> None:
    market.price("NSE:TCS", 5.0, at=NOW)
    market.lose_price("NSE:INFY")
    before = value_of("bourse_portfolio_quotes_total", {"outcome": "unanswered"}) or 0.0
    answer = await MarketQuotes(QuoteServiceStub(channel)).latest(["NSE:TCS", "NSE:INFY", "NSE:NOPE"])
    assert (set(answer.quotes), answer.unanswered) == ({"NSE:TCS"}, frozenset({"NSE:INFY"}))
    assert value_of("bourse_portfolio_quotes_total", {"outcome": "unanswered"}) == before + 1


async def test_prices_in_another_currency_are_none(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    market.price("NSE:TCS", 5.0, at=NOW, currency="USD")
    assert (await MarketQuotes(QuoteServiceStub(channel)).latest(["NSE:TCS"])).quotes == {}


async def test_prices_in_any_currency_are_had_where_that_is_asked_for(
    market: SmallMarket, channel: grpc.aio.Channel
) -> None:
    market.price("NASDAQ:AAPL", 5.0, at=NOW, currency="USD")
    market.price("NSE:TCS", 6.0, at=NOW)
    market.price("NSE:ODD", 6.0, at=NOW, currency="<b>")
    answer = await MarketQuotes(QuoteServiceStub(channel), currency=None).latest(["NASDAQ:AAPL", "NSE:TCS", "NSE:ODD"])
    assert {name: quote.currency for name, quote in answer.quotes.items()} == {"NASDAQ:AAPL": "USD", "NSE:TCS": "INR"}


async def test_past_closes_come_oldest_first(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    source = MarketCloses(HistoryServiceStub(channel))
    market.remember("NSE:TCS", {"2026-03-01": 5.1, "2026-03-03": float("nan"), "2026-03-02": 5.2})
    market.remember("NSE:ITC", {"2026-03-01": 1.0}, freshness="SIMULATED")
    closes = [(FIRST, Decimal("5.1")), (date(2026, 3, 2), Decimal("5.2"))]
    assert await source.closes("NSE:TCS", first=FIRST, last=FIRST) == PastCloses(tuple(closes), is_simulated=False)
    assert (await source.closes("NSE:ITC", first=FIRST, last=FIRST)).is_simulated
    assert (await source.closes("NSE:NOPE", first=FIRST, last=FIRST)).closes == ()


async def test_what_is_no_history_is_as_good_as_no_answer(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    source = MarketCloses(HistoryServiceStub(channel))
    market.remember("NSE:TCS", {"tomorrow": 5.0})
    market.remember("NSE:ITC", {"2026-03-01": 5.0}, freshness="UNSPECIFIED")
    for instrument in ("NSE:TCS", "NSE:ITC"):
        with pytest.raises(MarketUnavailable):
            await source.closes(instrument, first=FIRST, last=FIRST)
    market.is_down = True
    with pytest.raises(MarketUnavailable):
        await source.closes("NSE:NOPE", first=FIRST, last=FIRST)


async def test_a_batch_that_is_unknown_as_a_whole_is_no_failure(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    answer = await MarketQuotes(QuoteServiceStub(channel)).latest(["NSE:NOPE"])
    assert (answer.quotes, answer.unanswered) == ({}, frozenset())


async def test_a_market_that_is_down_says_nothing(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    market.is_down = True
    with pytest.raises(MarketUnavailable):
        await MarketQuotes(QuoteServiceStub(channel)).latest(["NSE:TCS"])
    with pytest.raises(MarketUnavailable):
        await MarketSplits(CorporateActionServiceStub(channel)).since(["NSE:TCS"], FIRST)
    with pytest.raises(MarketUnavailable):
        await MarketSessions(CalendarServiceStub(channel)).sessions(FIRST, FIRST)


async def test_splits_are_listed_for_every_instrument_in_calls_of_a_thousand(
    market: SmallMarket, channel: grpc.aio.Channel
) -> None:
    market.split("NSE:S1", "2026-03-12", 3, 2)
    market.split("NSE:S1", "2026-02-28", 9, 1)
    market.split("NSE:S1000", "2026-03-13", 1, 10)
    instruments = [f"NSE:S{number}" for number in range(1_001)]
    found = await MarketSplits(CorporateActionServiceStub(channel)).since(instruments, FIRST)
    assert set(found) == set(instruments)
    assert found["NSE:S1"] == [Split(date(2026, 3, 12), Fraction(3, 2))]
    assert found["NSE:S1000"] == [Split(date(2026, 3, 13), Fraction(1, 10))]
    assert sorted(len(asked) for asked in market.split_requests) == [1, 1_000]


@pytest.mark.parametrize(
    "split",
    [("2026-03-12", 0, 1), ("2026-03-12", 1, 0), ("2026-03-12", -2, -1), ("9999-99-99", 2, 1)],
)
async def test_what_is_no_split_is_as_good_as_no_answer(
    market: SmallMarket, channel: grpc.aio.Channel, split: tuple[str, int, int]
) -> None:
    market.split("NSE:TCS", *split)
    with pytest.raises(MarketUnavailable):
        await MarketSplits(CorporateActionServiceStub(channel)).since(["NSE:TCS"], FIRST)


async def test_sessions_are_listed_with_what_the_calendar_knows(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    market.session(NOW)
    market.session(NOW + timedelta(days=9))
    market.know_through(date(2026, 3, 31))
    known = await MarketSessions(CalendarServiceStub(channel)).sessions(FIRST, date(2026, 3, 20))
    assert [session.date for session in known.sessions] == [date(2026, 3, 12)]
    assert known.sessions[0].closes_at == NOW + timedelta(hours=6.25)
    assert (known.known_from, known.known_through) == (date(2026, 1, 1), date(2026, 3, 31))


async def test_what_is_no_calendar_is_as_good_as_no_answer(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    market._calendar.known_through = ""
    with pytest.raises(MarketUnavailable):
        await MarketSessions(CalendarServiceStub(channel)).sessions(FIRST, FIRST)
