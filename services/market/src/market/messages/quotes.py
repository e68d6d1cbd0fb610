"""Prices as they stand."""

from collections.abc import Iterable
from dataclasses import asdict

from bourse.market.v1 import quotes_pb2
from market.domain.detailed_quotes import DetailedAnswer, DetailedQuote
from market.domain.quote_board import QuoteAnswer
from market.domain.quotes import Quote
from market.domain.symbol_batches import Found, MissingSymbol
from market.messages.provenance import provenance_message


def quotes_message(answer: QuoteAnswer) -> quotes_pb2.GetQuotesResponse:
    """Answer with quotes and with what is missing."""
    quotes = [quote_message(each) for each in answer.quoted]
    return quotes_pb2.GetQuotesResponse(quotes=quotes, missing=missing_messages(answer.missing))


def detailed_quotes_message(answer: DetailedAnswer) -> quotes_pb2.GetDetailedQuotesResponse:
    """Answer with detailed quotes and with what is missing."""
    quotes = [_detailed(each) for each in answer.quoted]
    return quotes_pb2.GetDetailedQuotesResponse(quotes=quotes, missing=missing_messages(answer.missing))


def quote_message(quoted: Found[Quote]) -> quotes_pb2.Quote:
    """Describe a quote under the symbol the caller wrote."""
    quote = quoted.value
    return quotes_pb2.Quote(
        instrument=quote.instrument.id,
        symbol=quoted.symbol,
        name=quote.instrument.name,
        last_price=quote.last_price,
        previous_close=quote.previous_close,
        change=quote.change,
        change_percent=quote.change_percent,
        open=quote.open,
        high=quote.high,
        low=quote.low,
        volume=quote.volume,
        currency=quote.instrument.currency,
        provenance=provenance_message(quote.provenance),
    )


def missing_messages(missing: Iterable[MissingSymbol]) -> list[quotes_pb2.MissingSymbol]:
    """Name the symbols without an answer."""
    return [quotes_pb2.MissingSymbol(symbol=each.symbol, code=each.reason) for each in missing]


def _detailed(found: Found[DetailedQuote]) -> quotes_pb2.DetailedQuote:
    quote = found.value.quote
    return quotes_pb2.DetailedQuote(
        quote=quote_message(Found(found.symbol, quote)),
        exchange=quote.instrument.exchange,
        **asdict(found.value.details),
    )
