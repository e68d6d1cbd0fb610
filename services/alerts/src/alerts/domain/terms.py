"""What an alert can carry beside its price: a note, and a moment at which it ends."""

import unicodedata
from datetime import UTC, datetime

from chassis.errors import Code, ServiceError

MAX_NOTE_LENGTH = 500
LATEST_EXPIRY = datetime(2200, 1, 1, tzinfo=UTC)
_LINE_BREAKS = "\n\t"


class NoteInvalid(ServiceError):
    """The note is too long, or holds what is no text."""

    code = Code.INVALID_ARGUMENT
    reason = "NOTE_INVALID"

    def __init__(self) -> None:
        super().__init__(f"a note has up to {MAX_NOTE_LENGTH} characters and no control characters but line breaks")


class ExpiryInvalid(ServiceError):
    """No alert can end then."""

    code = Code.INVALID_ARGUMENT
    reason = "EXPIRY_INVALID"

    def __init__(self, problem: str = "an alert expires later than now and before the year 2200") -> None:
        super().__init__(problem)


def read_note(text: str | None) -> str | None:
    """Return a note without the space around it; None when nothing is left.

    Raises:
        NoteInvalid: it is too long or holds control characters.
    """
    note = (text or "").strip()
    if len(note) > MAX_NOTE_LENGTH or any(_is_control(character) for character in note):
        raise NoteInvalid
    return note or None


def require_expiry(moment: datetime | None, *, now: datetime) -> datetime | None:
    """Return the moment at which an alert is to end.

    Raises:
        ExpiryInvalid: it is not later than now, or too far away.
    """
    if moment is not None and not now < moment < LATEST_EXPIRY:
        raise ExpiryInvalid
    return moment


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and character not in _LINE_BREAKS
