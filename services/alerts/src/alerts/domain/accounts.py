"""Whose account is gone: what is of it, and what comes later than it may."""

from datetime import datetime, timedelta

from chassis.errors import Code, ServiceError

# A gateway that hears of nothing lets requests in for two minutes after the account is gone, they take a while, and
# clocks are up to a minute apart. Nobody comes back under the same id and sets something new sooner than auth's
# RETURN_AFTER; tests/architecture/test_deleted_accounts.py compares the two.
LATE_REQUESTS = timedelta(minutes=5)


class AccountDeleted(ServiceError):
    """The user's account was deleted while the request was under way."""

    code = Code.NOT_FOUND
    reason = "ACCOUNT_DELETED"

    def __init__(self) -> None:
        super().__init__("this account was deleted")


def ended_through(deleted_at: datetime, *, now: datetime) -> datetime:
    """Return up to when all is of an account that was deleted; a deletion does not lie in the future."""
    return min(deleted_at, now) + LATE_REQUESTS
