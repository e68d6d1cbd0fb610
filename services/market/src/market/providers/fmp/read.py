"""Single values as Financial Modeling Prep writes them: numbers also as strings, the unknown as null, 0 or ""."""

import math
import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?Z?")
_MAX_WHOLE = 2**63
_LAST_MOMENT_SECONDS = 4_102_444_800  # the year 2100: beyond it, milliseconds are taken for seconds


def number(value: Any) -> float | None:
    """Return a finite number; None when it is none."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def price(value: Any) -> float | None:
    """Return a number above 0; None when it is none. The vendor writes 0 for prices that it does not have."""
    found = number(value)
    return found if found is not None and found > 0 else None


def whole(value: Any) -> int | None:
    """Return a count, to the nearest whole; None when it is none, or below 0."""
    found = number(value)
    return round(found) if found is not None and 0 <= found < _MAX_WHOLE else None


def text(value: Any) -> str | None:
    """Return a text without blanks around it or half characters, which JSON has of a text that was cut; else None."""
    return value.encode(errors="ignore").decode().strip() or None if isinstance(value, str) else None


def web_address(value: Any) -> str | None:
    """Return an address of the web; None when it is none."""
    found = text(value)
    return found if found is not None and found.lower().startswith(("https://", "http://")) else None


def truth(value: Any) -> bool | None:
    """Return yes or no; None when it is neither."""
    return value if isinstance(value, bool) else None


def day(value: Any) -> date | None:
    """Return a date, with or without a time after it; None when it is none."""
    found = _DAY.match(value) if isinstance(value, str) else None
    try:
        return None if found is None else date.fromisoformat(found[0])
    except ValueError:
        return None


def moment(value: Any, timezone: ZoneInfo) -> datetime | None:
    """Return a moment in UTC, written by a timezone's clock or, with a Z, in UTC; None when it is none."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=timezone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def epoch(value: Any, *, units_a_second: int = 1) -> datetime | None:
    """Return a moment written as a count since 1970; None when it is none."""
    found = number(value)
    if found is None or not 0 < found / units_a_second < _LAST_MOMENT_SECONDS:
        return None
    return datetime.fromtimestamp(found / units_a_second, UTC)
