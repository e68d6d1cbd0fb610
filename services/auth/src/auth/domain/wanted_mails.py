"""A mail about an account that somebody asked for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# What could not be sent by then is not sent any more: whoever asked has asked again or given up.
SENDING_ENDS_AFTER = timedelta(hours=1)


class MailKind(StrEnum):
    """What a mail about an account is for."""

    VERIFY_EMAIL = "verify-email"
    RESET_PASSWORD = "reset-password"  # noqa: S105  # a name, not a password


@dataclass(frozen=True, slots=True)
class WantedMail:
    """One mail that somebody asked for.

    Attributes:
        id: identifies the request, 22 characters.
        user_id: whose account it is about; an id that nobody has stands for an account that does not exist.
        kind: what the mail is for.
        requested_at: when it was asked for.
    """

    id: str
    user_id: str
    kind: MailKind
    requested_at: datetime

    def is_late(self, now: datetime) -> bool:
        """Say whether it is not to be sent any more."""
        return now - self.requested_at > SENDING_ENDS_AFTER
