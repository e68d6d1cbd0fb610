"""An account, whoever vouches for its identity."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from auth.domain.credentials import EmailAddress
from chassis.errors import Code, ServiceError

USER_ID_MAX_LENGTH = 255


class UserNotFound(ServiceError):
    """There is no account with this id."""

    code = Code.NOT_FOUND
    reason = "USER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such user")


class IdentityProvider(StrEnum):
    """Who vouches for an account's identity."""

    PASSWORD = "password"  # noqa: S105  # a name, not a password
    GOOGLE = "google"


@dataclass(frozen=True, slots=True)
class User:
    """One account.

    Attributes:
        id: what tokens hold in `sub`, never read as a number: a decimal integer for password accounts, Google's own
            `sub` for Google's.
        identity_provider: who vouches for the identity.
        email: the address as the person wrote it.
        name: the display name; None when none was given.
        picture: the address of a portrait; None when there is none.
        created_at: when the account was made.
        is_admin: whether tokens say that the account may administer the suite.
        is_email_verified: whether whoever has the account has shown to receive mail at the address.
    """

    id: str
    identity_provider: IdentityProvider
    email: str
    name: str | None
    picture: str | None
    created_at: datetime
    is_admin: bool = False
    is_email_verified: bool = False


@dataclass(frozen=True, slots=True)
class PasswordAccount:
    """An account together with what proves a password for it."""

    user: User
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewPasswordAccount:
    """An account about to be stored, which gives it its id."""

    email: EmailAddress
    name: str | None
    password_hash: str = field(repr=False)
    created_at: datetime


def is_possible_user_id(text: str) -> bool:
    """Say whether an account could have this id; storage is not asked about what it could not even hold."""
    return 1 <= len(text) <= USER_ID_MAX_LENGTH and text.isascii() and text.isprintable()
