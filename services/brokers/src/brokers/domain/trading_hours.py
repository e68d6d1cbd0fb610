"""When the Indian exchanges trade, as far as somebody has told; beyond that the answer is None, never a guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TradingSession:
    """One trading day.

    Attributes:
        opens_at: its first moment.
        closes_at: the first moment after it.
    """

    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class TradingHours:
    """All sessions between two moments.

    Attributes:
        known_from: the first moment they are known for.
        known_until: the first moment they are not known for any more.
        sessions: they, in any order.
    """

    known_from: datetime
    known_until: datetime
    sessions: Sequence[TradingSession]

    def knows(self, moment: datetime) -> bool:
        """Say whether it is known what happens at `moment`."""
        return self.known_from <= moment < self.known_until

    def session_at(self, moment: datetime) -> TradingSession | None:
        """Return the session that runs at `moment`; None when none runs or it is not known."""
        return next((each for each in self.sessions if each.opens_at <= moment < each.closes_at), None)
