"""Yahoo's quotes, made ours: prices, the figures beside them, and trading outside sessions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.freshness import LATE_AT_MOST
from market.domain.instruments import Instrument, InstrumentKind
from market.domain.ports import FreshnessRule
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Freshness, Provenance, Quote
from market.providers.yahoo.wire import Wire, count, moment, number, price, result_of, text

NAME = "yahoo"
_OPEN = "REGULAR"


@dataclass(frozen=True, slots=True)
class _Priced:
    """A row with a price, and whose it is."""

    row: Wire
    instrument: Instrument
    last_price: float
    at: datetime


def quotes_of(
    answer: Any, asked: Mapping[str, Instrument], *, rule: FreshnessRule, now: datetime
) -> Mapping[str, Quote]:
    """Return the quotes of an answer by instrument id; what has no price, or one in another currency, is left out.

    Args:
        answer: of the address for quotes.
        asked: what was asked for, by Yahoo's symbols.
        rule: judges what is not delayed.
        now: when the answer came.
    """
    return {each.instrument.id: _quote(each, rule, now) for each in _priced(answer, asked)}


def details_of(answer: Any, asked: Mapping[str, Instrument]) -> Mapping[str, QuoteDetails]:
    """Return the figures beside the prices of an answer by instrument id."""
    return {each.instrument.id: _details(each.row) for each in _priced(answer, asked)}


def after_market_trades_of(answer: Any, asked: Mapping[str, Instrument]) -> Mapping[str, AfterMarketTrade]:
    """Return the last trades outside sessions of an answer by instrument id; what has none is left out."""
    found = {each.instrument.id: _last_trade_outside(each.row) for each in _priced(answer, asked)}
    return {instrument: trade for instrument, trade in found.items() if trade is not None}


def after_market_quote_of(answer: Any, asked: Mapping[str, Instrument]) -> AfterMarketQuote | None:
    """Return what is bid and asked; None when nothing is.

    It is dated by the newest trade, the only moments that Yahoo gives. Sizes are left out: they come in lots of a size
    that is not told.
    """
    for priced in _priced(answer, asked):
        bid, ask = price(priced.row.get("bid")), price(priced.row.get("ask"))
        trade = _last_trade_outside(priced.row)
        if bid is not None or ask is not None:
            at = priced.at if trade is None else max(priced.at, trade.at)
            return AfterMarketQuote(at=at, bid_price=bid, ask_price=ask)
    return None


def _priced(answer: Any, asked: Mapping[str, Instrument]) -> Iterator[_Priced]:
    """Yield the rows with a price; a symbol that means another listing than ours shows by its currency."""
    for row in result_of(answer, "quoteResponse"):
        instrument = asked.get(text(row.get("symbol")) or "")
        last_price, at = price(row.get("regularMarketPrice")), moment(row.get("regularMarketTime"))
        if instrument is None or last_price is None or at is None:
            continue
        if text(row.get("currency")) in (None, instrument.currency):
            yield _Priced(row, instrument, last_price, at)


def _quote(priced: _Priced, rule: FreshnessRule, now: datetime) -> Quote:
    row, instrument, as_of = priced.row, priced.instrument, priced.at
    return Quote(
        instrument=instrument,
        last_price=priced.last_price,
        provenance=Provenance(NAME, as_of, _freshness(row, rule.of(instrument, as_of), as_of, now)),
        previous_close=price(row.get("regularMarketPreviousClose")),
        open=price(row.get("regularMarketOpen")),
        high=price(row.get("regularMarketDayHigh")),
        low=price(row.get("regularMarketDayLow")),
        volume=_volume(row, instrument),
    )


def _freshness(row: Wire, judged: Freshness, as_of: datetime, now: datetime) -> Freshness:
    """Say how far a price can be relied on: the rule knows of sessions, Yahoo of its delay and of days off."""
    if judged is Freshness.CLOSED:
        return Freshness.DELAYED if _is_delayed(row) and now - as_of <= LATE_AT_MOST else Freshness.CLOSED
    if row.get("marketState") != _OPEN:
        return Freshness.CLOSED if judged is Freshness.LIVE else judged
    if not _is_delayed(row):
        return judged
    return Freshness.DELAYED if _is_same_day(row, as_of, now) else Freshness.STALE


def _is_delayed(row: Wire) -> bool:
    """Say whether prices come late; where one exchange's own do not, those of all others may still."""
    name = text(row.get("quoteSourceName")) or ""
    return (number(row.get("exchangeDataDelayedBy")) or 0) > 0 or name.startswith("Delayed")


def _is_same_day(row: Wire, as_of: datetime, now: datetime) -> bool:
    offset = timezone(timedelta(milliseconds=number(row.get("gmtOffSetMilliseconds")) or 0))
    return as_of.astimezone(offset).date() == now.astimezone(offset).date()


def _volume(row: Wire, instrument: Instrument) -> int | None:
    volume = count(row.get("regularMarketVolume"))
    # Yahoo writes 0 where nobody counts.
    return volume if volume or instrument.kind in (InstrumentKind.EQUITY, InstrumentKind.FUND) else None


def _details(row: Wire) -> QuoteDetails:
    return QuoteDetails(
        year_high=price(row.get("fiftyTwoWeekHigh")),
        year_low=price(row.get("fiftyTwoWeekLow")),
        price_avg50=price(row.get("fiftyDayAverage")),
        price_avg200=price(row.get("twoHundredDayAverage")),
        avg_volume=count(row.get("averageDailyVolume3Month")) or None,
        market_cap=price(row.get("marketCap")),
        eps=number(row.get("epsTrailingTwelveMonths")),
        pe=price(row.get("trailingPE")),
    )


def _last_trade_outside(row: Wire) -> AfterMarketTrade | None:
    prices = [(moment(row.get(f"{part}MarketTime")), price(row.get(f"{part}MarketPrice"))) for part in ("pre", "post")]
    trades = [AfterMarketTrade(paid, at) for at, paid in prices if at is not None and paid is not None]
    return max(trades, key=lambda trade: trade.at, default=None)
