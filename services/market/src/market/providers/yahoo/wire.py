"""Values as Yahoo's JSON has them: numbers that are words or NaN, moments in seconds, lists that are null."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from market.domain.capabilities import NothingKnown
from market.domain.quote_sources import SourceRefused

Wire = Mapping[str, Any]

_MOST = 2**63
_NOTHING = ("not found", "no data found", "data doesn't exist", "no fundamentals data found")


class AnswerUnreadable(SourceRefused):
    """An answer has not the shape that it should have."""

    def __init__(self) -> None:
        super().__init__("answered what cannot be read")


def result_of(answer: object, envelope: str) -> Sequence[Wire]:
    """Return the results in an answer's envelope; none when it has none.

    Raises:
        NothingKnown: the envelope says that there is nothing on what was asked.
        SourceRefused: it says something else that went wrong.
        AnswerUnreadable: there is no such envelope.
    """
    content = mapping(answer).get(envelope)
    if not isinstance(content, Mapping):
        raise AnswerUnreadable
    if content.get("error"):
        raise _refusal(mapping(content["error"]))
    result = content.get("result")
    if result is not None and not isinstance(result, list):
        raise AnswerUnreadable
    return rows(result)


def _refusal(error: Wire) -> Exception:
    told = f"{error.get('code')} {error.get('description')}".lower()
    if any(each in told for each in _NOTHING):
        return NothingKnown()
    return SourceRefused("refused the question")


def mapping(value: object) -> Wire:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def rows(value: object) -> Sequence[Wire]:
    """Return the objects of a list; none for anything else."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def number(value: object) -> float | None:
    """Return a finite number, bare or as `{raw, fmt}`; None for anything else."""
    if isinstance(value, Mapping):
        value = value.get("raw")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def price(value: object) -> float | None:
    """Return a number above 0; Yahoo writes 0 for what it does not know."""
    found = number(value)
    return found if found is not None and found > 0 else None


def count(value: object) -> int | None:
    """Return a whole number from 0 on, of as many as fit into 63 bits."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < _MOST else None


def text(value: object) -> str | None:
    """Return a text that says something, without half characters: where a text was cut, JSON may have some."""
    return value.encode(errors="ignore").decode().strip() or None if isinstance(value, str) else None


def moment(value: object) -> datetime | None:
    """Return the moment of a number of seconds since 1970, of this millennium or the last."""
    seconds = number(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def moment_of_text(value: object) -> datetime | None:
    """Return the moment that ISO 8601 with an offset writes."""
    try:
        read = datetime.fromisoformat(text(value) or "")
    except ValueError:
        return None
    return read.astimezone(UTC) if read.tzinfo is not None else None
