"""Whatever is taken from clients is told back to them as it was taken."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.models.alerts import TargetPrice
from gateway.models.amounts import SURE_DIGITS, decimal_of, to_eight_decimals
from gateway.models.portfolios import Cost, Units
from gateway.reply import Money, Quantity, Reply

PRICE, UNITS, COST = TypeAdapter(TargetPrice), TypeAdapter(Units), TypeAdapter(Cost)
LARGEST = 999_999_999_999
HUGE = ["1e999999999", "-1e999999999", "1e999999999999999999", "0e999999999", "1e-999999999", "1e-999999999999999999"]


class Told(Reply):
    amount: Money
    quantity: Quantity


def told_back(amount: Decimal) -> list[Decimal]:
    """Return what a client that keeps numbers as they are written reads of an amount."""
    _, first, second = Told(amount=amount, quantity=amount).model_dump_json().rstrip("}").split(":")
    return [Decimal(first.partition(",")[0]), Decimal(second)]


@given(st.floats(min_value=1e-8, max_value=LARGEST))
def test_what_is_computed_in_binary_is_taken_and_told_back(computed: float) -> None:
    kept = to_eight_decimals(Decimal(repr(computed)))

    assert told_back(kept) == [kept, kept]


@given(st.decimals(min_value=Decimal("1e-8"), max_value=LARGEST, places=8))
def test_what_is_taken_is_told_back(written: Decimal) -> None:
    try:
        kept = to_eight_decimals(written)
    except ValueError:
        assert len(written.normalize().as_tuple().digits) > SURE_DIGITS
    else:
        assert told_back(kept) == [written, written]


@pytest.mark.parametrize("text", ["999999999999.99999999", "123456789012.12345678", "100000000000.00000001"])
def test_what_would_come_back_as_another_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at most 15 significant digits"):
        to_eight_decimals(Decimal(text))


@pytest.mark.parametrize("text", HUGE)
def test_no_exponent_is_too_much(text: str) -> None:
    amount = Decimal(text)

    assert UNITS.validate_python(amount) == COST.validate_python(amount)
    with pytest.raises(ValidationError, match="must be a"):
        PRICE.validate_python(amount)


@pytest.mark.parametrize("value", [True, "1", None, 1.0, []])
def test_what_is_no_number_is_no_amount(value: object) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        decimal_of(value)
