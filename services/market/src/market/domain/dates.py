"""Days as callers write them."""

import re
from datetime import date, timedelta

from chassis.errors import Code, ServiceError
from market.domain.instruments import shown

_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
DAY = timedelta(days=1)


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


def read_stretch(
    from_date: str, to_date: str, *, today: date, place: str, usual: timedelta, longest: timedelta | None = None
) -> tuple[date, date]:
    """Return the first and the last day of a stretch.

    Tomorrow may be a first day without a last one, and is then both: it is today already farther east, where somebody
    asks for what has been since.

    Args:
        from_date: the first day, `YYYY-MM-DD`; empty for `usual` before the last, or before `today` if that is earlier.
        to_date: the last day; empty for `today`, or for `longest` after the first if that is earlier.
        today: what today is.
        place: where it is that, such as `New York`.
        usual: how long a stretch is without a first day.
        longest: how long it may be; None for any length.

    Raises:
        DatesInvalid: one is not a date, or they are the wrong way round or too far apart.
    """
    last = read_date("to_date", to_date) if to_date else today
    first = read_date("from_date", from_date) if from_date else max(date.min + usual, min(last, today)) - usual
    if not to_date:
        last = _end_of(first, today=today, place=place, longest=longest)
    check_stretch(first, last, longest)
    return first, last


def _end_of(first: date, *, today: date, place: str, longest: timedelta | None) -> date:
    """Return the last day of a stretch that names only its first."""
    if first - today > DAY:
        raise DatesInvalid(f"from_date {first} is after today ({today} in {place}); it should be {today + DAY} at most")
    if longest is not None and today - first > longest:
        return first + longest
    return max(first, today)


def check_stretch(first: date, last: date, longest: timedelta | None = None) -> None:
    """Make sure that two days are in order, and not farther apart than `longest`.

    Raises:
        DatesInvalid: they are not.
    """
    if last < first:
        raise DatesInvalid(f"from_date {first} is after to_date {last}; it should be the earlier")
    if longest is not None and last - first > longest:
        days = (last - first).days
        raise DatesInvalid(f"to_date is {days} days after from_date; it should be at most {longest.days}")
