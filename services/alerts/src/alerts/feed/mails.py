"""Tells the owners of alerts by mail: each fire is tried when its event comes, and from the database until it is told.

An event is acknowledged behind that first try, whatever came of it, for the database knows the rest. A mail server that
is away therefore holds no stream up, and one address that does not answer holds up no other.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from nats.aio.msg import Msg

from alerts.domain.deliveries import (
    FIRST_WAIT,
    HOUR,
    Contact,
    ContactsUnavailable,
    DeliveryReason,
    DeliveryState,
    FireId,
    MailPolicy,
    MailRoute,
    MailTry,
    Outcome,
    WaitingMails,
)
from alerts.domain.letters import letter_of
from alerts.domain.ports import ContactSource, DeliveryStore
from alerts.messages import read_fired
from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable
from chassis.event_reader import Again
from chassis.tasks import end
from mail.mailers import Mailer, MailRefused, MailUnavailable

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

DURABLE = "alerts_mail"
AT_ONCE = 8
LOOK_SECONDS = 5.0
SWEEP_EVERY = timedelta(minutes=1)
SETTLE_TRIES = 3
SETTLE_SECONDS = 1.0
LONGEST_OUTAGE_WAIT_SECONDS = 60.0
FINISH_SECONDS = 2.0
LEASE_MARGIN_SECONDS = 10.0


# A storm of fires and their mails write to one database: fires go first.
CALM_LOOK_SECONDS = 0.2
CALM_LOOKS = 50


class Mails:
    """Sends the mails of fires, and those that did not get through again."""

    def __init__(
        self,
        deliveries: DeliveryStore,
        contacts: ContactSource,
        mailer: Mailer,
        *,
        policy: MailPolicy,
        public_url: str,
        clock: Clock,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Send through `mailer` to whom `contacts` names; mails link to the gateway at `public_url`.

        While `is_busy` says that many fires wait to be committed, new mails wait for them, up to ten seconds.
        """
        self._deliveries = deliveries
        self._contacts = contacts
        self._mailer = mailer
        self._policy = policy
        self._public_url = public_url
        self._clock = clock
        self._is_busy = is_busy
        self._route = MailRoute()
        self._sending: set[asyncio.Task[Any]] = set()
        self._sweep_at = clock.now()
        self._waiting = WaitingMails(0, None)

    @property
    def are_held_back(self) -> bool:
        """Say whether new mails wait because those before them did not get through."""
        return self._route.is_down

    @property
    def waiting(self) -> WaitingMails:
        """Return what waited when that was looked at last, which is done every minute."""
        return self._waiting

    async def take(self, message: Msg) -> Again | None:
        """Act on the event of a fire.

        Raises:
            ValueError: it is no event of a fire.
        """
        fire_id = read_fired(message.data)
        for _ in range(CALM_LOOKS):
            if not self._is_busy():
                break
            await self._clock.sleep(CALM_LOOK_SECONDS)
        try:
            await self._finish(self._begin(fire_id, message.metadata.timestamp))
        except DatabaseUnavailable:
            return Again(min(2.0**message.metadata.num_delivered, LONGEST_OUTAGE_WAIT_SECONDS))
        return None

    async def run_repeats(self) -> None:
        """Try what waits until cancelled, a few at a time; when nothing gets through, after a pause.

        What was counted more than an hour ago is forgotten meanwhile.
        """
        while True:
            has_moved = False
            try:
                has_moved = await self.repeat()
                await self._sweep()
            except DatabaseUnavailable as error:
                log.debug("mails not looked for", extra={"reason": error.reason})
            except Exception:
                log.exception("mails not looked for")
            if not has_moved:
                await self._clock.sleep(LOOK_SECONDS)

    async def repeat(self) -> bool:
        """Try the mails that are due, at most a few, and say whether any of them was settled.

        Raises:
            DatabaseUnavailable: the database did not say which are due.
        """
        due = await self._deliveries.due(self._clock.now(), limit=AT_ONCE)
        return any(await asyncio.gather(*(self._finish(self._repeat(fire_id)) for fire_id in due)))

    async def _sweep(self) -> None:
        now = self._clock.now()
        if now >= self._sweep_at:
            await self._deliveries.forget_addresses(now - HOUR)
            self._waiting = await self._deliveries.count_waiting()
            self._sweep_at = now + SWEEP_EVERY

    async def finish(self) -> None:
        """Wait a moment for what is being sent, lest it be sent again; then give up."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=FINISH_SECONDS)
        await end(*self._sending)

    async def _finish(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for a mail; that we are told to stop must not stop it half-way, for then it would be sent twice."""
        sending = asyncio.create_task(work, name="send-alert-mail")
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return await asyncio.shield(sending)

    async def _begin(self, fire_id: FireId, told_at: datetime) -> None:
        now = self._clock.now()
        if self._route.is_down:
            # Those that wait already find out when it is back.
            await self._deliveries.postpone(fire_id, told_at=told_at, due_at=now + FIRST_WAIT)
            return
        mail = await self._deliveries.begin(fire_id, told_at=told_at, now=now)
        if mail is not None:
            await self._try(mail)

    async def _repeat(self, fire_id: FireId) -> bool:
        try:
            mail = await self._deliveries.claim(fire_id, now=self._clock.now())
            return mail is None or await self._try(mail)
        except DatabaseUnavailable:
            return False
        except Exception:
            log.exception("mail not tried", extra=_record_of(fire_id))
            return False

    async def _try(self, mail: MailTry) -> bool:
        """Try a mail that is ours, record what became of it, and say whether that is the end of it for us."""
        outcome = await self._outcome_of(mail)
        if outcome is None:
            return True
        log.log(
            logging.DEBUG if outcome.state is DeliveryState.WAITING else logging.INFO,
            "alert mail tried",
            extra={**_record_of(FireId.of(mail.fire)), "state": outcome.state.value, "reason": outcome.reason},
        )
        await self._settle(mail, outcome)
        return outcome.state is not DeliveryState.WAITING

    async def _outcome_of(self, mail: MailTry) -> Outcome | None:
        """Try a mail; None when it was somebody else's by the time it could be sent."""
        try:
            contact = await self._contacts.find(mail.user_id)
        except ContactsUnavailable:
            self._note_failure("contacts")
            return self._later(mail)
        reason = self._policy.why_not(contact)
        if contact is None or reason is not None:
            return Outcome.skipped(reason or DeliveryReason.ACCOUNT_GONE)
        admitted = await self._deliveries.admit(mail, contact, now=self._clock.now())
        return await self._send(admitted, contact) if isinstance(admitted, MailTry) else admitted

    async def _send(self, mail: MailTry, contact: Contact) -> Outcome:
        try:
            await self._mailer.send(letter_of(mail, contact, public_url=self._public_url))
        except MailRefused:
            self._note_success()
            return Outcome.failed(DeliveryReason.REFUSED)
        except MailUnavailable:
            self._note_failure("mail server")
            return self._later(mail)
        self._note_success()
        return Outcome.sent(self._clock.now())

    async def _settle(self, mail: MailTry, outcome: Outcome) -> None:
        for tries_left in reversed(range(SETTLE_TRIES)):
            try:
                await self._deliveries.settle(mail, outcome)
            except DatabaseUnavailable:
                if not tries_left:
                    raise
                await self._clock.sleep(SETTLE_SECONDS)
            else:
                return

    def _later(self, mail: MailTry) -> Outcome:
        return Outcome.later(mail.attempts, now=self._clock.now())

    def _note_success(self) -> None:
        if self._route.note_success():
            log.info("alert mails get through again")

    def _note_failure(self, cause: str) -> None:
        if self._route.note_failure():
            log.warning("alert mails do not get through", extra={"cause": cause})


def make_policy(*, mails_per_hour: int, verified_only: bool, try_seconds: float) -> MailPolicy:
    """Return the policy of a try that takes at most so many seconds, and the waiting for a place and the database."""
    lease = timedelta(seconds=2 * try_seconds + LEASE_MARGIN_SECONDS)
    return MailPolicy(mails_per_hour, verified_only, lease)


def _record_of(fire_id: FireId) -> dict[str, object]:
    return {"alert_id": fire_id.alert_id, "generation": fire_id.generation}
