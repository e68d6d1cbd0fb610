"""What the domain needs from outside; storage and providers supply it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from mail.messages import Letter
from portfolio.domain.brokers import Broker
from portfolio.domain.contacts import Contact
from portfolio.domain.manual_portfolios import ManualPortfolio
from portfolio.domain.quotes import QuoteAnswer, TickerPrice
from portfolio.domain.rows import DeletedCounts, RowCounts, SyncedRows
from portfolio.domain.sessions import KnownSessions
from portfolio.domain.snapshots import Snapshot
from portfolio.domain.splits import Split
from portfolio.domain.stock_entries import Stock
from portfolio.domain.summaries import Summary
from portfolio.domain.symbols import Instrument
from portfolio.domain.value_series import PastCloses
from portfolio.domain.watchlists import WatchedTicker, Watchlist, WatchlistName


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


class WatchlistStore(Protocol):
    """Keeps watchlists; one of another user is not there."""

    async def names_of(self, user_id: str) -> Sequence[WatchlistName]:
        """Return a user's watchlists, oldest first."""
        ...

    async def create(self, user_id: str, name: str, *, at: datetime) -> Watchlist:
        """Make an empty watchlist.

        Raises:
            TooManyWatchlists: the user has as many as there may be.
            AccountDeleted: the account was deleted, not before `at`.
        """
        ...

    async def find(self, user_id: str, watchlist_id: int) -> Watchlist | None:
        """Return a watchlist as it was at one moment; None when there is none."""
        ...

    async def replace_tickers(
        self, user_id: str, watchlist_id: int, tickers: Sequence[WatchedTicker]
    ) -> Watchlist | None:
        """Replace all tickers at once and return the watchlist; None when there is none."""
        ...

    async def delete(self, user_id: str, watchlist_id: int) -> bool:
        """Delete a watchlist and say whether there was one."""
        ...


class ManualPortfolioStore(Protocol):
    """Keeps portfolios that users enter; one of another user is not there."""

    async def portfolios_of(self, user_id: str) -> Sequence[ManualPortfolio]:
        """Return a user's portfolios as they were at one moment, oldest first."""
        ...

    async def create(self, user_id: str, name: str, *, at: datetime) -> ManualPortfolio:
        """Make an empty portfolio.

        Raises:
            TooManyPortfolios: the user has as many as there may be.
            AccountDeleted: the account was deleted, not before `at`.
        """
        ...

    async def find(self, user_id: str, portfolio_id: int) -> ManualPortfolio | None:
        """Return a portfolio as it was at one moment; None when there is none."""
        ...

    async def rename(self, user_id: str, portfolio_id: int, name: str) -> ManualPortfolio | None:
        """Rename a portfolio and return it; None when there is none."""
        ...

    async def put(self, user_id: str, portfolio_id: int, stocks: Sequence[Stock]) -> ManualPortfolio | None:
        """Add stocks, or put them in the place of those of their instruments, and return all; None without a portfolio.

        Raises:
            TooManyStocks: there would be more than there may be; nothing was changed.
        """
        ...

    async def remove_stock(self, user_id: str, portfolio_id: int, instrument: str) -> bool:
        """Remove the stock of an instrument and say whether there was one."""
        ...

    async def delete(self, user_id: str, portfolio_id: int) -> bool:
        """Delete a portfolio with its stocks and say whether there was one."""
        ...


class AccountStore(Protocol):
    """Keeps all that portfolio has of users."""

    async def delete_account(self, user_id: str, *, through: datetime) -> None:
        """Delete what was made, or began, up to a moment, and refuse what comes later and is from before it."""
        ...


class InstrumentSource(Protocol):
    """Knows what symbols mean."""

    async def resolve(self, symbol: str) -> Instrument:
        """Return the instrument that a symbol means; a bare one means a listing in the United States.

        Raises:
            SymbolInvalid: it cannot be a symbol.
            SymbolUnknown: it names nothing.
            SymbolAmbiguous: it names several.
            InstrumentsUnavailable: nobody answers.
        """
        ...


class TickerPriceSource(Protocol):
    """Knows what instruments cost, in their currencies."""

    async def latest(self, instruments: Collection[str]) -> Mapping[str, TickerPrice]:
        """Return the prices of up to 50 instruments; one without a price is not in it.

        Raises:
            MarketUnavailable: nobody answers.
        """
        ...


class CloseSource(Protocol):
    """Knows what instruments cost before."""

    async def closes(self, instrument: str, *, first: date, last: date) -> PastCloses:
        """Return the closes of the days from `first` to `last`, both with; none of what nobody knows anything of.

        Raises:
            MarketUnavailable: nobody answers.
        """
        ...


class ContactSource(Protocol):
    """Knows where users are written to."""

    async def contact_of(self, user_id: str) -> Contact:
        """Return where a user is written to.

        Raises:
            UserNotFound: there is no such account.
            ContactUnavailable: nobody answers.
        """
        ...


class SummaryLedger(Protocol):
    """Counts the summaries to each address, for all replicas."""

    async def claim(self, user_id: str, address_digest: str, *, at: datetime) -> int:
        """Count one more to an address of a user and return what gives it back.

        Raises:
            SummaryThrottled: an hour has as many as it may have.
            AccountDeleted: the account was deleted, not before `at`.
        """
        ...

    async def release(self, claim_id: int) -> None:
        """Count one less: it was never written."""
        ...

    async def sweep(self, *, through: datetime) -> int:
        """Forget what was counted up to a moment, and return how many they were."""
        ...


class SummaryWriter(Protocol):
    """Words summaries."""

    def write(self, summary: Summary, contact: Contact, letter_id: str) -> Letter:
        """Return the letter; it takes a while and belongs in a thread."""
        ...


class LetterPost(Protocol):
    """Takes letters."""

    async def send(self, letter: Letter) -> None:
        """Return when a letter was taken, so that it is not lost when we die.

        Raises:
            ServiceError: it was not taken.
        """
        ...
