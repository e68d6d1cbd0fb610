"""Accompanies each server-wide session to its end, and tells of it."""

import asyncio
from datetime import datetime, timedelta

from brokers.domain.announcer import Announcer
from brokers.domain.brokers import Broker
from brokers.domain.session_events import SessionEventKind, event_of, refusal_of
from brokers.domain.sessions import ActiveSession, SessionBook
from chassis.clock import Clock
from chassis.tasks import end

EXPIRING_AHEAD = timedelta(minutes=30)
LONGEST_SLEEP_SECONDS = 60.0


class SessionKeeper:
    """Says that a session was opened, that it will end within half an hour, and that it has ended.

    A session that another takes the place of has not ended: nothing more is told of it.
    """

    def __init__(self, book: SessionBook, announcer: Announcer, clock: Clock) -> None:
        self._book = book
        self._announcer = announcer
        self._clock = clock
        self._tasks: dict[Broker, asyncio.Task[None]] = {}
        book.on_opened(self._accompany)
        book.on_refused(self._note_refusal)

    async def finish(self) -> None:
        """Leave the sessions alone."""
        await end(*self._tasks.values())

    def _accompany(self, session: ActiveSession) -> None:
        self._leave(session.broker)
        self._announcer.announce(event_of(session, SessionEventKind.ACTIVATED))
        self._tasks[session.broker] = asyncio.create_task(self._live(session))

    def _note_refusal(self, session: ActiveSession) -> None:
        self._leave(session.broker)
        self._announcer.announce(refusal_of(session, self._clock.now()))

    def _leave(self, broker: Broker) -> None:
        task = self._tasks.pop(broker, None)
        if task is not None:
            task.cancel()

    async def _live(self, session: ActiveSession) -> None:
        await self._sleep_until(session.expires_at - EXPIRING_AHEAD)
        self._announcer.announce(event_of(session, SessionEventKind.EXPIRING))
        await self._sleep_until(session.expires_at)
        self._book.end(session)
        self._announcer.announce(event_of(session, SessionEventKind.EXPIRED))

    async def _sleep_until(self, moment: datetime) -> None:
        # In short steps: a machine that was suspended, or whose clock was set, is not believed for longer.
        while (left := (moment - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(min(left, LONGEST_SLEEP_SECONDS))
