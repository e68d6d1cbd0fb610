import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.domain.alerts import AlertType
from alerts.domain.targets import PriceInvalid, format_target, parse_target, threshold_of

TARGETS = st.decimals(min_value="0.00000001", max_value="999999999999.99999999", places=8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("150.10", "150.10"),
        ("1", "1"),
        (".5", "0.5"),
        ("1e2", "1E+2"),
        ("1E-8", "1E-8"),
        ("999999999999.99999999", "999999999999.99999999"),
        ("00000000000000000001", "1"),
    ],
)
def test_a_decimal_above_zero_is_a_target(text: str, value: str) -> None:
    assert parse_target(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "-0.0",
        "0.000000001",
        "1.000000000",
        "1000000000000",
        "1e12",
        "1e999999999",
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "sNaN",
        "1_000",
        " 1",
        "1\n",
        "\u0661",
        "0x1",
        "1.2.3",
        "1,5",
        "--1",
        "1" * 100_000,
    ],
)
def test_anything_else_is_refused_and_shown_short(text: str) -> None:
    with pytest.raises(PriceInvalid) as refusal:
        parse_target(text)
    assert refusal.value.reason == "PRICE_INVALID"
    assert len(refusal.value.message) < 250
    assert "\n" not in refusal.value.message


def test_a_target_is_written_as_it_was_given_but_for_exponents() -> None:
    assert format_target(parse_target("150.10")) == "150.10"
    assert format_target(parse_target("1e2")) == "100"
    assert format_target(parse_target("1E-8")) == "0.00000001"


@pytest.mark.parametrize("alert_type", list(AlertType))
def test_a_tick_of_the_same_decimal_reaches_its_target(alert_type: AlertType) -> None:
    assert threshold_of(alert_type, Decimal("150.10")) == 150.1


@given(target=TARGETS, steps=st.integers(-3, 3))
@example(target=Decimal("123456789012.12345678"), steps=0)
@example(target=Decimal("123456789012.12345679"), steps=0)
@example(target=Decimal("0.00000001"), steps=0)
def test_comparing_doubles_decides_as_comparing_decimals_does(target: Decimal, steps: int) -> None:
    price = float(target)
    for _ in range(abs(steps)):
        price = math.nextafter(price, math.copysign(math.inf, steps))
    assert (price <= threshold_of(AlertType.BUY, target)) == (Decimal(repr(price)) <= target)
    assert (price >= threshold_of(AlertType.SELL, target)) == (Decimal(repr(price)) >= target)


@given(target=TARGETS, price=st.floats(min_value=1e-9, max_value=1e13))
def test_doubles_far_from_the_target_decide_as_decimals_do_too(target: Decimal, price: float) -> None:
    assert (price <= threshold_of(AlertType.BUY, target)) == (Decimal(repr(price)) <= target)
    assert (price >= threshold_of(AlertType.SELL, target)) == (Decimal(repr(price)) >= target)
