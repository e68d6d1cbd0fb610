import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.aliases import InstrumentNames
from market.domain.instrument_search import InstrumentSearch, QueryInvalid
from market.domain.instruments import InstrumentDirectory
from market.domain.limits import LimitInvalid
from market.providers.reference.listing import read_listing
from market.providers.reference.tables import read_identifiers

MASTER = InstrumentDirectory(each.instrument for each in read_listing())
SEARCH = InstrumentSearch(InstrumentNames(MASTER, read_identifiers()))


def found(query: str, limit: int = 0) -> list[str]:
    return [each.id for each in SEARCH.search(query, limit)]


def outcome(query: str) -> list[str]:
    try:
        return found(query)
    except QueryInvalid as error:
        return [error.message]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("aapl", "NASDAQ:AAPL"),
        ("apple", "NASDAQ:AAPL"),
        ("nse:tc", "NSE:TCS"),
        ("NSE:TCS", "NSE:TCS"),
        ("TCS.BO", "BSE:TCS"),
        ("kite:2953217", "NSE:TCS"),
        ("US0378331005", "NASDAQ:AAPL"),
        ("US037833", "NASDAQ:AAPL"),
        ("  tata consultancy ", "NSE:TCS"),
        ("estee lauder", "NYSE:EL"),
        ("consultancy tata", "NSE:TCS"),
        ("^GSPC", "INDEX:SP500"),
        ("EURUSD=X", "FX:EURUSD"),
    ],
)
def test_the_best_match_comes_first(query: str, first: str) -> None:
    assert found(query)[0] == first


def test_both_listings_of_an_isin_are_found() -> None:
    assert found("INE467B01029") == ["NSE:TCS", "BSE:TCS"]


def test_symbols_come_before_names_and_short_symbols_before_long_ones() -> None:
    answer = found("tata", 50)
    by_symbol = [each for each in answer if each.partition(":")[2].startswith("TATA")]
    assert answer[: len(by_symbol)] == by_symbol
    lengths = [len(each.partition(":")[2]) for each in by_symbol]
    assert lengths == sorted(lengths)
    assert "NSE:TCS" in answer[len(by_symbol) :]


def test_a_name_that_begins_so_comes_before_one_that_has_the_word_later() -> None:
    answer = found("industries", 50)
    assert answer
    assert found("reliance industries")[0] == "NSE:RELIANCE"
    names = [MASTER.resolve(each).name.upper() for each in found("general", 50)]
    begins = [name.startswith("GENERAL") for name in names]
    assert begins == sorted(begins, reverse=True)


def test_there_are_as_many_as_wanted_and_ten_when_nothing_is_said() -> None:
    assert len(found("a")) == 10
    assert len(found("a", 3)) == 3
    assert found("a", 50)[:3] == found("a", 3)
    assert found("zzzzqq") == []


@pytest.mark.parametrize("limit", [-1, 51])
def test_more_than_fifty_are_refused(limit: int) -> None:
    with pytest.raises(LimitInvalid):
        SEARCH.search("a", limit)


@pytest.mark.parametrize("query", ["", "   ", "a" * 65])
def test_what_nothing_can_be_looked_for_by_is_refused(query: str) -> None:
    with pytest.raises(QueryInvalid, match="the query"):
        SEARCH.search(query)


@given(query=st.text(max_size=70))
def test_whatever_is_written_the_answer_is_the_same_each_time(query: str) -> None:
    assert outcome(query) == outcome(query)


def test_a_search_of_the_whole_master_is_quick() -> None:
    started = time.process_time()
    for _ in range(20):
        SEARCH.search("tata motors passenger", 50)
    # Two milliseconds are wanted; ten let a busy machine pass and still tell a table that is built each time.
    assert (time.process_time() - started) / 20 < 0.010


@pytest.mark.parametrize("query", ["?!", "\u0301", "\u0924"])
def test_what_is_in_no_name_finds_nothing(query: str) -> None:
    assert found(query) == []
