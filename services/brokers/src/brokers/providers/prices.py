"""Reads the numbers and times of brokers' prices; what cannot be a price is none."""

import math
from datetime import UTC, datetime
from typing import Any

from brokers.domain.sessions import INDIA


def price_of(value: Any) -> float | None:
    """Return a price, given as a number or as text; None when it is not one or not above 0."""
    number = _number(value)
    return number if number is not None and number > 0 else None


def volume_of(value: Any) -> int | None:
    """Return a number of units, given as a number or as text; None when it is not one or below 0."""
    number = _number(value)
    return int(number) if number is not None and number >= 0 else None


def indian_time(text: Any, form: str) -> datetime | None:
    """Return a time that India's clocks showed, in UTC; None when `text` does not have the form."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=INDIA).astimezone(UTC)
    except (TypeError, ValueError):
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
