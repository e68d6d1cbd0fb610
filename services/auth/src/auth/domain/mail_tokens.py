"""What a mail about an account carries so that its reader can act for the account; only a digest of it is kept."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from auth.domain.tokens import RandomBytes, digest_of, make_secret
from auth.domain.wanted_mails import MailKind
from chassis.errors import Code, ServiceError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class MailTokenInvalid(ServiceError):
    """The token is unknown, used, expired or of an address that the account left; which of these is not said."""

    code = Code.INVALID_ARGUMENT
    reason = "MAIL_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the link is not valid any more; ask for another mail")


LIFETIMES = {MailKind.VERIFY_EMAIL: timedelta(hours=24), MailKind.RESET_PASSWORD: timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class MailToken:
    """A token as storage knows it.

    Attributes:
        digest: SHA-256 of the token, 32 bytes.
        user_id: whose account it acts for.
        kind: what it is good for.
        email: the address it was sent to, as the account had it.
        created_at: when it was made.
        expires_at: until when it can be used.
    """

    digest: bytes
    user_id: str
    kind: MailKind
    email: str
    created_at: datetime
    expires_at: datetime


def make_mail_token(random_bytes: RandomBytes) -> SecretStr:
    """Return a new token of 256 random bits, 43 characters that need no quoting in an address."""
    return make_secret(random_bytes)


def mail_token_digest(token: SecretStr) -> bytes:
    """Return what storage keeps of a token.

    Raises:
        MailTokenInvalid: it cannot be one of ours, so that storage need not be asked.
    """
    if _TOKEN.fullmatch(token.get_secret_value()) is None:
        raise MailTokenInvalid
    return digest_of(token)
