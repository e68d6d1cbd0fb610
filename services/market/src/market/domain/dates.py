"""Days as callers write them."""

import re
from datetime import date

from chassis.errors import Code, ServiceError
from market.domain.instruments import shown

_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class DatesInvalid(ServiceError):
    """A date is not one, or two do not fit together."""

    code = Code.INVALID_ARGUMENT
    reason = "DATES_INVALID"


def read_date(name: str, text: str) -> date:
    """Read a date in the form `YYYY-MM-DD`; `name` is what the caller calls it.

    Raises:
        DatesInvalid: it has another form, or there is no such day.
    """
    try:
        return as_date(text)
    except ValueError as error:
        raise DatesInvalid(f"{name} is {shown(text)}; it should be a day, YYYY-MM-DD") from error


def as_date(text: str) -> date:
    """Return the day that `YYYY-MM-DD` means; no other form of ISO 8601 will do.

    Raises:
        ValueError: it has another form, or there is no such day.
    """
    if _FORM.fullmatch(text) is None:
        raise ValueError(text)
    return date.fromisoformat(text)
