from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from portfolio.domain.brokers import Broker
from portfolio.domain.prices import MarketView, Pricing, pricing_of
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import BrokerHolding, Sync, quoted_instrument
from portfolio.domain.splits import KnownSplits, Split

# 11:00 in India.
SYNCED = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
TODAY = date(2026, 3, 12)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TCS = "NSE:TCS"
NO_SPLITS = KnownSplits({TCS: ()}, date(2026, 2, 28))


def sync(at: datetime = SYNCED, *, is_simulated: bool = False) -> Sync:
    return Sync("id", "7", Broker.ZERODHA, at, at, is_simulated)


def held(last_price: str | None = "100", close_price: str | None = "99", **others: str) -> BrokerHolding:
    return BrokerHolding(
        exchange=others.get("exchange", "NSE"),
        tradingsymbol=others.get("tradingsymbol", "TCS"),
        quantity=Decimal(10),
        t1_quantity=Decimal(0),
        last_price=None if last_price is None else Decimal(last_price),
        close_price=None if close_price is None else Decimal(close_price),
        broker_code=others.get("broker_code"),
    )


def quoted(as_of: datetime, freshness: Freshness = Freshness.LIVE, price: str = "110") -> Quote:
    return Quote(Decimal(price), Decimal(105), Provenance("zerodha", as_of, freshness))


def pricing(
    quote: Quote | None,
    *,
    row: BrokerHolding | None = None,
    of: Sync | None = None,
    splits: KnownSplits = NO_SPLITS,
    day: date = TODAY,
) -> Pricing:
    quotes = {} if quote is None else {TCS: quote}
    return pricing_of(row or held(), of or sync(), MarketView(QuoteAnswer(quotes, frozenset()), splits, day))


def numbers(*values: object) -> tuple[object, ...]:
    return values


def shown(priced: Pricing) -> tuple[str, str, Freshness]:
    assert priced.price is not None
    return str(priced.price.unit_price), priced.price.provenance.source, priced.price.provenance.freshness


def test_a_newer_quote_replaces_the_brokers_price() -> None:
    for freshness in (Freshness.LIVE, Freshness.DELAYED, Freshness.STALE):
        assert shown(pricing(quoted(SYNCED, freshness))) == ("110", "zerodha", freshness)


def test_an_older_quote_does_not() -> None:
    for freshness in (Freshness.LIVE, Freshness.DELAYED, Freshness.STALE):
        priced = pricing(quoted(SYNCED - MINUTE, freshness))
        assert shown(priced) == ("100", "zerodha", Freshness.STALE)
        assert priced.price is not None
        assert numbers(priced.price.previous_close, priced.price.provenance.as_of) == (99, SYNCED)


def test_the_last_price_of_a_closed_market_counts_however_old() -> None:
    assert shown(pricing(quoted(SYNCED - MINUTE, Freshness.CLOSED))) == ("110", "zerodha", Freshness.CLOSED)


def test_an_older_quote_is_better_than_no_price() -> None:
    assert shown(pricing(quoted(SYNCED - MINUTE), row=held(None))) == ("110", "zerodha", Freshness.LIVE)


def test_a_real_row_is_never_priced_by_a_simulated_quote() -> None:
    simulated = quoted(SYNCED + MINUTE, Freshness.SIMULATED)
    assert shown(pricing(simulated)) == ("100", "zerodha", Freshness.STALE)
    assert pricing(simulated, row=held(None)).price is None


@pytest.mark.parametrize("freshness", Freshness)
def test_a_simulated_row_is_simulated_whatever_prices_it(freshness: Freshness) -> None:
    of = sync(is_simulated=True)
    assert shown(pricing(quoted(SYNCED, freshness), of=of)) == ("110", "zerodha", Freshness.SIMULATED)
    assert shown(pricing(None, of=of)) == ("100", "zerodha", Freshness.SIMULATED)


def test_without_any_price_there_is_none() -> None:
    assert pricing(None, row=held(None)).price is None


@pytest.mark.parametrize(
    "row",
    [
        held(exchange="NFO"),
        held(tradingsymbol="m&m"),
        held(tradingsymbol="A B"),
        held(tradingsymbol="X" * 29),
        held(tradingsymbol="TCS", broker_code="TCS"),
    ],
)
def test_market_is_not_asked_for_what_it_cannot_know(row: BrokerHolding) -> None:
    assert quoted_instrument(row) is None
    assert shown(pricing(quoted(SYNCED), row=row)) == ("100", "zerodha", Freshness.STALE)


def test_market_is_asked_for_shares_by_their_exchanges_symbol() -> None:
    assert quoted_instrument(held(tradingsymbol="M&M")) == "NSE:M&M"
    assert quoted_instrument(held(exchange="BSE", broker_code="TATCON")) == "BSE:TCS"


def split_on(ex_date: date, factor: Fraction = Fraction(2)) -> KnownSplits:
    return KnownSplits({TCS: (Split(ex_date, factor),)}, date(2026, 2, 28))


def test_units_of_before_the_ex_date_are_multiplied_and_the_brokers_price_divided() -> None:
    priced = pricing(None, of=sync(SYNCED - DAY), splits=split_on(TODAY))
    assert priced.unit_factor == 2
    assert shown(priced)[0] == "50"


def test_a_quote_of_after_the_ex_date_is_in_the_new_units() -> None:
    priced = pricing(quoted(SYNCED, price="55"), of=sync(SYNCED - DAY), splits=split_on(TODAY))
    assert numbers(priced.unit_factor, shown(priced)[0]) == (2, "55")


def test_a_quote_of_before_the_ex_date_is_brought_to_the_new_units() -> None:
    closed = quoted(SYNCED - DAY, Freshness.CLOSED, price="110")
    priced = pricing(closed, of=sync(SYNCED - 2 * DAY), splits=split_on(TODAY))
    assert numbers(priced.unit_factor, shown(priced)[0]) == (2, "55")


def test_units_of_the_ex_date_itself_are_new_already() -> None:
    priced = pricing(quoted(SYNCED - DAY, Freshness.CLOSED, price="110"), splits=split_on(TODAY))
    assert numbers(priced.unit_factor, shown(priced)[0]) == (1, "55")


def test_a_split_that_is_still_to_come_changes_nothing() -> None:
    priced = pricing(quoted(SYNCED), of=sync(SYNCED - DAY), splits=split_on(TODAY + DAY))
    assert numbers(priced.unit_factor, shown(priced)[0]) == (1, "110")


def test_the_ex_date_is_a_day_in_india() -> None:
    just_after_midnight = datetime(2026, 3, 11, 18, 31, tzinfo=UTC)
    assert pricing(None, of=sync(just_after_midnight), splits=split_on(TODAY)).unit_factor == 1
    assert pricing(None, of=sync(just_after_midnight - 2 * MINUTE), splits=split_on(TODAY)).unit_factor == 2


def test_several_splits_multiply_and_a_price_keeps_six_decimals() -> None:
    known = KnownSplits({TCS: (Split(date(2026, 3, 10), Fraction(3, 2)), Split(TODAY, Fraction(2)))}, date(2026, 2, 28))
    priced = pricing(None, of=sync(SYNCED - 5 * DAY), splits=known)
    assert numbers(priced.unit_factor, shown(priced)[0]) == (3, "33.333333")


@pytest.mark.parametrize("known", [KnownSplits(), KnownSplits({TCS: ()}, None), KnownSplits({TCS: ()}, TODAY)])
def test_while_nobody_knows_of_splits_a_row_keeps_its_syncs_price_and_units(known: KnownSplits) -> None:
    priced = pricing(quoted(SYNCED), of=sync(SYNCED - DAY), splits=known)
    assert numbers(priced.unit_factor, shown(priced)[0]) == (1, "100")
    assert priced.quote is not None


def test_a_quote_of_before_what_is_known_of_splits_is_not_used() -> None:
    known = KnownSplits({TCS: ()}, TODAY - DAY)
    old = quoted(SYNCED - 3 * DAY, Freshness.CLOSED)
    assert shown(pricing(old, splits=known))[0] == "100"


def test_on_the_day_of_a_sync_splits_need_not_be_known() -> None:
    assert shown(pricing(quoted(SYNCED), splits=KnownSplits()))[0] == "110"
