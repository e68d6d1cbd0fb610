from datetime import date
from decimal import Decimal

import pytest

from portfolio.domain.row_fields import RowFields, RowsInvalid, require_countable

FIELDS = RowFields("holdings[3]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("-12.50", "-12.50"),
        ("1234.5600000000001", "1234.5600000000001"),
        ("9" * 24, "9" * 24),
        ("0." + "1" * 23, "0." + "1" * 23),
        ("1E+3", "1000"),
        ("1e-7", "0.0000001"),
        ("+5", "5"),
    ],
)
def test_a_finite_decimal_is_read(text: str, expected: str) -> None:
    assert FIELDS.amount("pnl", text) == Decimal(expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1,000", "NaN", "Infinity", "-Infinity", "sNaN", "9" * 25, "1E+24", "1E-24", "1e999999"),
        *("0x10", "1_0", "٣", "1.2.3", "-", "0" * 65, "0." + "1" * 24),
    ],
)
def test_what_is_no_decimal_of_24_digits_is_refused_by_name(text: str) -> None:
    with pytest.raises(RowsInvalid, match=r"^holdings\[3\]\.pnl: a finite decimal of at most 24 digits") as refused:
        FIELDS.amount("pnl", text)
    assert refused.value.reason == "ROWS_INVALID"


def test_what_is_absent_stays_absent() -> None:
    assert FIELDS.optional_amount("pnl", None) is None
    assert FIELDS.optional_owned_amount("average_price", None) is None
    assert FIELDS.optional_word("isin", None) is None
    assert FIELDS.optional_date("expiry", None) is None


def test_what_is_given_is_read() -> None:
    assert FIELDS.optional_amount("pnl", "-1") == -1
    assert FIELDS.optional_owned_amount("average_price", "0") == 0
    assert FIELDS.optional_word("isin", "INE0") == "INE0"
    assert FIELDS.optional_date("expiry", "2026-03-26") == date(2026, 3, 26)
    assert FIELDS.positive_amount("multiplier", "0.5") == Decimal("0.5")


def test_units_are_not_below_0_and_multipliers_above() -> None:
    with pytest.raises(RowsInvalid, match="quantity: it is below 0"):
        FIELDS.owned_amount("quantity", "-0.01")
    with pytest.raises(RowsInvalid, match="multiplier: it is not above 0"):
        FIELDS.positive_amount("multiplier", "0")


@pytest.mark.parametrize("text", ["", "x" * 33, "a\nb", "a\x00"])
def test_words_are_printable_and_bounded(text: str) -> None:
    with pytest.raises(RowsInvalid, match="exchange: 1 to 32 printable characters"):
        FIELDS.word("exchange", text)


@pytest.mark.parametrize("text", ["", "26-03-2026", "20260326", "2026-02-30", "2026-W13-4"])
def test_a_date_is_written_one_way(text: str) -> None:
    with pytest.raises(RowsInvalid, match="expiry: a date, YYYY-MM-DD"):
        FIELDS.optional_date("expiry", text)


def test_a_broker_has_at_most_5000_rows() -> None:
    require_countable("holdings", range(5_000))
    with pytest.raises(RowsInvalid, match="holdings: there are 5001 rows, more than 5000"):
        require_countable("holdings", range(5_001))
