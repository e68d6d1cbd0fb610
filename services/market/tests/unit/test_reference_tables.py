import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[4] / "scripts/reference.py"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_that_ship_are_in_order(reference: ModuleType) -> None:
    assert reference.problems(reference.read_tables()) == []


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("instruments.price", "0", "is not a positive number"),
        ("instruments.sector", "", "a share has a sector"),
        ("instruments.source", "hearsay", "names the unknown source hearsay"),
        ("aliases.isin", "US0378331006", "is no ISIN"),
        ("aliases.isin_source", "", "an alias and its source come together"),
        ("aliases.instrument", "NSE:NOSUCH", "is no instrument"),
        ("constituents.instrument", "NYSE:NOSUCH", "is no instrument"),
        ("constituents.cik", "320193", "is no CIK"),
        ("constituents.date_first_added", "today", "is no day"),
        ("sources.as_of", "2026", "is no day"),
    ],
)
def test_what_is_wrong_is_found(reference: ModuleType, place: str, value: str, problem: str) -> None:
    tables = reference.read_tables()
    table, _, column = place.partition(".")
    row = next(each for each in tables[table] if each.get("isin", "x") and each.get("sector", "x"))
    row[column] = value
    assert any(problem in each for each in reference.problems(tables))


def test_what_comes_twice_or_is_missing_is_found(reference: ModuleType) -> None:
    tables = reference.read_tables()
    tables["instruments"].append(tables["instruments"][-1])
    tables["constituents"] = [row for row in tables["constituents"] if row["index"] != "DJI"]
    apple, other = (row for row in tables["aliases"] if row["instrument"] in ("NASDAQ:AAPL", "NASDAQ:MSFT"))
    other["isin"] = apple["isin"]
    found = reference.problems(tables)
    for problem in ("2 times the instrument", "DJI: has 0 constituents", f"{apple['isin']}: 2 times the ISIN"):
        assert any(problem in each for each in found)


@pytest.mark.parametrize(
    ("text", "seat"),
    [
        ("Googleplex , Mountain View, California , United States", "Mountain View, California"),
        ("Aflac Building Columbus, Georgia , U.S.", "Columbus, Georgia"),
        ("Dublin , Ireland", "Dublin, Ireland"),
        ("55 Water Street , New York City , U.S.", "New York City, New York"),
        ("Seattle , Washington, and Arlington County, Virginia , U.S.", "Seattle, Washington"),
        ("Boise, Idaho , U.S. 43.61°N 116.20°W", "Boise, Idaho"),
        ("Ottawa , Ontario, Canada", "Ottawa, Canada"),
        ("No headquarters : 16", ""),
        ("", ""),
    ],
)
def test_a_seat_is_a_town_and_its_state_or_country(reference: ModuleType, text: str, seat: str) -> None:
    assert reference.head_quarter(text) == seat


def test_the_year_of_founding_is_the_first_one_named(reference: ModuleType) -> None:
    assert reference.founded("April 1, 1976 (49 years ago) ( 1976-04-01 ) , in Los Altos") == "1976"
    assert reference.founded("long ago") == ""


def test_lists_and_dumps_are_read_as_their_makers_publish_them(reference: ModuleType) -> None:
    tables = reference.read_tables()
    listed = [{"Symbol": "TCS", "ISIN Code": "INE467B01029"}]
    assert reference.indian_isins(tables, listed) == {"NSE:TCS": "INE467B01029", "BSE:TCS": "INE467B01029"}
    assert [row["instrument"] for row in reference.index_rows(tables, "SENSEX", listed, "a-source")] == ["BSE:TCS"]
    dump = [
        {"instrument_token": "2953217", "tradingsymbol": "TCS", "instrument_type": "EQ"}
        | {"segment": "NSE", "exchange": "NSE"},
        {"instrument_token": "256265", "tradingsymbol": "NIFTY 50", "instrument_type": "EQ"}
        | {"segment": "INDICES", "exchange": "NSE"},
        {"instrument_token": "1", "tradingsymbol": "TCS26NOVFUT", "instrument_type": "FUT"}
        | {"segment": "NFO-FUT", "exchange": "NFO"},
    ]
    tokens = reference.kite_tokens(tables, dump)
    assert tokens == {"NSE:TCS": "2953217", "INDEX:NIFTY50": "256265"}
    fresh = reference.with_aliases([], "kite_token", tokens, "a-source")
    assert {row["instrument"]: row["kite_source"] for row in fresh} == dict.fromkeys(tokens, "a-source")
