"""What the domain needs from outside; storage and providers supply it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from portfolio.domain.brokers import Broker
from portfolio.domain.quotes import QuoteAnswer
from portfolio.domain.rows import DeletedCounts, RowCounts, SyncedRows
from portfolio.domain.sessions import KnownSessions
from portfolio.domain.snapshots import Snapshot
from portfolio.domain.splits import Split


class SyncStore(Protocol):
    """Keeps each broker's rows, whole; what it has saved survives a crash."""

    async def replace(self, rows: SyncedRows, snapshot: Snapshot) -> RowCounts:
        """Replace a broker's rows, write the sync's snapshot and tell of it, all in one transaction.

        The same sync again changes nothing and returns the same.

        Raises:
            SyncSuperseded: a sync that began later is in, or the user's data was deleted since this one began.
        """
        ...

    async def delete(self, user_id: str, *, at: datetime) -> DeletedCounts:
        """Delete all rows and snapshots of a user, and refuse syncs that began before."""
        ...


class PortfolioStore(Protocol):
    """Reads rows as they were at one moment, never a mixture of two syncs."""

    async def holdings_of(self, user_id: str) -> Sequence[SyncedRows]:
        """Return each broker's sync with its holdings, by broker; positions are left out."""
        ...

    async def positions_of(self, user_id: str) -> Sequence[SyncedRows]:
        """Return each broker's sync with its positions, by broker; holdings are left out."""
        ...

    async def rows_of(self, user_id: str) -> Sequence[SyncedRows]:
        """Return each broker's sync with all its rows, by broker."""
        ...

    async def trend_of(
        self, user_id: str, *, first: date, last: date
    ) -> tuple[Sequence[SyncedRows], Sequence[Snapshot]]:
        """Return what `rows_of` returns, and the snapshots of the days from `first` to `last`, both with."""
        ...


class SnapshotStore(Protocol):
    """Keeps the nightly snapshots."""

    async def users_without(self, day: date, *, after: str, at_most: int) -> Sequence[str]:
        """Return users with a sync that has no nightly snapshot of a day, in order, those after `after`."""
        ...

    async def brokers_with(self, day: date, user_id: str) -> Collection[Broker]:
        """Return the brokers a user has a nightly snapshot of a day of."""
        ...

    async def save_nightly(self, snapshot: Snapshot, *, sync_id: str) -> bool:
        """Save a snapshot over the day's; nothing, and False, when its rows are no longer those of the sync."""
        ...


class QuoteSource(Protocol):
    """Knows what instruments cost."""

    async def latest(self, instruments: Collection[str]) -> QuoteAnswer:
        """Return the quotes of instruments, `EXCHANGE:SYMBOL`; those it gives no answer for are named."""
        ...


class SplitSource(Protocol):
    """Knows what happened to instruments' units."""

    async def since(self, instruments: Collection[str], first: date) -> Mapping[str, Sequence[Split]]:
        """Return the splits of every instrument from a first ex-date on, an empty list for one without.

        Raises:
            MarketUnavailable: nobody answers.
        """
        ...


class SessionSource(Protocol):
    """Knows when NSE trades."""

    async def sessions(self, first: date, last: date) -> KnownSessions:
        """Return the sessions of the days from `first` to `last`, both with.

        Raises:
            MarketUnavailable: nobody answers.
        """
        ...
