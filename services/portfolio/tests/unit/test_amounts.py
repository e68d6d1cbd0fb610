from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.domain.amounts import (
    difference,
    in_decimals,
    money,
    percent_of,
    plain,
    plus,
    product,
    scaled,
    total,
    trimmed,
)

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**14), max_value=10**14, places=10)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0.005", "0.00"),
        ("0.015", "0.02"),
        ("0.025", "0.02"),
        ("2.675", "2.68"),
        ("-0.001", "0.00"),
        ("-1.005", "-1.00"),
    ],
)
def test_money_rounds_half_even_and_knows_no_negative_zero(amount: str, expected: str) -> None:
    assert str(money(Decimal(amount))) == expected


def test_nothing_is_lost_before_a_figure_is_rounded() -> None:
    digits = Decimal(123456789012345678901234)
    assert product(digits, digits, digits) == Decimal(int(digits) ** 3)
    assert str(difference(product(digits, digits), Decimal("0.01")))[-3:] == ".99"


def test_a_percentage_of_nothing_is_unknown() -> None:
    assert percent_of(Decimal(5), Decimal("0.00")) is None
    assert percent_of(Decimal("2425.00"), Decimal("36000.00")) == Decimal("6.74")


def test_no_amounts_sum_to_nothing_in_two_decimals() -> None:
    assert plain(total([])) == "0.00"


def test_amounts_are_written_without_exponents_and_endless_fractions() -> None:
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(trimmed(Decimal("10.500"))) == "10.5"
    assert plain(trimmed(Decimal("0.000"))) == "0"
    assert plain(in_decimals(Fraction(3, 2))) == "1.5"
    assert plain(in_decimals(Fraction(4, 3))) == "1.333333333333"


@given(AMOUNTS, AMOUNTS)
def test_adding_and_subtracting_undo_each_other(amount: Decimal, other: Decimal) -> None:
    assert difference(plus(amount, other), other) == amount


@given(AMOUNTS, st.integers(1, 1_000), st.integers(1, 1_000))
def test_scaling_there_and_back_changes_no_paisa(amount: Decimal, new: int, old: int) -> None:
    there = scaled(amount, Fraction(new, old))
    assert money(scaled(there, Fraction(old, new))) == money(amount)


@given(st.permutations([Decimal(n).scaleb(-2) for n in (1, 99, -250, 10**12, 7, -7)]))
def test_sums_do_not_depend_on_the_order(amounts: list[Decimal]) -> None:
    assert total(amounts) == Decimal("9999999998.50") + Decimal("0.00")
