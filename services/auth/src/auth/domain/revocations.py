"""What is refused before it expires by itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from chassis.errors import Code, ServiceError

# Verifiers allow clocks to differ: for them a token ends a little after its own time.
VERIFIER_LEEWAY = timedelta(seconds=60)
# A page is put together in about 30 ms in which nothing else is done, and fits a message whatever the subjects.
PAGE_LENGTH = 5_000
SUBJECT_MAX_LENGTH = 255


class PageTokenInvalid(ServiceError):
    """No page of revocations ended there."""

    code = Code.INVALID_ARGUMENT
    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("page_token must be empty or the next_page_token of the page before")


class RevocationsTooMany(ServiceError):
    """All were asked for at once, and one message does not hold them."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "REVOCATIONS_TOO_MANY"

    def __init__(self) -> None:
        super().__init__("more revocations stand than one answer holds; ask for them in pages (page_size)")


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


@dataclass(frozen=True, slots=True)
class PageEnd:
    """The last revocation of a page, behind which the next one begins; storage has them in the order of its key."""

    kind: RevocationKind
    subject: str

    @classmethod
    def of(cls, revocation: Revocation) -> "PageEnd":
        """Return where a page ends whose last revocation this is."""
        return cls(revocation.kind, revocation.subject)

    @classmethod
    def read(cls, token: str) -> "PageEnd | None":
        """Read what `written` wrote; None from an empty text, which stands for the beginning.

        Raises:
            PageTokenInvalid: it is something else.
        """
        if not token:
            return None
        kind, _, subject = token.partition(":")
        if kind not in set(RevocationKind) or not 1 <= len(subject) <= SUBJECT_MAX_LENGTH or not subject.isprintable():
            raise PageTokenInvalid
        return cls(RevocationKind(kind), subject)

    @property
    def written(self) -> str:
        """Return it as the text that callers give back."""
        return f"{self.kind.value}:{self.subject}"
