"""Which replica leads: it alone publishes ticks, polls vendors and keeps the snapshot warm."""

import asyncio
import logging

from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable
from market.domain.lease import HOLD_SECONDS, LEASE_SECONDS, Lease
from market.domain.ports import LeaseStore
from market.domain.ticks import microseconds_of

log = logging.getLogger(__name__)

RENEW_EVERY_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.5
# A database that takes longer has not answered; less than a hold, so that there is a second try.
ROUND_SECONDS = 2.0


class Alone:
    """The one process of its database, as an SQLite file's is: it leads from the start to the end."""

    def __init__(self, clock: Clock) -> None:
        self.epoch = microseconds_of(clock.now())
        self.is_leading = True
        # Nothing says how the process before this one ended: perhaps with ticks on their way.
        self.is_seamless = False
        self.takeovers = 1

    def note_loss(self) -> None:
        """Do nothing: the process after this one cannot be told."""

    def note_shown(self) -> None:
        """Do nothing, for the same reason."""

    async def begun(self) -> int:
        """Return the epoch at once."""
        return self.epoch


class Candidate:
    """One of several replicas, of which at most one leads at any time.

    Args:
        holder: names this start of this process, as no other is or was.
        leases: where the lease is.
        clock: measures how long a lease is relied on, and how long it was seen unchanged.
    """

    def __init__(self, holder: str, leases: LeaseStore, clock: Clock) -> None:
        self._holder = holder
        self._leases = leases
        self._clock = clock
        self._held: Lease | None = None
        self._holds_until = float("-inf")
        self._seen: Lease | None = None
        self._seen_since = float("-inf")
        self._has_begun = asyncio.Event()
        self._is_seamless = False
        self._has_lost = False
        # What may be lost in front of this turn, and is not seen yet in every shard.
        self._has_inherited = False
        self.takeovers = 0

    @property
    def epoch(self) -> int | None:
        """Return this replica's turn; None when another may have one."""
        return None if self._held is None else self._held.epoch

    @property
    def is_leading(self) -> bool:
        """Say whether nobody else can lead now; in a turn of ours it is False while the lease could not be renewed."""
        return self._held is not None and self._clock.monotonic() < self._holds_until

    @property
    def is_seamless(self) -> bool:
        """Say whether the turn before ours was given back by who had handed everything to NATS, or there was none."""
        return self._held is not None and self._is_seamless

    def note_loss(self) -> None:
        """Have it remembered that ticks of this turn may be lost, so that it is not given back as whole."""
        self._has_lost = True

    def note_shown(self) -> None:
        """Have it remembered that every shard shows what may be lost in front of this turn."""
        self._has_inherited = False

    async def begun(self) -> int:
        """Wait until a turn has begun, and return its epoch."""
        while (epoch := self.epoch) is None:
            await self._has_begun.wait()
        return epoch

    async def look(self) -> bool:
        """Renew the lease, or take it when it is free; say whether the database answered."""
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await (self._try() if self._held is None else self._renew(self._held))
        except (DatabaseUnavailable, TimeoutError) as error:
            log.debug("lease not looked at", extra={"error": type(error).__name__})
            return False
        except Exception:
            log.exception("lease not looked at")
            return False
        return True

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again soon."""
        pause = LOOK_EVERY_SECONDS
        while True:
            await self._clock.sleep(pause)
            has_answered = await self.look()
            pause = RENEW_EVERY_SECONDS if has_answered and self._held is not None else LOOK_EVERY_SECONDS

    async def leave(self) -> None:
        """Give back what is held, so that another can have it at once, and knows whether ticks of it may be lost.

        Raises:
            DatabaseUnavailable: it may have been given back or not; it runs out by itself.
        """
        self._end()
        await self._leases.release(self._holder, is_whole=not (self._has_lost or self._has_inherited))

    async def _renew(self, held: Lease) -> None:
        asked_at = self._clock.monotonic()
        renewed = await self._leases.renew(held)
        if renewed is None:
            log.warning("leadership lost", extra={"epoch": held.epoch})
            self._end()
            return
        self._hold(renewed, asked_at)

    async def _try(self) -> None:
        asked_at = self._clock.monotonic()
        seen = await self._leases.read()
        if seen != self._seen:
            self._seen, self._seen_since = seen, self._clock.monotonic()
        # From before it is asked for: a turn whose beginning was never heard of is given back, too.
        self._has_inherited = not seen.is_whole
        if seen.holder == self._holder:
            # It was taken in a round whose answer never came.
            held = await self._leases.renew(seen)
        elif seen.is_free or self._clock.monotonic() - self._seen_since >= LEASE_SECONDS:
            held = await self._leases.take(seen, seen.taken_by(self._holder, microseconds_of(self._clock.now())))
        else:
            return
        if held is not None:
            self._begin(held, asked_at, is_seamless=seen.is_whole)

    def _begin(self, held: Lease, asked_at: float, *, is_seamless: bool) -> None:
        self.takeovers += 1
        self._is_seamless, self._has_lost = is_seamless, False
        self._hold(held, asked_at)
        self._has_begun.set()
        log.info("leadership taken", extra={"epoch": held.epoch})

    def _hold(self, held: Lease, asked_at: float) -> None:
        self._held, self._holds_until = held, asked_at + HOLD_SECONDS

    def _end(self) -> None:
        self._held, self._seen = None, None
        self._has_begun.clear()
