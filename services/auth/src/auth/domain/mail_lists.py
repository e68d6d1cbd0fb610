"""What mails are about, and where somebody is written to."""

from dataclasses import dataclass, field
from enum import StrEnum

from auth.domain.users import User
from chassis.errors import Code, ServiceError


class MailListInvalid(ServiceError):
    """What was named is no list of mails, or the same one was named twice."""

    code = Code.INVALID_ARGUMENT
    reason = "MAIL_LIST_INVALID"

    def __init__(self) -> None:
        names = ", ".join(each.value for each in MailList)
        super().__init__(f"list must be one of {names}, each at most once")


class EmailUnverified(ServiceError):
    """The address has refused the list, and nobody has shown that the account is its reader's."""

    code = Code.FAILED_PRECONDITION
    reason = "EMAIL_UNVERIFIED"

    def __init__(self) -> None:
        super().__init__("this address has unsubscribed from such mails; verify the address first, then ask for them")


class MailList(StrEnum):
    """What mails are about; those about the account itself belong to no list."""

    ALERTS = "alerts"
    PORTFOLIO_SUMMARY = "portfolio-summary"


@dataclass(frozen=True, slots=True)
class Contact:
    """Where somebody is written to.

    Attributes:
        user: whose address it is.
        wanted: the lists the user wants and the address has not refused.
        unsubscribe_token: ends a list and can do nothing else, 43 characters; every mail of a list carries it.
    """

    user: User
    wanted: frozenset[MailList]
    unsubscribe_token: str = field(repr=False)
