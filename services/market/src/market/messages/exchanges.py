"""Exchanges, their hours and what they list."""

from collections.abc import Mapping, Sequence

from bourse.market.v1 import exchanges_pb2
from market.domain.aliases import InstrumentNames
from market.domain.exchange_desk import DescribedExchange
from market.domain.exchanges import ExchangeHours
from market.domain.instruments import Instrument, InstrumentKind
from market.messages.provenance import timestamp


def hours_message(hours: Sequence[ExchangeHours]) -> exchanges_pb2.ListExchangeHoursResponse:
    """Answer with hours."""
    return exchanges_pb2.ListExchangeHoursResponse(hours=map(_hours, hours))


def exchanges_message(exchanges: Sequence[DescribedExchange]) -> exchanges_pb2.ListExchangesResponse:
    """Answer with the exchanges; how late prices are depends on who is asked for them, and is not said here."""
    return exchanges_pb2.ListExchangesResponse(
        exchanges=[
            exchanges_pb2.ExchangeDescription(
                exchange=each.facts.exchange,
                name=each.facts.name,
                country_name=each.facts.country_name,
                country_code=each.facts.country_code,
                symbol_suffix=each.facts.symbol_suffix,
                mic=each.facts.mic,
                timezone=each.facts.timezone.key,
                currency=each.facts.currency,
                instruments=each.instruments,
            )
            for each in exchanges
        ]
    )


def stocks_message(
    stocks: Mapping[str, Sequence[Instrument]], names: InstrumentNames
) -> exchanges_pb2.ListStocksResponse:
    """Answer what exchanges list."""
    return exchanges_pb2.ListStocksResponse(
        exchanges=[
            exchanges_pb2.ExchangeStocks(exchange=exchange, stocks=[_stock(each, names) for each in listed])
            for exchange, listed in stocks.items()
        ]
    )


def _hours(hours: ExchangeHours) -> exchanges_pb2.ExchangeHours:
    return exchanges_pb2.ExchangeHours(
        exchange=hours.exchange.exchange,
        name=hours.exchange.name,
        opening_hour=hours.opening_hour,
        closing_hour=hours.closing_hour,
        timezone=hours.exchange.timezone.key,
        is_market_open=hours.is_open,
        session_date=None if hours.session is None else hours.session.date.isoformat(),
        is_early_close=hours.is_early_close,
        next_open=timestamp(hours.next_open),
        next_close=timestamp(hours.next_close),
    )


def _stock(instrument: Instrument, names: InstrumentNames) -> exchanges_pb2.StockListing:
    return exchanges_pb2.StockListing(
        symbol=instrument.symbol,
        name=instrument.name,
        exchange=instrument.exchange,
        type="etf" if instrument.kind is InstrumentKind.FUND else "stock",
        isin=names.of(instrument).isin,
    )
