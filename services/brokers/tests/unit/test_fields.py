from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from brokers.providers.fields import AnswerUnreadable, Fields, listed


def fields(**row: Any) -> Fields:
    return Fields(row, where="row")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, "12"),
        (0.1, "0.1"),
        (161.0, "161.0"),
        (-0.5, "-0.5"),
        ("12.50", "12.50"),
        (" 2,700.05 ", "2700.05"),
        (5.684341886080802e-14, "0E-12"),
        (241.1764705882353, "241.176470588235"),
        (999999999999.5, "999999999999.5"),
        (0.30000000000000004, "0.300000000000"),
    ],
)
def test_numbers_are_read_as_they_are_written(value: Any, expected: str) -> None:
    assert str(fields(x=value).amount("x")) == expected


@pytest.mark.parametrize(
    "value", [True, "ten", "1_000", "nan", "Infinity", "-inf", float("nan"), float("inf"), 1e12, [], {}, "1.2.3", "0x1"]
)
def test_what_is_no_number_is_refused_without_being_repeated(value: Any) -> None:
    with pytest.raises(AnswerUnreadable) as caught:
        fields(x=value).optional_amount("x")
    assert str(caught.value) == "row.x is no number that can be true"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_absent_number_is_none_and_counts_as_no_units(value: Any) -> None:
    assert fields(x=value).optional_amount("x") is None
    assert fields(x=value).optional_owned("x") is None
    assert fields(x=value).price("x") is None
    assert fields(x=value).units("x") == 0
    with pytest.raises(AnswerUnreadable, match=r"row\.x is missing"):
        fields(x=value).amount("x")


def test_what_is_owned_is_never_below_0_and_a_price_never_0() -> None:
    assert fields(x="0").price("x") is None
    assert fields(x="0").optional_owned("x") == 0
    assert fields(x="2.5").price("x") == Decimal("2.5")
    for read in ("units", "price", "optional_owned"):
        with pytest.raises(AnswerUnreadable, match="below 0"):
            getattr(fields(x=-1), read)("x")


def test_words_are_short_and_printable() -> None:
    assert fields(x=" NSE ").word("x") == "NSE"
    assert fields().optional_word("x") is None
    for value in (5, "x" * 33, "line\nbreak", ["NSE"]):
        with pytest.raises(AnswerUnreadable, match="is no name"):
            fields(x=value).word("x")
    with pytest.raises(AnswerUnreadable, match="is missing"):
        fields(x="  ").word("x")


@pytest.mark.parametrize(
    "text", ["2026-11-24", "24-Nov-2026", "24-NOV-2026", "2026-11-24T06:00:00.000Z", "2026-11-24 00:00:00"]
)
def test_dates_come_in_many_forms(text: str) -> None:
    assert fields(x=text).day("x") == date(2026, 11, 24)


def test_no_date_is_none_and_nonsense_refused() -> None:
    assert fields(x=None).day("x") is None
    with pytest.raises(AnswerUnreadable, match="is no date"):
        fields(x="31-Feb-2026").day("x")


def test_flags_and_inner_objects() -> None:
    assert fields(x=True).is_set("x")
    assert not fields(x="true").is_set("x")
    assert fields(x=None).inner("x") is None
    inner = fields(x={"y": 1}).inner("x")
    assert inner is not None
    with pytest.raises(AnswerUnreadable, match=r"row\.x\.y is no name"):
        inner.word("y")
    with pytest.raises(AnswerUnreadable, match=r"row\.x is no object"):
        fields(x=[]).inner("x")


def test_a_list_of_anything_else_is_refused() -> None:
    assert len(listed([{}, {}], where="rows")) == 2
    with pytest.raises(AnswerUnreadable, match="rows is no list"):
        listed(None, where="rows")
    with pytest.raises(AnswerUnreadable, match=r"rows\[1\] is no object"):
        listed([{}, "row"], where="rows")
