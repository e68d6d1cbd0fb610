from datetime import date
from pathlib import Path

import pytest

from market.domain.corporate_actions import MAX_INSTRUMENTS, TooManyInstruments, list_splits
from market.domain.dates import DatesInvalid
from market.domain.splits import Split
from market.providers.splits.file import (
    KnownSplits,
    SplitsFileInvalid,
    SplitsFileUnreadable,
    parse_splits,
    read_splits,
)

HEADER = "instrument,ex_date,new_units,old_units"
BONUS = Split("NSE:TCS", date(2018, 5, 31), 2, 1, "file")
SPLIT = Split("NSE:IRCTC", date(2021, 10, 28), 5, 1, "file")
CONSOLIDATION = Split("BSE:ODD", date(2018, 5, 31), 1, 10, "file")


def test_rows_are_read_in_the_file_s_order() -> None:
    rows = [HEADER, "NSE:IRCTC,2021-10-28,5,1", "", " nse:tcs , 2018-05-31 , 2 , 1 ", "BSE:ODD,2018-05-31,1,10"]
    assert parse_splits(rows) == [SPLIT, BONUS, CONSOLIDATION]


def test_a_header_alone_is_an_empty_list() -> None:
    assert parse_splits(["Instrument, EX_DATE ,new_units,old_units"]) == []


@pytest.mark.parametrize(
    ("rows", "line", "problem"),
    [
        ([], 1, "the columns are nothing; they should be instrument,ex_date,new_units,old_units"),
        (["instrument,date,new,old"], 1, "the columns are 'instrument','date','new','old'"),
        ([HEADER, "NSE:TCS,2018-05-31,2"], 2, "it has 3 cells; it should have 4"),
        ([HEADER, "", "TCS,2018-05-31,2,1"], 3, "'TCS' is not a symbol: its exchange is none of NSE, BSE"),
        ([HEADER, "LSE:TCS,2018-05-31,2,1"], 2, "its exchange is none of"),
        ([HEADER, "NSE:T CS,2018-05-31,2,1"], 2, "'NSE:T CS' is not a symbol"),
        ([HEADER, "NSE:TCS,31-05-2018,2,1"], 2, "ex_date '31-05-2018' is not a day, YYYY-MM-DD"),
        ([HEADER, "NSE:TCS,2018-02-30,2,1"], 2, "ex_date '2018-02-30' is not a day"),
        ([HEADER, "NSE:TCS,2018-05-31,0,1"], 2, "new_units '0' is not a whole number from 1 to 1000000"),
        ([HEADER, "NSE:TCS,2018-05-31,2,-1"], 2, "old_units '-1' is not"),
        ([HEADER, "NSE:TCS,2018-05-31,2,1.5"], 2, "old_units '1.5' is not"),
        ([HEADER, "NSE:TCS,2018-05-31,2000000,1"], 2, "new_units '2000000' is not"),
        ([HEADER, "NSE:TCS,2018-05-31,2,\u0661"], 2, "old_units '\\\\u0661' is not"),
        ([HEADER, "NSE:TCS,2018-05-31,2,2"], 2, "both 2, which changes nothing"),
        (
            [HEADER, "NSE:TCS,2018-05-31,2,1", "NSE:A,2018-05-31,2,1", "nse:tcs,2018-05-31,3,1"],
            4,
            "NSE:TCS already has a row of 2018-05-31, line 2",
        ),
        ([HEADER, 'NSE:TCS,"2018"x,2,1'], 2, "it is not CSV"),
    ],
)
def test_a_row_that_is_wrong_is_named_by_its_line(rows: list[str], line: int, problem: str) -> None:
    with pytest.raises(SplitsFileInvalid, match=f"line {line} is not usable: .*{problem}") as raised:
        parse_splits(rows)
    assert raised.value.line == line


def test_a_file_is_read_with_or_without_a_mark_of_its_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        file = tmp_path / f"{encoding}.csv"
        file.write_text(f"{HEADER}\nNSE:TCS,2018-05-31,2,1\n", encoding=encoding)
        assert read_splits(file) == [BONUS]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitsFileUnreadable, match=r"none\.csv cannot be read: No such file or directory"):
        read_splits(tmp_path / "none.csv")
    file = tmp_path / "latin.csv"
    file.write_bytes(b"instrument\xe9")
    with pytest.raises(SplitsFileUnreadable, match="it is not UTF-8 text"):
        read_splits(file)


async def test_splits_are_listed_by_date_from_the_first_wanted_on() -> None:
    source = KnownSplits([SPLIT, BONUS, CONSOLIDATION])
    wanted = ["NSE:TCS", "NSE:IRCTC", "NSE:NOSUCH", "no symbol", "NSE:TCS"]
    assert await list_splits(source, wanted, "2018-05-31") == [BONUS, SPLIT]
    assert await list_splits(source, wanted, "2018-06-01") == [SPLIT]
    assert await list_splits(source, ["NSE:TCS", "BSE:ODD"], "2000-01-01") == [CONSOLIDATION, BONUS]
    assert await list_splits(source, [], "2000-01-01") == []


async def test_without_a_file_there_are_none() -> None:
    assert await list_splits(KnownSplits(), ["NSE:TCS"], "2000-01-01") == []


async def test_too_many_instruments_and_what_is_no_date_are_refused() -> None:
    assert await list_splits(KnownSplits(), ["NSE:TCS"] * MAX_INSTRUMENTS, "2000-01-01") == []
    with pytest.raises(TooManyInstruments, match="1001 instruments were asked about; at most 1000"):
        await list_splits(KnownSplits(), ["NSE:TCS"] * (MAX_INSTRUMENTS + 1), "2000-01-01")
    with pytest.raises(DatesInvalid, match="from_date is 'yesterday'"):
        await list_splits(KnownSplits(), ["NSE:TCS"], "yesterday")
