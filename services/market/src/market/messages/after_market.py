"""Trading outside the session."""

from datetime import datetime

from bourse.market.v1 import after_market_pb2
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.after_market_desk import TradesAnswer
from market.domain.answers import Answer
from market.domain.company_desk import About
from market.domain.quotes import Provenance
from market.domain.symbol_batches import Found
from market.messages.provenance import provenance_message
from market.messages.quotes import missing_messages


def trades_message(answer: TradesAnswer) -> after_market_pb2.ListAfterMarketTradesResponse:
    """Answer with trades and with what is missing."""
    return after_market_pb2.ListAfterMarketTradesResponse(
        trades=[_trade(each) for each in answer.found], missing=missing_messages(answer.missing)
    )


def after_market_quote_message(
    symbol: str, about: About[AfterMarketQuote]
) -> after_market_pb2.GetAfterMarketQuoteResponse:
    """Answer with what is bid and asked."""
    quote = about.answer.value
    return after_market_pb2.GetAfterMarketQuoteResponse(
        quote=after_market_pb2.AfterMarketQuote(
            symbol=symbol,
            bid_size=quote.bid_size,
            bid_price=quote.bid_price,
            ask_size=quote.ask_size,
            ask_price=quote.ask_price,
            volume=quote.volume,
            timestamp=_milliseconds(quote.at),
            provenance=provenance_message(_of(about.answer, quote.at)),
        )
    )


def _trade(found: Found[Answer[AfterMarketTrade]]) -> after_market_pb2.AfterMarketTrade:
    trade = found.value.value
    return after_market_pb2.AfterMarketTrade(
        symbol=found.symbol,
        price=trade.price,
        timestamp=_milliseconds(trade.at),
        trade_size=trade.size,
        provenance=provenance_message(_of(found.value, trade.at)),
    )


def _of(answer: Answer[AfterMarketTrade] | Answer[AfterMarketQuote], made_at: datetime) -> Provenance:
    # A price is as old as the trade, not as the answer that told it.
    told = answer.provenance
    return Provenance(told.source, made_at, told.freshness)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
