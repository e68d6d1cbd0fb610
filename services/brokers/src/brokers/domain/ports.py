"""What brokers' domain needs from the outside world."""

from collections.abc import Mapping
from typing import Protocol

from brokers.domain.sessions import ActiveSession, FeedStatus


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
