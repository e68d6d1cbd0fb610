"""What a feed's connections and the market's hours together say of the feed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from brokers.domain.sessions import FeedState
from brokers.domain.trading_hours import TradingHours


@dataclass(frozen=True, slots=True)
class LinkReport:
    """How one of a feed's connections stands.

    Attributes:
        connected_at: since when it is connected; None while it is not.
        last_price_at: when its last price came; None before the first.
    """

    connected_at: datetime | None
    last_price_at: datetime | None


def state_of(
    links: Sequence[LinkReport], hours: TradingHours | None, *, now: datetime, stale_after: timedelta
) -> FeedState:
    """Return how a feed stands now: as the worst of its connections does.

    A market that has only just opened, and a connection that was only just made, get as much time for their first price
    as any other. Where the market's hours are not known a feed is never called stale.

    Args:
        links: the feed's connections; none means that no feed runs.
        hours: when the market trades; None while that is not known.
        now: what the time is.
        stale_after: how long a feed may be without a price while the market is open.
    """
    if not links:
        return FeedState.OFF
    connections = [(link.connected_at, link.last_price_at) for link in links if link.connected_at is not None]
    if len(connections) < len(links):
        return FeedState.CONNECTING
    if hours is None or not hours.knows(now):
        has_prices = all(_is_recent(price_at, now, stale_after) for _, price_at in connections)
        return FeedState.LIVE if has_prices else FeedState.CONNECTED
    session = hours.session_at(now)
    if session is None:
        return FeedState.CLOSED
    awaited_since = [
        max(connected_at, session.opens_at, price_at or connected_at) for connected_at, price_at in connections
    ]
    is_live = all(_is_recent(moment, now, stale_after) for moment in awaited_since)
    return FeedState.LIVE if is_live else FeedState.STALE


def _is_recent(moment: datetime | None, now: datetime, stale_after: timedelta) -> bool:
    return moment is not None and now - moment < stale_after
