"""What became of syncs and summaries, and what rows were priced at."""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from chassis.errors import Code, ServiceError
from chassis.metrics import Counter, counter
from portfolio.domain.prices import Pricing
from portfolio.domain.quotes import Freshness

OK, REFUSED, THROTTLED, SUPERSEDED, UNAVAILABLE = "ok", "refused", "throttled", "superseded", "unavailable"
NO_PRICE = "none"
_OUTCOMES = {Code.RESOURCE_EXHAUSTED: THROTTLED, Code.ABORTED: SUPERSEDED, Code.UNAVAILABLE: UNAVAILABLE}

SYNCS = counter("bourse_portfolio_syncs", "Syncs that brokers handed over, by what became of them.", ["outcome"])
SUMMARIES = counter("bourse_portfolio_summaries", "Summaries asked for, by what became of them.", ["outcome"])
_ROWS = counter("bourse_portfolio_rows", "Holdings and positions answered, by how fresh their price was.", ["price"])

# A counter that is not there before its first event shows no increase with it.
for outcome in (OK, REFUSED, SUPERSEDED, UNAVAILABLE):
    SYNCS.labels(outcome)
for outcome in (OK, REFUSED, THROTTLED, UNAVAILABLE):
    SUMMARIES.labels(outcome)
for price in (*Freshness, NO_PRICE):
    _ROWS.labels(price.lower())


@contextmanager
def counting(attempts: Counter) -> Iterator[None]:
    """Count what becomes of an attempt in the block."""
    try:
        yield
    except ServiceError as error:
        attempts.labels(_OUTCOMES.get(error.code, REFUSED)).inc()
        raise
    attempts.labels(OK).inc()


def count_rows(pricings: Iterable[Pricing]) -> None:
    """Count rows that are answered."""
    prices = (each.price for each in pricings)
    tally = Tally(NO_PRICE if price is None else price.provenance.freshness.value.lower() for price in prices)
    for freshness, rows in tally.items():
        _ROWS.labels(freshness).inc(rows)
