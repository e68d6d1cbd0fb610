from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import numpy as np
import pytest
from grpc.aio import ServicerContext

from bourse.market.v1 import history_pb2, quotes_pb2
from chassis.clock import ManualClock
from market.domain.adjustments import Adjustment
from market.domain.answers import Answer
from market.domain.bars import DailyBars
from market.domain.company_desk import About
from market.domain.history import IntradayBar
from market.domain.history_desk import HistoryDesk
from market.domain.instruments import Exchange, Instrument, InstrumentKind, Listing
from market.domain.price_changes import PriceChange
from market.handlers.history import HistoryService
from market.messages.history import adjustment_of

NOW = datetime(2024, 1, 3, 12, 0, 0, tzinfo=UTC)
TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS", InstrumentKind.EQUITY, "INR")
AAPL = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple", InstrumentKind.EQUITY, "USD")


class FakeDesk:
    """Answers what it is given, and writes down what it was asked."""

    def __init__(self, value: Any, instrument: Instrument = TCS) -> None:
        self.about = About(instrument, Answer(value, *_provenance(), is_simulated=False))
        self.asked: list[tuple[str, Listing, Mapping[str, Any]]] = []

    async def daily_bars(self, symbol: str, listing: Listing, **asked: Any) -> About[Any]:
        self.asked.append((symbol, listing, asked))
        return self.about

    intraday_bars = price_change = daily_bars


class FakeContext:
    """Takes metadata."""

    def __init__(self) -> None:
        self.metadata: Sequence[tuple[str, str]] = ()

    async def send_initial_metadata(self, metadata: Sequence[tuple[str, str]]) -> None:
        self.metadata = metadata


def _provenance() -> tuple[str, datetime, datetime]:
    return "yahoo", NOW - timedelta(minutes=10), NOW + timedelta(minutes=50)


def service_of(desk: FakeDesk) -> HistoryService:
    return HistoryService(cast("HistoryDesk", desk), ManualClock(NOW))


def context() -> ServicerContext[Any, Any]:
    return cast("ServicerContext[Any, Any]", FakeContext())


def metadata_of(answered: ServicerContext[Any, Any]) -> Sequence[tuple[str, str]]:
    return cast("FakeContext", answered).metadata


def bars(volume: Sequence[int] | None = (100, 200)) -> DailyBars:
    return DailyBars(
        "NSE:TCS",
        np.array([date(2024, 1, 1), date(2024, 1, 2)], dtype="datetime64[D]"),
        np.array([10.0, 0.3]),
        np.array([12.0, 0.4]),
        np.array([9.0, 0.1]),
        np.array([11.0, 0.1]),
        None if volume is None else np.array(volume, dtype=np.int64),
    )


async def test_daily_bars_are_told_newest_first() -> None:
    desk, answered = FakeDesk(bars()), context()
    request = history_pb2.ListDailyBarsRequest(
        symbol="tcs",
        listing=quotes_pb2.LISTING_INDIA,
        from_date="2024-01-01",
        to_date="2024-01-02",
        adjustment=history_pb2.ADJUSTMENT_ALL,
    )
    reply = await service_of(desk).ListDailyBars(request, answered)
    asked = {"from_date": "2024-01-01", "to_date": "2024-01-02", "adjustment": Adjustment.ALL}
    assert desk.asked == [("tcs", Listing.INDIA, asked)]
    assert reply.symbol == "tcs"
    assert list(reply.bars) == [
        history_pb2.DailyBar(
            date="2024-01-02",
            open=0.3,
            high=0.4,
            low=0.1,
            close=0.1,
            volume=200,
            change=-0.2,
            change_percent=-66.6667,
        ),
        history_pb2.DailyBar(
            date="2024-01-01",
            open=10.0,
            high=12.0,
            low=9.0,
            close=11.0,
            volume=100,
            change=1.0,
            change_percent=10.0,
        ),
    ]


async def test_an_answer_says_where_it_comes_from_and_how_long_it_serves() -> None:
    answered = context()
    reply = await service_of(FakeDesk(bars())).ListDailyBars(history_pb2.ListDailyBarsRequest(symbol="TCS"), answered)
    assert reply.provenance.source == "yahoo"
    assert reply.provenance.as_of.ToDatetime(UTC) == NOW - timedelta(minutes=10)
    assert reply.provenance.freshness == quotes_pb2.FRESHNESS_DELAYED
    assert metadata_of(answered) == (("cache-control", "public, max-age=3000, stale-if-error=600"),)


async def test_what_has_no_volume_tells_none() -> None:
    reply = await service_of(FakeDesk(bars(None))).ListDailyBars(history_pb2.ListDailyBarsRequest(), context())
    assert [each.HasField("volume") for each in reply.bars] == [False, False]
    assert not reply.bars[0].HasField("vwap")


async def test_intraday_bars_are_told_newest_first_in_the_exchanges_time() -> None:
    first = IntradayBar(datetime(2024, 1, 2, 14, 30, tzinfo=UTC), 1.0, 3.0, 0.5, 2.0, 7)
    second = IntradayBar(datetime(2024, 7, 2, 13, 30, tzinfo=UTC), 2.0, 3.0, 1.0, 1.5)
    desk, answered = FakeDesk([first, second], AAPL), context()
    request = history_pb2.ListIntradayBarsRequest(symbol="AAPL", listing=quotes_pb2.LISTING_UNITED_STATES)
    reply = await service_of(desk).ListIntradayBars(request, answered)
    assert desk.asked == [("AAPL", Listing.UNITED_STATES, {"from_date": "", "to_date": ""})]
    assert list(reply.bars) == [
        history_pb2.IntradayBar(date="2024-07-02 09:30:00", open=2.0, high=3.0, low=1.0, close=1.5),
        history_pb2.IntradayBar(date="2024-01-02 09:30:00", open=1.0, high=3.0, low=0.5, close=2.0, volume=7),
    ]
    assert reply.provenance.source == "yahoo"
    assert metadata_of(answered) == (("cache-control", "public, max-age=3000, stale-if-error=600"),)


async def test_changes_that_are_not_known_are_absent() -> None:
    desk, answered = FakeDesk(PriceChange(day_1=1.5, ytd=-2.0, max=0.0)), context()
    reply = await service_of(desk).GetPriceChange(history_pb2.GetPriceChangeRequest(symbol="aapl"), answered)
    assert desk.asked == [("aapl", Listing.UNSPECIFIED, {})]
    assert reply.change == history_pb2.PriceChange(symbol="aapl", day_1=1.5, ytd=-2.0, max=0.0)
    assert not reply.change.HasField("year_1")
    assert reply.provenance.source == "yahoo"
    assert metadata_of(answered) == (("cache-control", "public, max-age=3000, stale-if-error=600"),)


async def test_every_period_has_its_place() -> None:
    names = [field.name for field in history_pb2.PriceChange.DESCRIPTOR.fields][1:]
    change = PriceChange(**{name: float(number) for number, name in enumerate(names)})
    reply = await service_of(FakeDesk(change)).GetPriceChange(history_pb2.GetPriceChangeRequest(), context())
    assert [getattr(reply.change, name) for name in names] == list(range(len(names)))


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (history_pb2.ADJUSTMENT_UNSPECIFIED, Adjustment.SPLIT),
        (history_pb2.ADJUSTMENT_RAW, Adjustment.RAW),
        (history_pb2.ADJUSTMENT_SPLIT, Adjustment.SPLIT),
        (history_pb2.ADJUSTMENT_ALL, Adjustment.ALL),
        (99, Adjustment.SPLIT),
    ],
)
def test_unspecified_means_adjusted_for_splits(asked: "history_pb2.Adjustment.ValueType", meant: Adjustment) -> None:
    assert adjustment_of(asked) is meant
