"""Sends summaries: to who wants them, seldom enough, and to the end even when the one who asked has gone."""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.clock import Clock
from chassis.errors import Code, DatabaseUnavailable, ServiceError
from chassis.tasks import end
from portfolio.domain.contacts import Contact, require_writable
from portfolio.domain.ports import ContactSource, LetterPost, SummaryLedger, SummaryWriter
from portfolio.domain.summary_reading import SummaryReader
from portfolio.domain.users import require_user_id

log = logging.getLogger(__name__)

MAX_AN_HOUR = 6
HOUR = timedelta(hours=1)
MAX_UNDER_WAY = 100
SWEEP_EVERY_SECONDS = 300.0
MAX_ID_LENGTH = 40

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


class SummaryThrottled(ServiceError):
    """The address was sent as many summaries as an hour may have."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "SUMMARY_THROTTLED"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = max(1.0, retry_after_seconds)
        minutes = max(1, round(self.retry_after_seconds / 60))
        super().__init__(f"a summary is sent at most {MAX_AN_HOUR} times an hour; try again in {minutes} min")


class SummariesBusy(ServiceError):
    """As many summaries are being sent as can be at once."""

    code = Code.UNAVAILABLE
    reason = "MAIL_UNAVAILABLE"
    retry_after_seconds = 5.0

    def __init__(self) -> None:
        super().__init__("too many summaries are being sent just now; try again shortly")


@dataclass(frozen=True, slots=True)
class SentSummary:
    """A summary that was taken: its letter, and when."""

    letter_id: str
    sent_at: datetime


class SummaryDesk:
    """Sends summaries.

    Args:
        contacts: says where users are written to.
        ledger: counts what addresses are sent, for all replicas.
        reader: gathers what is told.
        writer: words it.
        post: takes letters.
        clock: says when it is.
        random: returns a few characters that no other letter has.
        verified_only: True writes to verified addresses alone.
    """

    def __init__(
        self,
        contacts: ContactSource,
        ledger: SummaryLedger,
        *,
        reader: SummaryReader,
        writer: SummaryWriter,
        post: LetterPost,
        clock: Clock,
        random: Callable[[], str],
        verified_only: bool,
    ) -> None:
        self._contacts = contacts
        self._ledger = ledger
        self._reader = reader
        self._writer = writer
        self._post = post
        self._clock = clock
        self._random = random
        self._verified_only = verified_only
        self._under_way: set[asyncio.Task[SentSummary]] = set()

    @property
    def under_way(self) -> int:
        """Return how many summaries are being gathered or sent."""
        return len(self._under_way)

    async def send(self, user_id: str) -> SentSummary:
        """Send a user a summary and return when the mailer has taken it.

        What has begun goes on when the caller leaves.

        Raises:
            UserIdInvalid: no user has such an id.
            UserNotFound: there is no such account.
            AccountDeleted: the account was deleted meanwhile.
            ContactUnavailable: nobody says where to write to.
            SummaryUnwanted: the user has ended summaries.
            EmailUnverified: the address is not verified where it has to be.
            SummaryThrottled: it is the address's seventh of an hour.
            SummariesBusy: too many are under way.
            PricesUnavailable: nothing that is held can be priced, for want of answers.
            ServiceError: whatever the post says of a letter that it does not take.
        """
        require_user_id(user_id)
        contact = await self._contacts.contact_of(user_id)
        require_writable(contact, verified_only=self._verified_only)
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise SummariesBusy
        letter_id = f"summary-{_UNSAFE.sub('-', user_id)[:MAX_ID_LENGTH]}-{self._random()}"
        task = asyncio.create_task(self._send(user_id, contact, letter_id), name="summary")
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def run_sweep(self) -> None:
        """Forget every five minutes, until cancelled, what counts no more."""
        while True:
            await self._clock.sleep(SWEEP_EVERY_SECONDS)
            try:
                await self._ledger.sweep(through=self._clock.now() - HOUR)
            except Exception:  # the outermost frame of a task that must outlive any one failure
                log.exception("counts of summaries were not swept; the next sweep tries again")

    async def finish(self, patience_seconds: float) -> None:
        """Wait for what is under way, then end it."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=patience_seconds)
        await end(*self._under_way)

    async def _send(self, user_id: str, contact: Contact, letter_id: str) -> SentSummary:
        claim_id = await self._ledger.claim(user_id, contact.address_digest, at=self._clock.now())
        try:
            summary = await self._reader.read(user_id)
        except ServiceError:
            await self._release(claim_id)
            raise
        letter = await asyncio.to_thread(self._writer.write, summary, contact, letter_id)
        await self._post.send(letter)
        log.info("summary sent", extra={"lines": len(summary.lines), "charts": len(summary.series)})
        return SentSummary(letter_id, self._clock.now())

    async def _release(self, claim_id: int) -> None:
        """Give a claim back; one that can't be given back ends by itself."""
        with suppress(DatabaseUnavailable):
            await self._ledger.release(claim_id)

    def _forget(self, task: "asyncio.Task[SentSummary]") -> None:
        self._under_way.discard(task)
        # Asked for once, asyncio does not complain where nobody waits any more.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("summary not sent", extra={"cause": type(error).__name__})
