from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from portfolio.messages.figures import (
    age_text,
    amount_text,
    change_text,
    moment_text,
    percent_text,
    price_text,
    quantity_text,
    short_text,
    tone_of,
)

NOW = datetime(2026, 3, 12, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("1234567.891", "INR", "₹12,34,567.89"),
        ("-100", "INR", "\N{MINUS SIGN}₹100.00"),
        ("-0.001", "USD", "$0.00"),
        ("1234567.895", "USD", "$1,234,567.90"),
        ("999", "EUR", "€999.00"),
        ("1234", "CHF", "CHF 1,234.00"),
    ],
)
def test_money_is_grouped_as_its_country_does(amount: str, currency: str, written: str) -> None:
    assert amount_text(Decimal(amount), currency) == written


def test_what_is_unknown_is_a_dash_and_never_zero() -> None:
    assert {amount_text(None, "INR"), price_text(None, "INR"), percent_text(None), change_text(None, "INR")} == {"—"}


def test_changes_have_signs() -> None:
    changes = [change_text(Decimal(each), "USD") for each in ("5", "-5", "0")]
    assert changes == ["+$5.00", "\N{MINUS SIGN}$5.00", "$0.00"]
    assert [percent_text(Decimal(each)) for each in ("1.25", "-1.25", "0.00", "12345.60")] == [
        "+1.25%",
        "\N{MINUS SIGN}1.25%",
        "0.00%",
        "+12,345.60%",
    ]
    assert [tone_of(None if each is None else Decimal(each)) for each in ("1", "-1", "0", None)] == [
        "up",
        "down",
        "flat",
        "flat",
    ]


def test_prices_and_quantities_keep_their_decimals() -> None:
    assert [price_text(Decimal(each), "USD") for each in ("5", "5.1", "0.123456", "1E+3")] == [
        "$5.00",
        "$5.10",
        "$0.123456",
        "$1,000.00",
    ]
    assert [quantity_text(Decimal(each)) for each in ("10.00", "-1234567.5", "1E+3")] == [
        "10",
        "\N{MINUS SIGN}1,234,567.5",
        "1,000",
    ]


@pytest.mark.parametrize(
    ("amount", "step", "currency", "written"),
    [
        ("1250000", "50000", "INR", "12.5 L"),
        ("20000000", "10000000", "INR", "2 Cr"),
        ("2500", "500", "INR", "2.5K"),
        ("2500000", "500000", "USD", "2.5M"),
        ("4000000000", "1000000000", "USD", "4B"),
        ("-3800", "200", "USD", "-3.8K"),
        ("0.25", "0.05", "USD", "0.25"),
        ("0", "100", "USD", "0"),
    ],
)
def test_an_axis_is_written_short(amount: str, step: str, currency: str, written: str) -> None:
    assert short_text(Decimal(amount), Decimal(step), currency) == written


def test_moments_are_indias_and_ages_are_round() -> None:
    assert moment_text(NOW) == "13 Mar 2026, 01:30 IST"
    ages = [age_text(NOW - timedelta(seconds=each), NOW) for each in (-5, 59, 60, 7_199, 86_400 * 3 + 5)]
    assert ages == ["now", "now", "1 min old", "1 h old", "3 d old"]
