"""A price alert: whose it is, what it waits for, and what became of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from alerts.domain.positions import Position
from chassis.errors import Code, ServiceError


class AlertChanged(ServiceError):
    """Somebody else was setting the same alert at the same moment."""

    code = Code.ABORTED
    reason = "ALERT_CHANGED"

    def __init__(self) -> None:
        super().__init__("the alert was changed by another request at the same moment; try again")


class AlertNotFound(ServiceError):
    """The user has no such alert."""

    code = Code.NOT_FOUND
    reason = "ALERT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no alert of this type and symbol")


class AlertType(StrEnum):
    """Which way a price has to go for an alert to fire."""

    BUY = "buy"
    SELL = "sell"


class Freshness(StrEnum):
    """How far a price can be relied on to be the current one."""

    LIVE = "LIVE"
    DELAYED = "DELAYED"
    STALE = "STALE"
    CLOSED = "CLOSED"
    SIMULATED = "SIMULATED"


@dataclass(frozen=True, slots=True)
class FiringPrice:
    """The price that fired an alert and where it comes from.

    Attributes:
        at: when the price was made.
        price: the traded price, in the instrument's currency.
        source: names the source of the tick.
        freshness: how far the price could be relied on.
    """

    at: datetime
    price: float
    source: str
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of one user; user, type and instrument identify it, too.

    Attributes:
        id: identifies it for as long as it exists.
        user_id: its owner.
        type: buy fires at or below the price, sell at or above it.
        instrument: `EXCHANGE:SYMBOL`.
        symbol: the symbol in the form its owner wrote it, upper case.
        price: the target, above 0, in the instrument's currency.
        generation: counts how often it was armed, from 1; each arming fires at most once.
        created_at: when it was made.
        updated_at: when its price was last replaced; None when never.
        armed: the position whose following ticks can fire it; None while it is not known, because the stream of ticks
            could not be asked when the alert was set.
        fired: what fired the current generation; None while it is armed.
        armed_at: the time of the last tick evaluated when it was armed, in the ticks' time; None when not known.
        note: what its owner noted; None when nothing.
        expires_at: the last moment, in the ticks' time, whose ticks fire it; None when it does not end.
        has_expired: whether it ended without firing.
    """

    id: int
    user_id: str
    type: AlertType
    instrument: str
    symbol: str
    price: Decimal
    generation: int
    created_at: datetime
    updated_at: datetime | None = None
    armed: Position | None = None
    fired: FiringPrice | None = None
    armed_at: datetime | None = None
    note: str | None = None
    expires_at: datetime | None = None
    has_expired: bool = False

    @property
    def set_at(self) -> datetime:
        """Return when its owner set it last, by our clock."""
        return self.updated_at or self.created_at

    def is_past(self, moment: datetime) -> bool:
        """Say whether a moment is later than its expiry."""
        return self.expires_at is not None and moment > self.expires_at

    def as_of(self, now: datetime) -> "Alert":
        """Return it as its owner is to see it by our clock: behind its expiry it has ended, if it has not fired.

        In the database it ends once a later tick was evaluated: until then one from before can still fire it.
        """
        if self.fired is None and self.is_past(now):
            return replace(self, has_expired=True)
        return self

    def with_terms(self, *, note: str | None, expires_at: datetime | None) -> "Alert":
        """Return it with a note and an expiry."""
        return replace(self, note=note, expires_at=expires_at)

    def set_again(
        self,
        *,
        symbol: str,
        price: Decimal,
        at: datetime,
        note: str | None = None,
        expires_at: datetime | None = None,
    ) -> "Alert":
        """Return the next generation of this alert, on other terms; it has no position yet."""
        return replace(
            self,
            symbol=symbol,
            price=price,
            generation=self.generation + 1,
            updated_at=at,
            armed=None,
            fired=None,
            armed_at=None,
            note=note,
            expires_at=expires_at,
            has_expired=False,
        )
