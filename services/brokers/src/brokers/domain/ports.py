"""What brokers' domain needs from the outside world."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from brokers.domain.brokers import Broker
from brokers.domain.quotes import BrokerQuote
from brokers.domain.rows import BrokerRows, RowCounts
from brokers.domain.session_events import SessionEvent
from brokers.domain.sessions import ActiveSession, FeedStatus, Login, OpenedSession
from brokers.domain.syncs import SyncedRows, SyncOrder


class ZerodhaFeed(Protocol):
    """Publishes live prices over the server-wide Zerodha session.

    A feed whose token Kite refuses says so by `SessionBook.refuse(session)`, whose desk then stops it.
    """

    @property
    def status(self) -> FeedStatus:
        """Return how the feed stands now."""
        ...

    async def start(self, session: ActiveSession, tokens: Mapping[str, int]) -> None:
        """Feed from now on over this session, in place of any earlier one; returns without waiting for prices.

        Args:
            session: Zerodha's, never the sandbox's.
            tokens: Kite's `instrument_token` by instrument id (`NSE:TCS`, `INDEX:NIFTY50`).
        """
        ...

    async def stop(self) -> None:
        """Disconnect and be OFF; nothing happens when it is."""
        ...


class SessionOpener(Protocol):
    """Exchanges a one-time code for a session, at the broker or at the sandbox, as the key says."""

    async def open(self, login: Login) -> OpenedSession:
        """Return what the broker gave for the code; never asked twice.

        Raises:
            ServiceError: one of `brokers.domain.errors`; BrokerTokenInvalid when the broker refused.
        """
        ...


class SessionEventSink(Protocol):
    """Where events of sessions go."""

    async def tell(self, event: SessionEvent) -> None:
        """Store the event; telling it again stores it once.

        Raises:
            BusUnavailable: it was not acknowledged.
        """
        ...


class Listings(Protocol):
    """What market knows of instruments."""

    async def indian_instruments(self) -> Sequence[str]:
        """Return the ids of all that NSE and BSE list and of all indices, indices first.

        Raises:
            FeedUnwanted: market does not take its prices from Zerodha.
            MarketUnavailable: market did not answer.
        """
        ...


class TokenDirectory(Protocol):
    """What Kite calls instruments on its ticker."""

    async def tokens(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, int]:
        """Return Kite's `instrument_token` of those that Kite has, in the order given.

        Raises:
            ServiceError: one of `brokers.domain.errors`.
        """
        ...


class QuoteVendor(Protocol):
    """A broker's prices over a session, one call or one batch of calls a time."""

    async def quotes(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, BrokerQuote]:
        """Return the prices of those that the broker knows, by instrument id.

        Raises:
            ServiceError: one of `brokers.domain.errors`; BrokerTokenInvalid when the broker refused the session.
        """
        ...

    async def known(self, instruments: Sequence[str]) -> Sequence[str]:
        """Return those of `instruments` that the broker has a name for, in the order given.

        Raises:
            ServiceError: the broker's directory cannot be read now.
        """
        ...


class Budget(Protocol):
    """How often each broker may be asked, by all replicas together."""

    async def take(self, broker: Broker, calls: int) -> int:
        """Take up to `calls` calls out of the budget and return how many; 0 when it is spent."""
        ...

    async def wait_seconds(self, broker: Broker) -> float:
        """Return after how long a call can be taken again; 0 when one can be now."""
        ...


class PortfolioReader(Protocol):
    """Asks one broker what a user holds."""

    async def read(self, order: SyncOrder) -> BrokerRows:
        """Spend the order's one-time code and return all rows; never asked twice.

        Raises:
            ServiceError: one of `brokers.domain.errors`.
        """
        ...


class RowStore(Protocol):
    """Portfolio, which keeps the rows."""

    async def require_reachable(self) -> None:
        """Make sure that it answers, before a code is spent.

        Raises:
            PortfolioUnavailable: it does not.
        """
        ...

    async def replace(self, rows: SyncedRows) -> RowCounts:
        """Replace a user's rows of one broker, all or none, and return how many are stored now.

        Raises:
            SyncSuperseded: a later sync, or a deletion, is already in.
            BrokerAnswerInvalid: portfolio finds the rows impossible.
            PortfolioUnavailable: it did not answer, however often it was asked.
        """
        ...
