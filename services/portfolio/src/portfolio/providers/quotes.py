"""What instruments cost, asked of market."""

import re
from collections.abc import Collection, Sequence
from datetime import UTC
from decimal import Decimal

import grpc

from bourse.market.v1 import quotes_pb2, quotes_pb2_grpc
from chassis.metrics import counter
from chassis.rpc_client import reason_of
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.providers.refusals import no_answer

_QUOTES = counter("bourse_portfolio_quotes", "Instruments that market was asked for, by what it said.", ["outcome"])
_FOUND, _UNKNOWN, _UNANSWERED = (_QUOTES.labels(outcome) for outcome in ("found", "unknown", "unanswered"))

DEADLINE_SECONDS = 1.5
CURRENCY = "INR"
NO_PRICE = "NO_PRICE"
# No share costs less or more; sums of such prices stay exact.
LEAST_PRICE, MOST_PRICE = 1e-6, 1e12

_CURRENCY_FORM = re.compile("[A-Z]{3}")
_FRESHNESS = {quotes_pb2.Freshness.Value(f"FRESHNESS_{each.value}"): each for each in Freshness}


class MarketQuotes:
    """Asks market's quote service, at most 50 instruments a call.

    Args:
        stub: the service.
        currency: what prices have to be in; None takes any.
    """

    def __init__(self, stub: "quotes_pb2_grpc.QuoteServiceAsyncStub", *, currency: str | None = CURRENCY) -> None:
        self._stub = stub
        self._currency = currency

    async def latest(self, instruments: Collection[str]) -> QuoteAnswer:
        """Return the quotes of instruments; one that market does not know is not in them.

        One that it knows and has no price of is unanswered: another time its source may answer.

        Raises:
            MarketUnavailable: market did not answer in time, or failed.
        """
        request = quotes_pb2.GetQuotesRequest(symbols=instruments)
        try:
            response = await self._stub.GetQuotes(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == "SYMBOL_UNKNOWN":
                _UNKNOWN.inc(len(instruments))
                return QuoteAnswer({}, frozenset())
            _UNANSWERED.inc(len(instruments))
            raise no_answer(error, asked_for="quotes") from error
        unanswered = frozenset(missing.symbol for missing in response.missing if missing.code == NO_PRICE)
        quotes = _quotes_in(response.quotes, self._currency)
        _FOUND.inc(len(quotes))
        _UNANSWERED.inc(len(unanswered))
        _UNKNOWN.inc(max(len(instruments) - len(quotes) - len(unanswered), 0))
        return QuoteAnswer(quotes, unanswered)


def _quotes_in(messages: Sequence[quotes_pb2.Quote], currency: str | None) -> dict[str, Quote]:
    quotes = {message.symbol: _quote_of(message) for message in messages if currency in (None, message.currency)}
    return {symbol: quote for symbol, quote in quotes.items() if quote is not None}


def provenance_of(message: quotes_pb2.Provenance) -> Provenance | None:
    """Return where a price comes from; None when it does not say how far it can be relied on."""
    freshness = _FRESHNESS.get(message.freshness)
    if freshness is None:
        return None
    return Provenance(message.source, message.as_of.ToDatetime(tzinfo=UTC), freshness)


def _quote_of(message: quotes_pb2.Quote) -> Quote | None:
    """Return a quote whose price and currency are such; None for anything else."""
    provenance = provenance_of(message.provenance)
    last_price = price_of(message.last_price)
    if provenance is None or last_price is None or _CURRENCY_FORM.fullmatch(message.currency) is None:
        return None
    previous_close = price_of(message.previous_close) if message.HasField("previous_close") else None
    return Quote(last_price, previous_close, provenance, message.currency)


def price_of(number: float) -> Decimal | None:
    """Return the decimal that a double stands for, the shortest that reads back as it; None when it is no price."""
    return Decimal(repr(number)) if LEAST_PRICE <= number <= MOST_PRICE else None
