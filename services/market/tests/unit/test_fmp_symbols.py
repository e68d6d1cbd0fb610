"""Round trips between our instruments and Financial Modeling Prep's symbols."""

from collections import Counter

import pytest

from market.domain.aliases import fmp_symbol
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.providers.fmp.symbols import AMERICAN, Named, read_vendor_symbol
from market.providers.reference.listing import read_listing

LISTING = [listed.instrument for listed in read_listing()]


def instrument(written: str) -> Instrument:
    exchange, symbol = written.split(":")
    return Instrument(written, Exchange(exchange), symbol, symbol, InstrumentKind.EQUITY, "USD")


@pytest.mark.parametrize(
    ("written", "vendors"),
    [
        ("NSE:TCS", "TCS.NS"),
        ("NSE:M&M", "M&M.NS"),
        ("NSE:BAJAJ-AUTO", "BAJAJ-AUTO.NS"),
        ("BSE:HDFCBANK", "HDFCBANK.BO"),
        ("NASDAQ:AAPL", "AAPL"),
        ("NYSE:BRK.B", "BRK-B"),
        ("FX:EURUSD", "EURUSD"),
        ("INDEX:SP500", "^GSPC"),
        ("INDEX:NIFTY50", "^NSEI"),
        ("INDEX:SENSEX", "^BSESN"),
    ],
)
def test_each_form_there_and_back(written: str, vendors: str) -> None:
    ours = instrument(written)
    assert fmp_symbol(ours) == vendors
    assert read_vendor_symbol(vendors) == Named(None if ours.exchange in AMERICAN else ours.exchange, ours.symbol)


@pytest.mark.parametrize("written", ["INDEX:NIFTYNEXT50", "NYSE:A-B"])
def test_what_has_no_name_there(written: str) -> None:
    assert fmp_symbol(instrument(written)) is None


@pytest.mark.parametrize("vendors", ["", "VOD.L", "6898.HK", "^VIX", "GC=F", ".NX"])
def test_what_has_no_name_here(vendors: str) -> None:
    assert read_vendor_symbol(vendors) is None


def test_the_whole_listing_comes_back_and_no_two_collide() -> None:
    named = {each.id: vendors for each in LISTING if (vendors := fmp_symbol(each)) is not None}
    assert {each.id for each in LISTING} - named.keys() == {"INDEX:NIFTYNEXT50"}
    assert not [vendors for vendors, count in Counter(named.values()).items() if count > 1]
    for each in LISTING:
        if each.id in named:
            back = read_vendor_symbol(named[each.id])
            assert back is not None
            assert back.symbol == each.symbol
            assert back.exchange == (None if each.exchange in AMERICAN else each.exchange)
