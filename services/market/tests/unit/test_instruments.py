import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.instruments import (
    MAX_SYMBOL_LENGTH,
    Exchange,
    ExchangeUnknown,
    Instrument,
    InstrumentDirectory,
    InstrumentKind,
    Listing,
    PairUnknown,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
    read_instrument_id,
)


def equity(exchange: Exchange, symbol: str, name: str = "A company") -> Instrument:
    return Instrument(f"{exchange}:{symbol}", exchange, symbol, name, InstrumentKind.EQUITY, "INR")


TCS, BSE_TCS = equity(Exchange.NSE, "TCS"), equity(Exchange.BSE, "TCS")
MAHINDRA, BAJAJ = equity(Exchange.NSE, "M&M"), equity(Exchange.NSE, "BAJAJ-AUTO")
APPLE, BERKSHIRE = equity(Exchange.NASDAQ, "AAPL"), equity(Exchange.NYSE, "BRK.B")
TWIN_NASDAQ, TWIN_NYSE = equity(Exchange.NASDAQ, "TWIN"), equity(Exchange.NYSE, "TWIN")
EURUSD = Instrument("FX:EURUSD", Exchange.FX, "EURUSD", "A pair", InstrumentKind.CURRENCY_PAIR, "USD")
NIFTY = equity(Exchange.INDEX, "NIFTY50")
ALL = (TCS, BSE_TCS, MAHINDRA, BAJAJ, APPLE, BERKSHIRE, TWIN_NASDAQ, TWIN_NYSE, EURUSD, NIFTY)
DIRECTORY = InstrumentDirectory(ALL)


@given(instrument=st.sampled_from(ALL), upper=st.lists(st.booleans(), min_size=20, max_size=20))
def test_every_id_resolves_to_its_instrument_in_any_case(instrument: Instrument, upper: list[bool]) -> None:
    written = "".join(c.upper() if up else c.lower() for c, up in zip(instrument.id, upper, strict=False))
    assert DIRECTORY.resolve(written) is instrument


@pytest.mark.parametrize(
    ("symbol", "listing", "expected"),
    [
        ("tcs", Listing.INDIA, TCS),
        ("M&M", Listing.INDIA, MAHINDRA),
        ("bajaj-auto", Listing.INDIA, BAJAJ),
        ("aapl", Listing.UNITED_STATES, APPLE),
        ("brk.b", Listing.UNITED_STATES, BERKSHIRE),
        ("eurusd", Listing.CURRENCIES, EURUSD),
    ],
)
def test_a_bare_symbol_means_its_listing(symbol: str, listing: Listing, expected: Instrument) -> None:
    assert DIRECTORY.resolve(symbol, listing) is expected


@pytest.mark.parametrize("symbol", ["AAPL", "EURUSD", "NIFTY50", "NOSUCH"])
def test_a_bare_symbol_is_looked_for_in_its_listing_alone(symbol: str) -> None:
    with pytest.raises(SymbolUnknown):
        DIRECTORY.resolve(symbol, Listing.INDIA)


def test_a_symbol_of_several_exchanges_is_never_guessed_and_its_candidates_are_named() -> None:
    with pytest.raises(SymbolAmbiguous, match="NASDAQ:TWIN or NYSE:TWIN") as raised:
        DIRECTORY.resolve("twin", Listing.UNITED_STATES)
    assert raised.value.candidates == ("NASDAQ:TWIN", "NYSE:TWIN")


def test_a_bare_symbol_without_a_listing_is_refused() -> None:
    with pytest.raises(SymbolInvalid, match="names no exchange"):
        DIRECTORY.resolve("TCS")


@pytest.mark.parametrize("symbol", ["NSE:NOSUCH", "MOON:TCS", "INDEX:TCS"])
def test_a_well_formed_symbol_that_names_nothing_is_unknown(symbol: str) -> None:
    with pytest.raises(SymbolUnknown, match=symbol):
        DIRECTORY.resolve(symbol)


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        " ",
        ":",
        "NSE:",
        ":TCS",
        "NSE:TCS:X",
        "NSE: TCS",
        " NSE:TCS",
        "NSE:TCS\n",
        "NSE:TC\x00S",
        "NSE:TÇS",
        "N\u017fE:TCS",
        "NSE:<script>",
        "NSE:TCS,INFY",
        "NSE:.TCS",
        "A" * (MAX_SYMBOL_LENGTH + 1),
        "NSE:" + "A" * 100_000,
    ],
)
def test_what_cannot_be_a_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(SymbolInvalid):
        DIRECTORY.resolve(symbol, Listing.INDIA)


def outcome(symbol: str, listing: Listing) -> Instrument | str:
    try:
        return DIRECTORY.resolve(symbol, listing)
    except (SymbolInvalid, SymbolUnknown, SymbolAmbiguous) as error:
        return error.message


@given(symbol=st.text(max_size=60), listing=st.sampled_from(Listing))
def test_whatever_is_written_the_answer_is_an_instrument_or_a_printable_error(symbol: str, listing: Listing) -> None:
    answer = outcome(symbol, listing)
    assert answer in ALL if isinstance(answer, Instrument) else answer.isascii() and answer.isprintable()


def test_the_first_of_an_id_counts() -> None:
    first, second = equity(Exchange.NSE, "TCS", "first"), equity(Exchange.NSE, "TCS", "second")
    directory = InstrumentDirectory([first, second])
    assert directory.instruments == (first,)
    assert directory.resolve("TCS", Listing.INDIA) is first


def test_an_exact_id_is_found_without_rules() -> None:
    assert DIRECTORY.get("NSE:TCS") is TCS
    assert DIRECTORY.get("nse:tcs") is None


def test_several_unknown_symbols_are_named_together() -> None:
    assert SymbolUnknown("NSE:A", "NSE:B").message == "'NSE:A', 'NSE:B' name no known instrument"
    assert SymbolUnknown("TCSS").message == "'TCSS' names no known instrument"


def test_a_bare_symbol_of_another_market_is_told_with_its_exchange() -> None:
    message = "'TCS' is not listed in this market; write NSE:TCS or BSE:TCS if that is meant"
    with pytest.raises(SymbolUnknown, match=message):
        DIRECTORY.resolve("TCS", Listing.UNITED_STATES)


@pytest.mark.parametrize(
    "symbol", ["AAPL", "NASDAQ:AAPL", "nse:tcs", "INDEX:NIFTY50", "FX:AAPL", "NSE:EURUSD", "XXXYYY"]
)
def test_among_currencies_only_a_pair_is_found_whatever_exchange_is_written(symbol: str) -> None:
    assert DIRECTORY.resolve("fx:eurusd", Listing.CURRENCIES) is EURUSD
    with pytest.raises(PairUnknown, match=f"'{symbol}' names no known currency pair"):
        DIRECTORY.resolve(symbol, Listing.CURRENCIES)


@pytest.mark.parametrize("listing", [Listing.UNSPECIFIED, Listing.INDIA, Listing.UNITED_STATES])
@pytest.mark.parametrize("instrument", [TCS, APPLE, EURUSD, NIFTY], ids=lambda each: each.id)
def test_elsewhere_an_exchange_that_is_written_decides(listing: Listing, instrument: Instrument) -> None:
    assert DIRECTORY.resolve(instrument.id, listing) is instrument


def test_the_instruments_of_exchanges_are_listed_in_the_directory_s_order() -> None:
    assert DIRECTORY.of_exchanges([]) == DIRECTORY.instruments
    listed = DIRECTORY.of_exchanges(["NASDAQ", "NSE"])
    assert listed == [each for each in DIRECTORY.instruments if each.exchange in ("NSE", "NASDAQ")]
    assert {each.exchange for each in listed} == {"NSE", "NASDAQ"}


def test_listing_an_exchange_there_is_not_is_refused() -> None:
    with pytest.raises(ExchangeUnknown, match=r"'LSE' names no exchange; it should be one of NSE, BSE, .* INDEX, FX"):
        DIRECTORY.of_exchanges(["NSE", "LSE"])


def test_an_id_is_read_in_any_case_and_needs_an_exchange() -> None:
    assert read_instrument_id("nse:tcs") == "NSE:TCS"
    for written in ("TCS", "LSE:TCS"):
        with pytest.raises(SymbolInvalid, match="its exchange is none of NSE"):
            read_instrument_id(written)
