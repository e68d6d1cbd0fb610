"""Yahoo's quotes, made ours: prices, the figures beside them, and trading outside sessions."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.instruments import Instrument, InstrumentKind
from market.domain.ports import FreshnessRule
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Freshness, Provenance, Quote
from market.providers.yahoo.wire import Wire, count, moment, number, price, result_of, text

NAME = "yahoo"
_OPEN = "REGULAR"


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
    found = (_quote(row, instrument, rule, now) for row, instrument in _priced(answer, asked))
    return {quote.instrument.id: quote for quote in found}


def details_of(answer: Any, asked: Mapping[str, Instrument]) -> Mapping[str, QuoteDetails]:
    """Return the figures beside the prices of an answer by instrument id."""
    return {instrument.id: _details(row) for row, instrument in _priced(answer, asked)}


def after_market_trades_of(answer: Any, asked: Mapping[str, Instrument]) -> Mapping[str, AfterMarketTrade]:
    """Return the last trades outside sessions of an answer by instrument id; what has none is left out."""
    found = ((instrument.id, _last_trade_outside(row)) for row, instrument in _priced(answer, asked))
    return {instrument: trade for instrument, trade in found if trade is not None}


def after_market_quote_of(answer: Any, asked: Mapping[str, Instrument]) -> AfterMarketQuote | None:
    """Return what is bid and asked; None when nothing is.

    It is dated by the newest trade, the only moments that Yahoo gives. Sizes are left out: they come in lots of a size
    that is not told.
    """
    for row, _ in _priced(answer, asked):
        bid, ask = price(row.get("bid")), price(row.get("ask"))
        trade, regular_at = _last_trade_outside(row), moment(row.get("regularMarketTime"))
        times = [at for at in (regular_at, trade.at if trade else None) if at is not None]
        if times and (bid is not None or ask is not None):
            return AfterMarketQuote(at=max(times), bid_price=bid, ask_price=ask)
    return None


def _priced(answer: Any, asked: Mapping[str, Instrument]) -> list[tuple[Wire, Instrument]]:
    rows = ((row, asked.get(text(row.get("symbol")) or "")) for row in result_of(answer, "quoteResponse"))
    return [(row, instrument) for row, instrument in rows if instrument is not None and _is_priced(row, instrument)]


def _is_priced(row: Wire, instrument: Instrument) -> bool:
    if price(row.get("regularMarketPrice")) is None or moment(row.get("regularMarketTime")) is None:
        return False
    # A symbol that means another listing than ours has another currency, so far as it can be told at all.
    return text(row.get("currency")) in (None, instrument.currency)


def _quote(row: Wire, instrument: Instrument, rule: FreshnessRule, now: datetime) -> Quote:
    last_price, as_of = price(row.get("regularMarketPrice")), moment(row.get("regularMarketTime"))
    if last_price is None or as_of is None:
        raise AssertionError(row)
    return Quote(
        instrument=instrument,
        last_price=last_price,
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
        return Freshness.CLOSED
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
