"""What the domain needs from outside; storage, providers and the feed supply it."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from alerts.domain.alerts import Alert, AlertType
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.continuity import NotEvaluated, Standing
from alerts.domain.deliveries import Contact, Delivery, FireId, MailTry, Outcome, WaitingMails
from alerts.domain.fires import Fire, FireCursor
from alerts.domain.leases import Lease, Share
from alerts.domain.matcher import Entry
from alerts.domain.positions import Position
from alerts.domain.watch import Candidate


class AlertStore(Protocol):
    """Keeps alerts; what it has saved survives a crash."""

    async def find(self, user_id: str, alert_type: AlertType, instrument: str) -> Alert | None:
        """Return the one alert of a user, type and instrument; None when there is none."""
        ...

    async def find_written(self, user_id: str, alert_type: AlertType, symbol: str) -> Alert | None:
        """Return a user's alert of a type whose owner wrote the symbol, or whose instrument is called, like this."""
        ...

    async def count(self, user_id: str) -> int:
        """Count a user's alerts, fired ones too."""
        ...

    async def list_of(self, user_id: str) -> Sequence[Alert]:
        """Return a user's alerts, fired ones too, oldest first."""
        ...

    async def save(self, alert: Alert, *, replaces: Alert | None, lease: Lease | None) -> None:
        """Save a new alert, or the next generation of one.

        Args:
            alert: the alert.
            replaces: the generation it was made from; None for a new one.
            lease: under which it is watched for; None when whoever holds its shard is still to take it up.

        Raises:
            AlertChanged: nothing was saved, because somebody else has saved this alert meanwhile.
            LeaseLost: nothing was saved, because it is not watched for any more.
            AccountDeleted: nothing was saved, because its owner's account ended, not before it was set.
        """
        ...

    async def delete(self, alert_id: int) -> Alert | None:
        """Delete an alert and return it as it was in the end; None when it was gone. Its fires stay."""
        ...

    async def delete_of(self, user_id: str, alert_type: AlertType | None) -> Sequence[Alert]:
        """Delete a user's alerts, of one type or all, and return them as they were in the end. Their fires stay."""
        ...

    async def delete_user(self, user_id: str, *, through: datetime) -> Sequence[Alert]:
        """Delete what a user set up to a moment and what came of it, refuse what is set late, return the alerts."""
        ...

    def overdue(self, moment: datetime, *, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        """Yield the armed alerts of some shards whose expiry is earlier than a moment, in portions.

        Those that are still to be taken up are left out.
        """
        ...

    async def expire(self, alerts: Sequence[tuple[Lease, Alert]]) -> None:
        """End those of the alerts that are still armed as they were read, and whose lease is still held."""
        ...

    def armed(self, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        """Yield all armed alerts of some shards, in portions, those of an instrument together.

        Those that are still to be taken up are left out.
        """
        ...

    async def waiting(self, shards: Sequence[int]) -> Sequence[Alert]:
        """Return a portion of the alerts of some shards that are still to be taken up, oldest first."""
        ...

    async def arm_waiting(
        self, lease: Lease, mark: Mark, *, at: datetime, watch: Callable[[Sequence[Alert]], None]
    ) -> Sequence[Alert]:
        """Arm a portion of a shard's alerts without a position, record that they were not evaluated, and return them.

        Nothing happens when the lease is lost.

        They are handed to `watch` before they are committed, since whether a commit that failed has happened is not
        known.
        """
        ...


class FireStore(Protocol):
    """Commits fires."""

    async def fire(self, candidates: Sequence[Candidate], *, committed_at: datetime) -> Sequence[Alert]:
        """Fire those of the candidates that are still armed, with their events, all in one transaction.

        What was reached under a lease that is lost does not fire: the next holder finds it, too.

        Returns:
            The alerts that fired, in the order of the candidates.
        """
        ...


class FireHistory(Protocol):
    """Knows what has fired."""

    async def list_of(self, user_id: str, *, limit: int, after: FireCursor | None) -> Sequence[Fire]:
        """Return a user's fires, newest first, those behind a place in that order."""
        ...

    async def find(self, alert_id: int, generation: int) -> Fire | None:
        """Return what an arming of an alert fired; None when nothing."""
        ...


class DeliveryHistory(Protocol):
    """Knows how fires were told."""

    async def of_fires(self, fire_ids: Sequence[FireId]) -> Mapping[FireId, Sequence[Delivery]]:
        """Return how fires were told, in the order of `Channel`; those not yet begun are missing."""
        ...


class DeliveryStore(Protocol):
    """Keeps how fires are told; what waits in it is tried until it was told or given up."""

    async def begin(self, fire_id: FireId, *, told_at: datetime, now: datetime) -> MailTry | None:
        """Record that the event of a fire was told, and take its mail to be tried now; None when there is none."""
        ...

    async def postpone(self, fire_id: FireId, *, told_at: datetime, due_at: datetime) -> None:
        """Record that the event of a fire was told, and let its mail wait until `due_at`."""
        ...

    async def due(self, now: datetime, *, limit: int) -> Sequence[FireId]:
        """Return the fires whose mails are to be tried now, the longest due first."""
        ...

    async def count_waiting(self) -> WaitingMails:
        """Count the mails that are neither sent nor given up, whoever tries them."""
        ...

    async def claim(self, fire_id: FireId, *, now: datetime) -> MailTry | None:
        """Take a mail to be tried now; None when there is nothing to try."""
        ...

    async def admit(self, mail: MailTry, contact: Contact, *, now: datetime) -> MailTry | Outcome | None:
        """Count a mail among those of its address and return it as it is to be sent, or what becomes of it instead.

        None when it is no longer this try's.
        """
        ...

    async def forget_addresses(self, before: datetime) -> None:
        """Forget to which addresses mails were tried up to a moment."""
        ...

    async def settle(self, mail: MailTry, outcome: Outcome) -> None:
        """Record what became of a try."""
        ...


class ContactSource(Protocol):
    """Knows where people are written to."""

    async def find(self, user_id: str) -> Contact | None:
        """Return where a user is written to; None when the account is gone.

        Raises:
            ContactsUnavailable: nobody answers.
        """
        ...


class IntervalStore(Protocol):
    """Knows when ticks were not evaluated."""

    async def missing_since(self, moment: datetime, *, shard: int, limit: int) -> Sequence[NotEvaluated]:
        """Return the stretches that end later than a moment and are about a shard, the last recorded first."""
        ...

    async def standing(self, shard: int) -> Standing:
        """Return how far a shard was evaluated, whoever holds it."""
        ...


class LeftoverStore(Protocol):
    """Keeps, for a while, what is over."""

    async def forget_deleted(self, before_id: int, *, limit: int) -> int:
        """Forget ids of deleted alerts below an id, so many at most, and return how many."""
        ...

    async def forget_ended(self, before: datetime, *, limit: int) -> int:
        """Forget accounts all of which is from before a moment, so many at most, and return how many."""
        ...

    async def forget_missing(self, shard: int, *, shown: int, kept: int, limit: int) -> int:
        """Forget stretches of a shard that nobody is shown any more, so many at most, and return how many.

        Args:
            shard: whose.
            shown: how many whoever asks is shown: the last recorded of those that end behind a moment.
            kept: how many of those recorded last stay in any case, `shown` at least.
            limit: how many go at most.
        """
        ...


class ProgressStore(Protocol):
    """Keeps how far ticks were evaluated."""

    async def load(self, shards: Sequence[int], *, now: datetime) -> Mapping[int, Checkpoint]:
        """Return each shard's last checkpoint; the first time ever, one that begins now and has evaluated nothing."""
        ...

    async def save(self, progress: Sequence[Progress]) -> Collection[Lease]:
        """Save checkpoints, what is missing in front of them and what was taken up, all or nothing.

        Returns:
            The leases that are still held; of the others nothing was saved.
        """
        ...


class LeaseStore(Protocol):
    """Keeps who holds which shard."""

    async def begin(self) -> None:
        """Say that this replica starts, before its first `renew`."""
        ...

    async def renew(self) -> Share:
        """Say that this replica lives, take what it can have, and return what it holds."""
        ...

    async def release(self, leases: Collection[Lease]) -> None:
        """Give shards back, so that others can take them at once."""
        ...

    async def leave(self) -> None:
        """Give everything back and say that this replica is gone."""
        ...


class Announcer(Protocol):
    """Tells the other replicas of what was committed here; it may fail, and they find out by themselves, later."""

    async def changed(self, shards: Collection[int], forgotten: Sequence[Entry]) -> None:
        """Say that alerts of some shards are to be taken up, and that armings were replaced or deleted."""
        ...

    async def released(self) -> None:
        """Say that shards can be taken."""
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
