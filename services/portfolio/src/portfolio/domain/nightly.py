"""The nightly snapshots: after NSE's close every synced user's day is kept, at that session's prices or not at all."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable
from portfolio.domain.days import day_in_india
from portfolio.domain.market import Market, MarketUnavailable
from portfolio.domain.ports import PortfolioStore, SessionSource, SnapshotStore
from portfolio.domain.prices import MarketView, Pricing, may_stand_for
from portfolio.domain.quotes import Freshness
from portfolio.domain.rows import BrokerRow, Sync, quoted_instrument
from portfolio.domain.sessions import KnownSessions, Session, window_around
from portfolio.domain.snapshots import ValuedRows, net_positions, snapshot_of, value_all

log = logging.getLogger(__name__)

WINDOW_DAYS = 14
USERS_A_PAGE = 100
USERS_AT_ONCE = 4
FIRST_RETRY_SECONDS = 300.0
LONGEST_WAIT_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class _Evening:
    """A session that is over, and when it is too late for its snapshots.

    Attributes:
        session: the session.
        ends_at: when the next one opens; None when the calendar knows of none.
    """

    session: Session
    ends_at: datetime | None


class NightlySnapshots:
    """Takes each session's snapshots once it is over, tries again what could not be taken, and stops at the next open.

    It keeps no state: what is missing is what the database does not have. So it completes after a restart what it had
    begun, and two replicas that run it at once write the same.

    Args:
        store: holds users' rows.
        snapshots: keeps what is taken.
        market: prices the rows.
        sessions: knows when NSE trades.
        clock: says when.
        delay_seconds: how long after the close it begins.
        random: returns a number from 0 to 1, which spreads retries.
    """

    def __init__(
        self,
        store: PortfolioStore,
        snapshots: SnapshotStore,
        *,
        market: Market,
        sessions: SessionSource,
        clock: Clock,
        delay_seconds: float,
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._market = market
        self._sessions = sessions
        self._clock = clock
        self._delay = timedelta(seconds=delay_seconds)
        self._random = random
        self._failures = 0
        self._at_once = asyncio.Semaphore(USERS_AT_ONCE)
        self.taken = 0
        self.missing = 0

    async def run(self) -> None:
        """Take what is due, again and again, until cancelled."""
        while True:
            try:
                wait_seconds = await self.take_due()
            except (MarketUnavailable, DatabaseUnavailable) as error:
                log.info("nightly snapshots wait", extra={"reason": error.reason})
                wait_seconds = self._retry_seconds()
            except Exception:
                log.exception("nightly snapshots failed; the next round tries again")
                wait_seconds = self._retry_seconds()
            await self._clock.sleep(wait_seconds)

    async def take_due(self) -> float:
        """Take the snapshots of the last session, if they are due and missing, and return the seconds to wait then.

        Raises:
            MarketUnavailable: nobody says when NSE trades.
            DatabaseUnavailable: what was not taken yet is taken another time.
        """
        now = self._clock.now()
        known = await self._sessions.sessions(*window_around(now, days=WINDOW_DAYS))
        session = known.last_closed(now)
        if session is not None and session.closes_at + self._delay <= now:
            next_session = known.next_after(now)
            evening = _Evening(session, None if next_session is None else next_session.opens_at)
            if not await self._take(evening):
                return self._retry_seconds()
        self._failures = 0
        return self._seconds_to_next(known, now)

    async def _take(self, evening: _Evening) -> bool:
        """Take what is missing of a session, in pages of users, and say whether nothing is missing now."""
        day = evening.session.date
        after, taken, missing = "", 0, 0
        while users := await self._snapshots.users_without(day, after=after, at_most=USERS_A_PAGE):
            are_whole = await asyncio.gather(*(self._try_user(user_id, evening) for user_id in users))
            taken += sum(are_whole)
            missing += len(users) - sum(are_whole)
            after = users[-1]
        self.taken += taken
        self.missing = missing
        if taken or missing:
            log.info("nightly snapshots taken", extra={"day": day.isoformat(), "users": taken, "missing": missing})
        return missing == 0

    async def _try_user(self, user_id: str, evening: _Evening) -> bool:
        async with self._at_once:
            try:
                return await self._take_user(user_id, evening)
            except DatabaseUnavailable:
                raise
            except Exception:  # one user's rows must not keep all who come after from their snapshots
                log.exception("a nightly snapshot failed", extra={"day": evening.session.date.isoformat()})
                return False

    async def _take_user(self, user_id: str, evening: _Evening) -> bool:
        day = evening.session.date
        kept = await self._snapshots.brokers_with(day, user_id)
        rows = [
            each
            for each in await self._store.rows_of(user_id)
            if each.sync.broker not in kept and each.sync.date <= day
        ]
        view = await self._market.view(rows, day=day)
        valued = await value_all(rows, view)
        return all([await self._take_rows(each, view, evening) for each in valued])

    async def _take_rows(self, valued: ValuedRows, view: MarketView, evening: _Evening) -> bool:
        now = self._clock.now()
        is_late = evening.ends_at is not None and now >= evening.ends_at
        if is_late or not is_of_session(valued, view, evening.session):
            return False
        snapshot = snapshot_of(valued, on=evening.session.date, taken_at=now, is_nightly=True)
        return await self._snapshots.save_nightly(snapshot, sync_id=valued.sync.id)

    def _retry_seconds(self) -> float:
        """Return a wait that doubles with each failure in a row, to an hour, and up to a tenth more."""
        wait_seconds = min(FIRST_RETRY_SECONDS * 2.0**self._failures, LONGEST_WAIT_SECONDS)
        self._failures = min(self._failures + 1, 16)
        return wait_seconds * (1.0 + self._random() / 10.0)

    def _seconds_to_next(self, known: KnownSessions, now: datetime) -> float:
        """Return the seconds to the next time anything is due; at most an hour, as calendars and clocks are set."""
        due = [session.closes_at + self._delay for session in known.sessions]
        to_come = [(moment - now).total_seconds() for moment in due if moment > now]
        return min([*to_come, LONGEST_WAIT_SECONDS])


def is_of_session(valued: ValuedRows, view: MarketView, session: Session) -> bool:
    """Say whether rows are priced from a session: every row that market knows is, and there is at least one.

    A closed position needs no price. A row that market does not know, such as an option, keeps its broker's price; one
    that market said nothing of, or only what is stale, from before the session or after its day, or simulated for a
    real row, has no price of the session yet.
    """
    rows: list[tuple[BrokerRow, Pricing]] = [(each.row, each.pricing) for each in valued.holdings]
    rows += [(each.row, each.pricing) for each in net_positions(valued, on=session.date) if not each.is_closed]
    if any(quoted_instrument(row) in view.quotes.unanswered for row, _ in rows):
        return False
    known = [pricing for _, pricing in rows if pricing.quote is not None]
    return bool(known) and all(_is_priced_from(session, pricing, valued.sync) for pricing in known)


def _is_priced_from(session: Session, pricing: Pricing, sync: Sync) -> bool:
    quote, price = pricing.quote, pricing.price
    if quote is None or price is None or not may_stand_for(quote, sync):
        return False
    # The next day's opening auction makes prices before the next session begins, perhaps in other units.
    is_later = day_in_india(quote.provenance.as_of) > session.date
    if is_later or quote.provenance.freshness is Freshness.STALE:
        return False
    return min(quote.provenance.as_of, price.provenance.as_of) >= session.opens_at
