"""Prices of the past as messages."""

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from bourse.market.v1 import history_pb2
from market.domain.adjustments import Adjustment
from market.domain.bars import DailyBars
from market.domain.company_desk import About
from market.domain.history import IntradayBar
from market.domain.price_changes import PriceChange
from market.domain.quotes import CHANGE_DECIMALS, PERCENT_DECIMALS
from market.domain.sessions import TIMEZONE_OF_VENUE, venue_of
from market.messages.provenance import provenance_message

_ADJUSTMENTS = {
    history_pb2.ADJUSTMENT_RAW: Adjustment.RAW,
    history_pb2.ADJUSTMENT_SPLIT: Adjustment.SPLIT,
    history_pb2.ADJUSTMENT_ALL: Adjustment.ALL,
}
_MOMENT = "%Y-%m-%d %H:%M:%S"


def adjustment_of(value: "history_pb2.Adjustment.ValueType") -> Adjustment:
    """Return what prices are to be adjusted for; unspecified, or newer than this code, means splits."""
    return _ADJUSTMENTS.get(value, Adjustment.SPLIT)


def daily_bars_message(symbol: str, about: About[DailyBars]) -> history_pb2.ListDailyBarsResponse:
    """Answer with daily bars, newest first."""
    return history_pb2.ListDailyBarsResponse(
        symbol=symbol,
        bars=_daily_bars(about.answer.value),
        provenance=provenance_message(about.answer.provenance),
    )


def intraday_bars_message(about: About[Sequence[IntradayBar]]) -> history_pb2.ListIntradayBarsResponse:
    """Answer with bars of five minutes, newest first, in the exchange's time."""
    timezone = TIMEZONE_OF_VENUE[venue_of(about.instrument)]
    return history_pb2.ListIntradayBarsResponse(
        bars=[_intraday_bar(each, timezone) for each in reversed(about.answer.value)],
        provenance=provenance_message(about.answer.provenance),
    )


def price_change_message(symbol: str, about: About[PriceChange]) -> history_pb2.GetPriceChangeResponse:
    """Answer how far a price has come."""
    change = about.answer.value
    return history_pb2.GetPriceChangeResponse(
        change=history_pb2.PriceChange(
            symbol=symbol,
            day_1=change.day_1,
            day_5=change.day_5,
            month_1=change.month_1,
            month_3=change.month_3,
            month_6=change.month_6,
            ytd=change.ytd,
            year_1=change.year_1,
            year_3=change.year_3,
            year_5=change.year_5,
            year_10=change.year_10,
            max=change.max,
        ),
        provenance=provenance_message(about.answer.provenance),
    )


def _daily_bars(bars: DailyBars) -> Iterable[history_pb2.DailyBar]:
    volumes = [None] * len(bars) if bars.volume is None else bars.volume.tolist()
    prices = (column.tolist() for column in (bars.open, bars.high, bars.low, bars.close))
    rows = zip(bars.sessions.astype(str).tolist(), *prices, volumes, strict=True)
    for session, first, high, low, last, volume in reversed(list(rows)):
        yield history_pb2.DailyBar(
            date=session,
            open=first,
            high=high,
            low=low,
            close=last,
            volume=volume,
            change=round(last - first, CHANGE_DECIMALS),
            change_percent=round((last / first - 1.0) * 100.0, PERCENT_DECIMALS),
        )


def _intraday_bar(bar: IntradayBar, timezone: ZoneInfo) -> history_pb2.IntradayBar:
    return history_pb2.IntradayBar(
        date=bar.begins_at.astimezone(timezone).strftime(_MOMENT),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
    )
