"""Decimals that clients send, and in which form they are kept: one in which they can be told back.

A client may write any exponent, so nothing here computes with a decimal before its size is known.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

SMALLEST = Decimal("0.00000001")
SURE_DIGITS = 15
DIGITS = (
    f"Rounded to eight decimals; refused if a double cannot say it, as it can any {SURE_DIGITS} significant digits."
)


def decimal_of(value: Any) -> Decimal:
    """Return a JSON number as the decimal that was written.

    Raises:
        ValueError: it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004  # pydantic reports ValueError alone
    return Decimal(value)


def to_eight_decimals(amount: Decimal) -> Decimal:
    """Round an amount of at most 12 digits before the point: what is computed in binary has digits nobody meant.

    Raises:
        ValueError: answers, whose numbers are doubles to most who read them, would say another amount.
    """
    rounded = amount.quantize(SMALLEST, ROUND_HALF_EVEN)
    if Decimal(repr(float(rounded))) != rounded:
        raise ValueError(f"must have at most {SURE_DIGITS} significant digits, more do not come back as they were sent")
    return rounded
