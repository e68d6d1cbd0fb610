"""Yahoo's charts, made ours: bars of days and of five minutes, splits, dividends, and yields.

Prices in charts are adjusted for all splits up to now; those adjusted for dividends as well are in a column of their
own, which nothing here reads. Days are those of the chart's own time zone, summer time and all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from market.domain.bars import DailyBars
from market.domain.capabilities import NothingKnown
from market.domain.companies import Dividend
from market.domain.history import DailyHistory, IntradayBar
from market.domain.instruments import Instrument, InstrumentKind
from market.domain.splits import Split
from market.domain.treasury import TreasuryRates
from market.providers.yahoo.parse_quotes import NAME
from market.providers.yahoo.wire import (
    AnswerUnreadable,
    Wire,
    count,
    mapping,
    moment,
    number,
    price,
    result_of,
    rows,
    text,
)

# How long after its close a session's bar may still change.
SETTLED_AFTER = timedelta(minutes=30)
FIVE_MINUTES = timedelta(minutes=5)
# What Yahoo calls these two lengths.
DAY_INTERVAL, FIVE_MINUTES_INTERVAL = "1d", "5m"
LARGEST_PART = 10_000


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar; `volume` is None where the chart has none."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int | None


def daily_history_of(answer: Any, instrument: Instrument, *, first: date, last: date, now: datetime) -> DailyHistory:
    """Return the finished sessions from `first` to `last` of a chart of days that reaches from `first` to `now`.

    Raises:
        NothingKnown: Yahoo has no chart of it.
        SourceRefused, AnswerUnreadable: the answer is none.
    """
    chart = _chart(answer, DAY_INTERVAL)
    zone = _zone(chart)
    by_day = _finished_days(chart, zone, now)
    days = [(day, row) for day, row in sorted(by_day.items()) if first <= day <= last]
    return DailyHistory(
        bars=_bars(instrument, days),
        splits=[each for each in _splits(chart, instrument, zone) if each.ex_date >= first],
        dividends=[each for each in _dividends(chart, zone) if first <= each.ex_date <= last],
    )


def dividends_of(answer: Any) -> Sequence[Dividend]:
    """Return all dividends of a chart, newest first."""
    chart = _chart(answer, DAY_INTERVAL)
    return sorted(_dividends(chart, _zone(chart)), key=lambda each: each.ex_date, reverse=True)


def intraday_bars_of(
    answer: Any, instrument: Instrument, *, first: date, last: date, zone: tzinfo, now: datetime
) -> Sequence[IntradayBar]:
    """Return the finished bars of five minutes of a chart, oldest first.

    What Yahoo adds to them, the last trade and the moment of the close, is left out.

    Args:
        answer: a chart of five minutes.
        instrument: whose it is.
        first: the first day wanted, in `zone`.
        last: the last day wanted.
        zone: where days begin at midnight.
        now: when the answer came.
    """
    chart = _chart(answer, FIVE_MINUTES_INTERVAL)
    sessions = _trading_periods(chart)
    return [
        IntradayBar(
            begins_at=row.at,
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            volume=row.volume if _has_volume(instrument) else None,
        )
        for row in _rows(chart)
        if _is_whole_bar(row.at, sessions, now) and first <= row.at.astimezone(zone).date() <= last
    ]


def treasury_rates_of(answers: Mapping[str, Any], *, first: date, last: date, now: datetime) -> Sequence[TreasuryRates]:
    """Return the closing yields of finished days, by charts of days by maturity; in percent, as Yahoo has them."""
    by_day: dict[date, dict[str, float]] = {}
    for maturity, answer in answers.items():
        chart = _chart(answer, DAY_INTERVAL)
        zone = _zone(chart)
        running = _running_day(chart, zone, now)
        for at, close in _closes(chart):
            day = at.astimezone(zone).date()
            if first <= day <= last and (running is None or day < running):
                by_day.setdefault(day, {})[maturity] = close
    return [TreasuryRates(day, yields) for day, yields in sorted(by_day.items())]


def _chart(answer: Any, interval: str) -> Wire:
    """Return the chart of an answer; Yahoo may choose longer bars than were asked for, which would pass for others."""
    results = result_of(answer, "chart")
    if not results:
        raise NothingKnown
    if mapping(results[0].get("meta")).get("dataGranularity", interval) != interval:
        raise AnswerUnreadable
    return results[0]


def _zone(chart: Wire) -> ZoneInfo:
    try:
        return ZoneInfo(text(mapping(chart.get("meta")).get("exchangeTimezoneName")) or "")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise AnswerUnreadable from error


def _rows(chart: Wire) -> Iterator[_Row]:
    """Yield the bars that have all four prices; Yahoo fills days off and pauses with null."""
    for at, *values in _columns(chart, "open", "high", "low", "close", "volume"):
        row = _row(moment(at), *values)
        if row is not None:
            yield row


def _closes(chart: Wire) -> Iterator[tuple[datetime, float]]:
    """Yield the closes of a chart of yields, which can be 0 and less."""
    for at, close in _columns(chart, "close"):
        begins_at, value = moment(at), number(close)
        if begins_at is not None and value is not None:
            yield begins_at, value


def _columns(chart: Wire, *names: str) -> Iterator[Sequence[Any]]:
    """Yield the moments of a chart, each with what stands in columns beside it.

    Raises:
        AnswerUnreadable: the columns are not as long as the times.
    """
    times = chart.get("timestamp") or []
    quotes = rows(mapping(chart.get("indicators")).get("quote"))
    columns = [(quotes[0] if quotes else {}).get(name) or [None] * len(times) for name in names]
    if any(len(column) != len(times) for column in columns):
        raise AnswerUnreadable
    return zip(times, *columns, strict=True)


def _row(at: datetime | None, *values: object) -> _Row | None:
    open_, high, low, close = (price(value) for value in values[:4])
    if at is None or open_ is None or high is None or low is None or close is None:
        return None
    return _Row(at, open_, high, low, close, count(values[4]))


def _finished_days(chart: Wire, zone: tzinfo, now: datetime) -> dict[date, _Row]:
    """Return the bars by day; of two bars of one day the later counts, which is the day's so far."""
    running = _running_day(chart, zone, now)
    by_day = {row.at.astimezone(zone).date(): row for row in _rows(chart)}
    return {day: row for day, row in by_day.items() if running is None or day < running}


def _running_day(chart: Wire, zone: tzinfo, now: datetime) -> date | None:
    """Return the day whose bar may still change; None when there is none.

    Without a word of Yahoo's on the current session that is today, wherever that is.
    """
    regular = mapping(mapping(mapping(chart.get("meta")).get("currentTradingPeriod")).get("regular"))
    begin, end = moment(regular.get("start")), moment(regular.get("end"))
    if begin is None or end is None:
        return now.astimezone(zone).date()
    return begin.astimezone(zone).date() if now < end + SETTLED_AFTER else None


def _bars(instrument: Instrument, days: Sequence[tuple[date, _Row]]) -> DailyBars:
    has_volume = _has_volume(instrument) and any(row.volume for _, row in days)
    # A bar without a volume among bars that have one would need a made-up one.
    kept = [(day, row) for day, row in days if row.volume is not None] if has_volume else days
    return DailyBars(
        instrument=instrument.id,
        sessions=np.array([day for day, _ in kept], dtype="datetime64[D]"),
        open=np.array([row.open for _, row in kept], dtype=np.float64),
        high=np.array([row.high for _, row in kept], dtype=np.float64),
        low=np.array([row.low for _, row in kept], dtype=np.float64),
        close=np.array([row.close for _, row in kept], dtype=np.float64),
        volume=np.array([row.volume for _, row in kept], dtype=np.int64) if has_volume else None,
    )


def _has_volume(instrument: Instrument) -> bool:
    return instrument.kind is not InstrumentKind.CURRENCY_PAIR


def _events(chart: Wire, kind: str, zone: tzinfo) -> Iterator[tuple[date, Wire]]:
    for event in mapping(mapping(chart.get("events")).get(kind)).values():
        at = moment(mapping(event).get("date"))
        if at is not None:
            yield at.astimezone(zone).date(), event


def _splits(chart: Wire, instrument: Instrument, zone: tzinfo) -> Sequence[Split]:
    found = (
        (day, price(event.get("numerator")), price(event.get("denominator")))
        for day, event in _events(chart, "splits", zone)
    )
    return sorted(
        (
            _split(instrument, day, new_units / old_units)
            for day, new_units, old_units in found
            if new_units and old_units
        ),
        key=lambda each: each.ex_date,
    )


def _split(instrument: Instrument, day: date, ratio: float) -> Split:
    """Make a split of a ratio that may be written in fractions, as 1.5 for 1."""
    units = Fraction(ratio).limit_denominator(LARGEST_PART)
    return Split(instrument.id, day, new_units=units.numerator, old_units=units.denominator, source=NAME)


def _dividends(chart: Wire, zone: tzinfo) -> Sequence[Dividend]:
    paid = ((day, price(event.get("amount"))) for day, event in _events(chart, "dividends", zone))
    return sorted((Dividend(day, amount) for day, amount in paid if amount), key=lambda each: each.ex_date)


def _trading_periods(chart: Wire) -> Sequence[tuple[datetime, datetime]]:
    """Return the chart's sessions, which know of half days; none when it does not say."""
    periods = mapping(chart.get("meta")).get("tradingPeriods")
    days = periods if isinstance(periods, list) else mapping(periods).get("regular") or []
    parts = [part for day in days for part in (rows(day) or [mapping(day)])]
    bounds = ((moment(part.get("start")), moment(part.get("end"))) for part in parts)
    return [(begin, end) for begin, end in bounds if begin is not None and end is not None]


def _is_whole_bar(at: datetime, sessions: Sequence[tuple[datetime, datetime]], now: datetime) -> bool:
    if at.timestamp() % FIVE_MINUTES.total_seconds() or at + FIVE_MINUTES > now:
        return False
    return not sessions or any(begin <= at < end for begin, end in sessions)
