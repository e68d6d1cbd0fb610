"""Deleting what has expired, a bounded piece at a time."""

import logging

from auth.domain.mail_orders import WINDOW
from auth.domain.ports import Store
from chassis.clock import Clock

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 1_000
INTERVAL_SECONDS = 300.0


class Expiry:
    """Deletes expired sessions, tokens and revocations, and what was asked for long ago, now and then."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Sweep every five minutes until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL_SECONDS)
            try:
                await self.sweep()
            except Exception:
                log.exception("expired rows were not deleted; the next sweep tries again")

    async def sweep(self) -> int:
        """Delete everything that has expired, in transactions small enough to hold nobody up; return the rows."""
        deleted = 0
        while True:
            rows = await self._delete_some()
            deleted += rows
            if rows < ROWS_AT_ONCE:
                break
        if deleted:
            log.info("expired rows deleted", extra={"rows": deleted})
        return deleted

    async def _delete_some(self) -> int:
        now = self._clock.now()
        async with self._store.transaction() as unit:
            sessions = await unit.sessions.delete_expired(now, at_most=ROWS_AT_ONCE)
            revocations = await unit.revocations.delete_expired(now, at_most=ROWS_AT_ONCE)
            mail_tokens = await unit.mail_tokens.delete_expired(now, at_most=ROWS_AT_ONCE)
            wanted_mails = await unit.wanted_mails.delete_before(now - WINDOW, at_most=ROWS_AT_ONCE)
        return max(sessions, revocations, mail_tokens, wanted_mails)
