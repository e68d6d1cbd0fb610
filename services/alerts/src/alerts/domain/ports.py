"""What the domain needs from outside; storage, providers and the feed supply it."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Protocol

from alerts.domain.alerts import Alert, AlertType
from alerts.domain.checkpoint import Checkpoint, Progress
from alerts.domain.positions import Position
from alerts.domain.watch import Candidate


class AlertStore(Protocol):
    """Keeps alerts; what it has saved survives a crash."""

    async def find(self, user_id: str, alert_type: AlertType, instrument: str) -> Alert | None:
        """Return the one alert of a user, type and instrument; None when there is none."""
        ...

    async def count(self, user_id: str) -> int:
        """Count a user's alerts, fired ones too."""
        ...

    async def list_of(self, user_id: str) -> Sequence[Alert]:
        """Return a user's alerts, fired ones too, oldest first."""
        ...

    async def save(self, alert: Alert, *, replaces: Alert | None) -> None:
        """Save a new alert, or the next generation of one.

        Raises:
            AlertChanged: nothing was saved, because somebody else has saved this alert meanwhile.
        """
        ...

    def armed(self) -> AsyncIterator[Sequence[Alert]]:
        """Yield all armed alerts that have a position, in portions, those of an instrument together."""
        ...

    async def arm_waiting(
        self, position: Position, *, at: datetime, watch: Callable[[Sequence[Alert]], None]
    ) -> Sequence[Alert]:
        """Arm a portion of the alerts without a position, record that they were not evaluated, and return them.

        They are handed to `watch` before they are committed, since whether a commit that failed has happened is not
        known.
        """
        ...


class FireStore(Protocol):
    """Commits fires."""

    async def fire(self, candidates: Sequence[Candidate], *, committed_at: datetime) -> Sequence[Alert]:
        """Fire those of the candidates that are still armed, with their events, all in one transaction.

        Returns:
            The alerts that fired, in the order of the candidates.
        """
        ...


class ProgressStore(Protocol):
    """Keeps how far ticks were evaluated."""

    async def load(self, *, now: datetime) -> Checkpoint:
        """Return the last checkpoint; the first time ever, one that begins now and has evaluated nothing."""
        ...

    async def save(self, progress: Progress) -> None:
        """Save a checkpoint and what is missing in front of it, both or neither."""
        ...


class TickStream(Protocol):
    """The stream of ticks."""

    async def latest(self) -> Position | None:
        """Return the position behind the stream's last message; None when it cannot be asked now."""
        ...


class InstrumentSource(Protocol):
    """Knows what symbols mean."""

    async def resolve(self, symbol: str) -> str:
        """Return the instrument, `EXCHANGE:SYMBOL`, that a symbol means; a bare one means a US listing.

        Raises:
            SymbolInvalid: it cannot be a symbol.
            SymbolUnknown: it names nothing.
            SymbolAmbiguous: it names several.
            InstrumentsUnavailable: nobody answers.
        """
        ...
