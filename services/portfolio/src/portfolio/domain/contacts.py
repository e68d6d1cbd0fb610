"""Where users are written to, and whether they want to be."""

import hashlib
from dataclasses import dataclass, field

from chassis.errors import Code, ServiceError


class UserNotFound(ServiceError):
    """There is no such account."""

    code = Code.NOT_FOUND
    reason = "USER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such user")


class ContactUnavailable(ServiceError):
    """Nobody can say now where the user is written to."""

    code = Code.UNAVAILABLE
    reason = "CONTACT_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("where to write to cannot be looked up just now; try again shortly")


class SummaryUnwanted(ServiceError):
    """The user has ended summaries."""

    code = Code.FAILED_PRECONDITION
    reason = "SUMMARY_UNWANTED"

    def __init__(self) -> None:
        super().__init__("portfolio summaries are switched off for this account; switch them on to get one")


class EmailUnverified(ServiceError):
    """Only verified addresses are written to, and this one is not."""

    code = Code.FAILED_PRECONDITION
    reason = "EMAIL_UNVERIFIED"

    def __init__(self) -> None:
        super().__init__("the e-mail address is not verified; verify it first")


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a user is written to. What users call themselves is not told: anybody may register anybody's address.

    Attributes:
        email: the address.
        is_email_verified: whether the user has shown to receive mail there.
        wants_summary: whether summaries are wanted.
        unsubscribe_token: ends a list, and can do nothing else.
    """

    email: str = field(repr=False)
    is_email_verified: bool
    wants_summary: bool
    unsubscribe_token: str = field(repr=False)

    @property
    def address_digest(self) -> str:
        """Return what stands for the address where it is counted: SHA-256 of it in lower case, in hexadecimal."""
        return hashlib.sha256(self.email.lower().encode()).hexdigest()


def require_writable(contact: Contact, *, verified_only: bool) -> None:
    """Refuse to write a summary to who does not want it, or may not get it.

    Raises:
        SummaryUnwanted: the user has ended summaries.
        EmailUnverified: the address is not verified where it has to be.
    """
    if not contact.wants_summary:
        raise SummaryUnwanted
    if verified_only and not contact.is_email_verified:
        raise EmailUnverified
