"""Target prices: which ones can be asked for, and how a tick's double is compared with a decimal."""

import math
from decimal import Decimal, InvalidOperation

from alerts.domain.alerts import AlertType
from chassis.errors import Code, ServiceError

MAX_DIGITS_BEFORE_POINT = 12
MAX_DIGITS_AFTER_POINT = 8
MAX_LENGTH = 40
_CHARACTERS = frozenset("0123456789.eE+-")


class PriceInvalid(ServiceError):
    """The target is not a price that an alert can wait for."""

    code = Code.INVALID_ARGUMENT
    reason = "PRICE_INVALID"

    def __init__(self, text: str) -> None:
        shown = ascii(text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + "...")
        super().__init__(
            f"{shown} is not a price: a decimal above 0 is needed, with at most {MAX_DIGITS_BEFORE_POINT} digits "
            f"before and {MAX_DIGITS_AFTER_POINT} after the point"
        )


def parse_target(text: str) -> Decimal:
    """Read a target price.

    Raises:
        PriceInvalid: it is no decimal, not finite, not above 0, or has too many digits.
    """
    if len(text) > MAX_LENGTH or not _CHARACTERS.issuperset(text):
        raise PriceInvalid(text)
    try:
        target = Decimal(text)
    except InvalidOperation:
        raise PriceInvalid(text) from None
    exponent = target.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_DIGITS_AFTER_POINT:
        raise PriceInvalid(text)
    if target <= 0 or target.adjusted() >= MAX_DIGITS_BEFORE_POINT:
        raise PriceInvalid(text)
    return target


def format_target(target: Decimal) -> str:
    """Write a target price without an exponent, keeping the digits it was given with."""
    return f"{target:f}"


def threshold_of(alert_type: AlertType, target: Decimal) -> float:
    """Return the double to compare ticks with, so that comparing doubles decides as comparing decimals would.

    A tick's price was a decimal before it became the nearest double; the decimal it stands for is the shortest one that
    reads back as that double, which is what `repr` writes. `repr` orders as the doubles do, so a tick's decimal is at
    most the target exactly when the tick is at most the largest double whose `repr` is at most the target. That double
    is a buy's threshold, and the smallest double whose `repr` is at least the target is a sell's. For a target of up to
    15 digits both are the nearest double: 150.10 is reached by a tick of 150.1.
    """
    nearest = float(target)
    written = Decimal(repr(nearest))
    if alert_type is AlertType.BUY and written > target:
        return math.nextafter(nearest, -math.inf)
    if alert_type is AlertType.SELL and written < target:
        return math.nextafter(nearest, math.inf)
    return nearest
