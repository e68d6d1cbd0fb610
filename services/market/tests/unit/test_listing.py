from collections import Counter

import pytest

from market.domain.instruments import Exchange, InstrumentDirectory, InstrumentKind, Listing
from market.providers.reference.listing import parse_listing, read_listing

LISTING = read_listing()
DIRECTORY = InstrumentDirectory(each.instrument for each in LISTING)


def test_there_are_some_eight_hundred_instruments_of_every_exchange() -> None:
    assert 800 <= len(DIRECTORY.instruments) == len(LISTING) <= 900
    counts = Counter(each.exchange for each in DIRECTORY.instruments)
    assert set(counts) == set(Exchange)
    assert counts[Exchange.FX] >= 25
    assert counts[Exchange.NSE] >= 150


@pytest.mark.parametrize(
    ("symbol", "price"),
    [("NSE:TCS", 3842.5), ("NASDAQ:AAPL", 201.28), ("NASDAQ:MSFT", 415.5), ("INDEX:NIFTY50", 24000.0)],
)
def test_price_levels_are_those_of_the_documents(symbol: str, price: float) -> None:
    assert next(each.price for each in LISTING if each.instrument.id == symbol) == price


@pytest.mark.parametrize(
    "symbol",
    [
        *("NSE:TCS", "NSE:INFY", "NSE:RELIANCE", "BSE:HDFCBANK", "NASDAQ:TSLA", "NASDAQ:NVDA", "NASDAQ:GOOGL"),
        *("INDEX:BANKNIFTY", "INDEX:SENSEX", "INDEX:SP500", "INDEX:NASDAQ", "INDEX:DJI"),
        *("FX:EURUSD", "FX:GBPUSD", "FX:USDJPY", "FX:USDINR"),
    ],
)
def test_the_documents_symbols_are_there(symbol: str) -> None:
    assert DIRECTORY.resolve(symbol).id == symbol


def test_every_id_and_every_bare_us_symbol_resolves() -> None:
    for instrument in DIRECTORY.instruments:
        assert DIRECTORY.resolve(instrument.id.lower()) is instrument
        if instrument.exchange in (Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX):
            assert DIRECTORY.resolve(instrument.symbol, Listing.UNITED_STATES) is instrument


def test_shares_have_sectors_and_nothing_else_has() -> None:
    for instrument in DIRECTORY.instruments:
        assert (instrument.sector is not None) == (instrument.kind is InstrumentKind.EQUITY)


def test_price_steps_are_the_exchanges() -> None:
    rows = [
        "exchange,symbol,name,kind,currency,sector,price",
        "NSE,A,A,EQUITY,INR,Power,250",
        "NSE,B,B,EQUITY,INR,Power,249",
        "NASDAQ,C,C,EQUITY,USD,Energy,500",
        "FX,EURUSD,D,CURRENCY_PAIR,USD,,1.1",
        "FX,USDJPY,E,CURRENCY_PAIR,JPY,,144",
        "INDEX,NIFTY50,F,INDEX,INR,,24000",
    ]
    assert [each.steps_per_unit for each in parse_listing(rows)] == [20, 100, 100, 100_000, 1_000, 20]
