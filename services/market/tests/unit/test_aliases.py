from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.aliases import Aliases, Identifiers, InstrumentNames, fmp_symbol, yahoo_symbol
from market.domain.instruments import (
    Exchange,
    Instrument,
    InstrumentDirectory,
    InstrumentKind,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
)
from market.providers.reference.listing import read_listing
from market.providers.reference.tables import read_identifiers

MASTER = InstrumentDirectory(each.instrument for each in read_listing())
NAMES = InstrumentNames(MASTER, read_identifiers())
LISTINGS_OF_ISIN: defaultdict[str, set[str]] = defaultdict(set)
for each in MASTER.instruments:
    LISTINGS_OF_ISIN[NAMES.of(each).isin or ""].add(each.id)


def share(instrument_id: str) -> Instrument:
    exchange, _, symbol = instrument_id.partition(":")
    return Instrument(instrument_id, Exchange(exchange), symbol, symbol, InstrumentKind.EQUITY, "USD", "Energy")


def meanings(name: str) -> set[str]:
    try:
        return {NAMES.resolve(name).id}
    except SymbolAmbiguous as error:
        return set(error.candidates)


def outcome(name: str) -> Instrument | str:
    try:
        return NAMES.resolve(name)
    except (SymbolInvalid, SymbolUnknown, SymbolAmbiguous) as error:
        return error.message


def test_every_alias_of_every_instrument_leads_back_to_it_and_to_nothing_else() -> None:
    for instrument in MASTER.instruments:
        aliases = NAMES.of(instrument)
        for name in (instrument.id, *aliases.names):
            expected = LISTINGS_OF_ISIN[name] if name == aliases.isin else {instrument.id}
            assert meanings(name) == meanings(name.lower()) == expected


def test_an_isin_of_two_exchanges_is_ambiguous_and_names_both() -> None:
    with pytest.raises(SymbolAmbiguous, match="'INE467B01029' could be NSE:TCS or BSE:TCS") as raised:
        NAMES.resolve("INE467B01029")
    assert raised.value.candidates == ("NSE:TCS", "BSE:TCS")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nse:tcs", "NSE:TCS"),
        ("TCS.NS", "NSE:TCS"),
        ("TCS.BO", "BSE:TCS"),
        ("kite:2953217", "NSE:TCS"),
        ("US0378331005", "NASDAQ:AAPL"),
        ("aapl", "NASDAQ:AAPL"),
        ("BRK-B", "NYSE:BRK.B"),
        ("brk.b", "NYSE:BRK.B"),
        ("M&M.NS", "NSE:M&M"),
        ("BAJAJ-AUTO.NS", "NSE:BAJAJ-AUTO"),
        ("^nsei", "INDEX:NIFTY50"),
        ("EURUSD=X", "FX:EURUSD"),
        ("eurusd", "FX:EURUSD"),
        ("HAL", "NYSE:HAL"),
        ("kite:265", "INDEX:SENSEX"),
    ],
)
def test_a_name_means_its_instrument(name: str, expected: str) -> None:
    assert NAMES.resolve(name).id == expected


def test_a_bare_symbol_of_two_exchanges_is_never_guessed() -> None:
    with pytest.raises(SymbolAmbiguous) as raised:
        NAMES.resolve("tcs")
    assert raised.value.candidates == ("NSE:TCS", "BSE:TCS")


@pytest.mark.parametrize("name", ["NSE:NOSUCH", "kite:1", "kite:tcs", "INE000000000", "NOSUCH.NS", "^NOSUCH"])
def test_a_name_of_nothing_is_unknown(name: str) -> None:
    with pytest.raises(SymbolUnknown):
        NAMES.resolve(name)


@pytest.mark.parametrize("name", ["", " ", "NSE:TCS\n", "TCS NS", "A" * 33, "N\u017fE:TCS", "=X", "^", "<script>"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(SymbolInvalid):
        NAMES.resolve(name)


@given(name=st.text(max_size=40))
def test_whatever_is_written_the_answer_is_an_instrument_or_a_printable_error(name: str) -> None:
    answer = outcome(name)
    assert answer in MASTER.instruments if isinstance(answer, Instrument) else answer.isascii() and answer.isprintable()


def test_vendors_write_symbols_by_rule() -> None:
    assert yahoo_symbol(share("NYSE:BRK.B")) == fmp_symbol(share("NYSE:BRK.B")) == "BRK-B"
    assert yahoo_symbol(share("BSE:TCS")) == fmp_symbol(share("BSE:TCS")) == "TCS.BO"
    assert (yahoo_symbol(share("FX:USDJPY")), fmp_symbol(share("FX:USDJPY"))) == ("USDJPY=X", "USDJPY")
    assert (yahoo_symbol(share("INDEX:NIFTYNEXT50")), fmp_symbol(share("INDEX:NIFTYNEXT50"))) == ("^NSMIDCP", None)
    assert yahoo_symbol(share("INDEX:NOSUCH")) is None
    assert fmp_symbol(share("NYSE:A-B")) is None


def test_an_instrument_that_nothing_is_known_of_has_what_follows_by_rule() -> None:
    names = InstrumentNames(InstrumentDirectory([share("INDEX:OWN"), share("NYSE:KO")]), {"NYSE:KO": Identifiers()})
    assert names.of(share("INDEX:OWN")) == Aliases(isin=None, kite_token=None, yahoo=None, fmp=None)
    assert names.of(share("NYSE:KO")).names == ["KO"]
    assert names.resolve("own").id == "INDEX:OWN"
