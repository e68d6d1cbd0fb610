"""What has fired: each fire with the ticks that prove it, in pages, newest first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from alerts.domain.alerts import AlertType
from alerts.domain.tape import EvaluatedTick
from chassis.errors import Code, ServiceError

MAX_FIRES = 50
DEFAULT_FIRES = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MICROSECONDS = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_WRITTEN = re.compile(r"([0-9]{1,16})-([0-9]{1,19})-([0-9]{1,10})", re.ASCII)


class LimitInvalid(ServiceError):
    """So many fires are not answered at once."""

    code = Code.INVALID_ARGUMENT
    reason = "LIMIT_INVALID"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} fires cannot be asked for: 1 to {MAX_FIRES} can")


class CursorInvalid(ServiceError):
    """What was given as a cursor is none that was answered."""

    code = Code.INVALID_ARGUMENT
    reason = "CURSOR_INVALID"

    def __init__(self) -> None:
        super().__init__("the cursor is none of ours: give back `next_cursor` of the answer before, or nothing")


@dataclass(frozen=True, slots=True)
class Fire:
    """One fire and what proves it.

    Attributes:
        alert_id: identifies the alert.
        generation: which of its armings fired.
        type: which way the price had to go.
        instrument: `EXCHANGE:SYMBOL`.
        symbol: the symbol in the form its owner wrote it.
        price: the target.
        tick: the tick that fired it.
        before: the tick of the instrument evaluated before it, on the other side of the price; None when it was the
            first since the arming, or what came before is not known.
        committed_at: when it was committed, by our clock.
        crossed_during_gap: whether the tick came while nobody evaluated ticks, and was evaluated afterwards.
        note: what its owner had noted; None when nothing.
    """

    alert_id: int
    generation: int
    type: AlertType
    instrument: str
    symbol: str
    price: Decimal
    tick: EvaluatedTick
    before: EvaluatedTick | None
    committed_at: datetime
    crossed_during_gap: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class FireCursor:
    """A place among a user's fires: behind the one that was committed then, of this alert and generation."""

    committed_at: datetime
    alert_id: int
    generation: int

    @classmethod
    def behind(cls, fire: Fire) -> "FireCursor":
        """Return the place behind a fire."""
        return cls(fire.committed_at, fire.alert_id, fire.generation)

    @classmethod
    def read(cls, text: str) -> "FireCursor | None":
        """Read what `written` wrote; nothing means the newest.

        Raises:
            CursorInvalid: it is something else.
        """
        if not text:
            return None
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise CursorInvalid
        microseconds, alert_id, generation = map(int, match.groups())
        if microseconds > _LATEST_MICROSECONDS or alert_id >= 1 << 63 or generation >= 1 << 31:
            raise CursorInvalid
        return cls(_EPOCH + timedelta(microseconds=microseconds), alert_id, generation)

    @property
    def written(self) -> str:
        """Return it as the text that clients give back."""
        microseconds = (self.committed_at - _EPOCH) // timedelta(microseconds=1)
        return f"{microseconds}-{self.alert_id}-{self.generation}"


@dataclass(frozen=True, slots=True)
class FirePage:
    """Some fires, newest first; `next_cursor` is None when nothing is left."""

    fires: Sequence[Fire]
    next_cursor: FireCursor | None


def page_size(limit: int) -> int:
    """Return how many fires to answer with; 0 asks for as many as are usual.

    Raises:
        LimitInvalid: it is less than that or too many.
    """
    if not 0 <= limit <= MAX_FIRES:
        raise LimitInvalid(limit)
    return limit or DEFAULT_FIRES


def page_of(fires: Sequence[Fire], size: int) -> FirePage:
    """Return the first `size` of fires, of which one more was read to see whether something is left."""
    if len(fires) <= size:
        return FirePage(fires, None)
    return FirePage(fires[:size], FireCursor.behind(fires[size - 1]))
