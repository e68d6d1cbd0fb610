"""How a fire is told: by an event to streams and services, by mail to its owner; what to try, and when to stop."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.domain.alerts import Freshness
from alerts.domain.fires import Fire
from chassis.errors import Code, ServiceError
from mail.messages import message_id_of

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
GIVE_UP_AFTER = timedelta(hours=24)
HOUR = timedelta(hours=1)
# Whoever registers an address that is not theirs can have so many mails sent to its owner.
UNVERIFIED_MAILS_PER_HOUR = 10
# So many failures in a row, with no success between them, are the mail server's fault and no single address's.
FAILURES_OF_AN_OUTAGE = 8
_MAX_ALERT_ID, _MAX_GENERATION = (1 << 63) - 1, (1 << 31) - 1
_MAX_DOUBLINGS = 16


class ContactsUnavailable(ServiceError):
    """Nobody can say now where a user is written to."""

    code = Code.UNAVAILABLE
    reason = "CONTACTS_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("the user's address cannot be looked up just now; try again shortly")


class FireIdInvalid(ValueError):
    """No fire can have such an id."""

    def __init__(self) -> None:
        super().__init__("a fire is identified by its alert's id and a generation, both above 0")


class Channel(StrEnum):
    """By what a fire is told; the order is the one in which they are listed."""

    EVENT = "event"
    EMAIL = "email"


class DeliveryState(StrEnum):
    """How far telling is."""

    WAITING = "waiting"
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"


class AddressMailState(StrEnum):
    """What a mail is to its address's limit."""

    TRYING = "trying"
    SENT = "sent"
    WAITING = "waiting"


class DeliveryReason(StrEnum):
    """Why a fire was not told."""

    ACCOUNT_GONE = "account_gone"
    UNSUBSCRIBED = "unsubscribed"
    UNVERIFIED = "unverified"
    TOO_MANY = "too_many"
    REFUSED = "refused"
    UNDELIVERABLE = "undeliverable"


@dataclass(frozen=True, slots=True)
class FireId:
    """What identifies a fire: an alert, and which of its armings fired."""

    alert_id: int
    generation: int

    @classmethod
    def of(cls, fire: Fire) -> "FireId":
        """Return what identifies a fire."""
        return cls(fire.alert_id, fire.generation)

    @classmethod
    def read(cls, alert_id: str, generation: int) -> "FireId":
        """Read it from what an event says.

        Raises:
            FireIdInvalid: no fire has such an id.
        """
        is_number = alert_id.isascii() and alert_id.isdigit() and len(alert_id) <= len(str(_MAX_ALERT_ID))
        if not is_number or not 0 < int(alert_id) <= _MAX_ALERT_ID or not 0 < generation <= _MAX_GENERATION:
            raise FireIdInvalid
        return cls(int(alert_id), generation)

    @property
    def event_id(self) -> str:
        """Return the message id of the event, the same however often it is told."""
        return f"{self.alert_id}:{self.generation}"

    @property
    def letter_id(self) -> str:
        """Return the id of the letter, the same however often it is sent."""
        return f"alert-{self.alert_id}-{self.generation}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far telling of one fire by one channel is.

    Attributes:
        channel: by what.
        state: how it stands.
        message_id: the event's `Nats-Msg-Id`, the mail's `Message-ID`.
        reason: why it was skipped or has failed; None otherwise.
        attempts: how often it was tried.
        sent_at: when it was told; None until then.
    """

    channel: Channel
    state: DeliveryState
    message_id: str
    reason: DeliveryReason | None = None
    attempts: int = 0
    sent_at: datetime | None = None


def not_begun(fire_id: FireId, sender: str) -> tuple[Delivery, Delivery]:
    """Return the deliveries of a fire of whose event nobody has heard yet, of mail from `sender`."""
    return (
        Delivery(Channel.EVENT, DeliveryState.WAITING, fire_id.event_id),
        Delivery(Channel.EMAIL, DeliveryState.WAITING, message_id_of(fire_id.letter_id, sender)),
    )


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a user is written to.

    Attributes:
        email: the address.
        is_verified: whether its owner has shown to receive mail there.
        wants_alerts: False once they have unsubscribed.
        unsubscribe_token: ends the list for whoever has it; never shown but in the mails themselves.
    """

    email: str = field(repr=False)
    is_verified: bool
    wants_alerts: bool
    unsubscribe_token: str = field(repr=False)

    @property
    def address_digest(self) -> str:
        """Return what an address is counted by, the same for every account that has it: 64 hexadecimal digits."""
        return hashlib.sha256(self.email.lower().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MailTry:
    """A mail that is ours to send until its lease ends, and what it tells.

    Attributes:
        fire: the receipt.
        freshness: how far the price that fired could be relied on.
        user_id: whose alert it was.
        attempts: how often it was tried, this time included.
        shows_note: whether it shows what its owner noted; the same however often it is sent.
    """

    fire: Fire
    freshness: Freshness
    user_id: str
    attempts: int
    shows_note: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try.

    Attributes:
        state: how the mail stands now.
        reason: why it was skipped or has failed.
        sent_at: when it was sent; None when it was not.
        due_at: when it is to be tried again; None when it is not.
    """

    state: DeliveryState
    reason: DeliveryReason | None = None
    sent_at: datetime | None = None
    due_at: datetime | None = None

    @classmethod
    def sent(cls, at: datetime) -> "Outcome":
        """Say that the mail was taken."""
        return cls(DeliveryState.SENT, sent_at=at)

    @classmethod
    def skipped(cls, reason: DeliveryReason) -> "Outcome":
        """Say that nobody wants it."""
        return cls(DeliveryState.SKIPPED, reason)

    @classmethod
    def failed(cls, reason: DeliveryReason) -> "Outcome":
        """Say that it is given up."""
        return cls(DeliveryState.FAILED, reason)

    @classmethod
    def later(cls, attempts: int, *, now: datetime) -> "Outcome":
        """Say that it is tried again, the later the more often it was tried."""
        return cls(DeliveryState.WAITING, due_at=now + wait_after(attempts))


def wait_after(attempts: int) -> timedelta:
    """Return how long to wait after so many tries: half a minute, doubling up to a quarter of an hour."""
    doublings = min(max(attempts - 1, 0), _MAX_DOUBLINGS)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class WaitingMails:
    """The mails that are neither sent nor given up.

    Attributes:
        count: how many there are.
        oldest_at: when the fire of the oldest was committed; None when there is none.
    """

    count: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class OtherMails:
    """The mails of an address but one.

    Attributes:
        sent: how many were sent within the hour.
        under_way: how many are being sent now. What only waits is neither.
    """

    sent: int
    under_way: int


@dataclass(frozen=True, slots=True)
class MailPolicy:
    """Who is written to, and how much.

    Attributes:
        mails_per_hour: how many alert mails an address gets within any hour; one that is not verified at most
            `UNVERIFIED_MAILS_PER_HOUR`.
        verified_only: whether only verified addresses are written to.
        lease: how long a try may take before another one takes over.
    """

    mails_per_hour: int
    verified_only: bool
    lease: timedelta

    def before_try(self, committed_at: datetime, *, now: datetime) -> Outcome | None:
        """Say what ends the mail of a fire committed at `committed_at` before it is tried; None when nothing does."""
        return Outcome.failed(DeliveryReason.UNDELIVERABLE) if now - committed_at > GIVE_UP_AFTER else None

    def limit_of(self, contact: Contact) -> int:
        """Return how many alert mails an address gets within any hour."""
        return self.mails_per_hour if contact.is_verified else min(self.mails_per_hour, UNVERIFIED_MAILS_PER_HOUR)

    def before_send(self, mail: MailTry, contact: Contact, others: OtherMails, *, now: datetime) -> Outcome | None:
        """Say what becomes of a mail instead of being sent, so that its address gets no more than its limit.

        Returns:
            None when it is to be sent. Skipped when as many were sent. When there would be as many only if those under
            way get through, it waits until that is known.
        """
        limit = self.limit_of(contact)
        if others.sent >= limit:
            return Outcome.skipped(DeliveryReason.TOO_MANY)
        if others.sent + others.under_way >= limit:
            return Outcome.later(mail.attempts, now=now)
        return None

    def why_not(self, contact: Contact | None) -> DeliveryReason | None:
        """Say why a user is not written to, who is None when the account is gone; None when they are."""
        if contact is None:
            return DeliveryReason.ACCOUNT_GONE
        if not contact.wants_alerts:
            return DeliveryReason.UNSUBSCRIBED
        if self.verified_only and not contact.is_verified:
            return DeliveryReason.UNVERIFIED
        return None


class MailRoute:
    """Tells a mail server that is away from an address that is not answering, by what came of the last tries."""

    def __init__(self) -> None:
        self._failures = 0

    @property
    def is_down(self) -> bool:
        """Say whether nothing gets through."""
        return self._failures >= FAILURES_OF_AN_OUTAGE

    def note_failure(self) -> bool:
        """Count a try that did not get through, and say whether the route went down by it."""
        self._failures += 1
        return self._failures == FAILURES_OF_AN_OUTAGE

    def note_success(self) -> bool:
        """Forget the failures, and say whether the route was down."""
        was_down = self.is_down
        self._failures = 0
        return was_down
