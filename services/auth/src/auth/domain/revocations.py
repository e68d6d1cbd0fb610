"""What is refused before it expires by itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# Verifiers allow clocks to differ: for them a token ends a little after its own time.
VERIFIER_LEEWAY = timedelta(seconds=60)


class RevocationKind(StrEnum):
    """Which claim of an access token is compared."""

    TOKEN = "token"  # noqa: S105  # a name, not a secret
    SESSION = "session"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Access tokens that are refused.

    Attributes:
        kind: the claim that names them: `jti`, `sid` or `sub`.
        subject: the claim's value.
        expires_at: when the last of them has expired by itself everywhere, and the revocation with it.
    """

    kind: RevocationKind
    subject: str
    expires_at: datetime
