"""Accounts and sessions as clients see and send them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, SecretStr, StrictStr, Tag

from bourse.auth.v1 import accounts_pb2, recovery_pb2
from gateway.reply import DateTime, From, Reply, Shared, always

MAX_EMAIL_LENGTH = 254
MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 1024
MAX_NAME_LENGTH = 100
MAX_REFRESH_TOKEN_LENGTH = 512
MAX_GOOGLE_TOKEN_LENGTH = 8192
MAX_MAIL_TOKEN_LENGTH = 128
MAX_USER_ID_LENGTH = 255

NO_CONTROL_CHARACTERS: dict[str, JsonValue] = {"pattern": "^[^\\u0000-\\u001f\\u007f]*$"}
"""Told to clients here, enforced for every body where it is parsed."""

Email = Annotated[
    str,
    Field(
        min_length=3,
        max_length=MAX_EMAIL_LENGTH,
        examples=["user@example.com"],
        json_schema_extra={"format": "email"},
    ),
]
NewPassword = Annotated[
    SecretStr,
    Field(
        min_length=MIN_PASSWORD_LENGTH,
        max_length=MAX_PASSWORD_LENGTH,
        json_schema_extra=NO_CONTROL_CHARACTERS,
    ),
]
Password = Annotated[
    SecretStr, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH, json_schema_extra=NO_CONTROL_CHARACTERS)
]
GoogleToken = Annotated[
    SecretStr, Field(min_length=1, max_length=MAX_GOOGLE_TOKEN_LENGTH, json_schema_extra=NO_CONTROL_CHARACTERS)
]
RefreshToken = Annotated[
    SecretStr, Field(min_length=1, max_length=MAX_REFRESH_TOKEN_LENGTH, json_schema_extra=NO_CONTROL_CHARACTERS)
]
MailToken = Annotated[
    SecretStr, Field(min_length=1, max_length=MAX_MAIL_TOKEN_LENGTH, json_schema_extra=NO_CONTROL_CHARACTERS)
]
UserId = Annotated[
    StrictStr, Field(min_length=1, max_length=MAX_USER_ID_LENGTH, json_schema_extra=NO_CONTROL_CHARACTERS)
]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, json_schema_extra=NO_CONTROL_CHARACTERS)]


def _public_id(user: accounts_pb2.User) -> int | str:
    """Return a password account's id as the integer it is; Google's `sub` is never a number."""
    return int(user.id) if user.identity_provider == accounts_pb2.IDENTITY_PROVIDER_PASSWORD else user.id


def _about_verification(reply: recovery_pb2.RequestEmailVerificationResponse) -> str:
    return "The address is verified already" if reply.is_email_verified else "A mail is on its way"


class User(Reply):
    """An account; `email_verified` says that whoever has it has shown to receive mail at `email`."""

    id: Annotated[int | str, From(_public_id)]
    email: str
    email_verified: Annotated[bool, From("is_email_verified")]
    name: str | None
    picture: str | None
    created_at: DateTime


class Tokens(Reply):
    """A session's tokens; `expires_in` says how many seconds the access token lives."""

    access_token: str
    refresh_token: str
    expires_in: Annotated[int, From("expires_in_seconds")]


class Session(Reply):
    """A session that was opened or renewed."""

    success: Annotated[bool, always(True)]
    message: str
    access_token: Annotated[str, From("tokens.access_token")]
    user: User
    tokens: Tokens


class Registered(Session):
    """A new account and its first session."""

    message: Annotated[str, always("Registration successful")]


class LoggedIn(Session):
    """A session that was opened."""

    message: Annotated[str, always("Login successful")]


class Refreshed(Session):
    """A session that was renewed."""

    message: Annotated[str, always("Token refreshed")]


class LoggedOut(Reply):
    """A session that is over."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Logout successful")]


class Profile(Reply):
    """One's own account."""

    success: Annotated[bool, always(True)]
    user: User


class OpenSession(Reply):
    """A session that can still be used, until `expires_at` unless it is renewed.

    `opened_from` says what opened it: `password`, `register` or `google`. `is_current` marks the one that asks.
    """

    id: str
    created_at: DateTime
    expires_at: DateTime
    opened_from: str
    is_current: Annotated[bool, Shared()]


class SessionList(Reply):
    """One's sessions, newest first."""

    success: bool
    sessions: list[OpenSession]


class SessionRevoked(Reply):
    """A session that is over."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Session revoked")]


class AccountDeleted(Reply):
    """An account that is gone for good, with everything that was kept for it."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Account deleted")]


class ResetRequested(Reply):
    """The same whether or not there is such an account."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("If there is such an account, a mail is on its way")]


class PasswordSet(Reply):
    """A new password; every session from before is over."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Password set; log in with it")]


class VerificationRequested(Reply):
    """A mail that is on its way, unless the address is verified already."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, From(_about_verification)]


class EmailVerified(Reply):
    """An address that counts as verified, and whose it is."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("E-mail address verified")]
    user: User


class Registration(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Email
    password: NewPassword
    name: Name | None = None


class PasswordLogIn(BaseModel):
    """Signing in with a password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Email
    password: Password


class GoogleUser(BaseModel):
    """What Google's library told the client; nothing but `id` is looked at, and that is held against the token's."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    # By a factory, because a default would stand in the schema as an id that may be sent.
    id: UserId = Field(default_factory=str)


class GoogleLogIn(BaseModel):
    """Signing in with Google's ID token; who signs in is read from the token alone.

    `user.id`, where it is given, must be the token's `sub`; everything else of `user` is ignored.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: GoogleToken
    user: GoogleUser | None = None

    @property
    def expected_user_id(self) -> str:
        """Return whose token the client takes it for; empty when it does not say."""
        return "" if self.user is None else self.user.id


# The mark keeps a tag apart from a field in an error's location.
PASSWORD_TAG = "#password"  # noqa: S105  # a name
GOOGLE_TAG = "#google"


def _way_of_signing_in(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    has_token = "token" in body
    has_password = "email" in body or "password" in body
    if has_token == has_password:
        return None
    return GOOGLE_TAG if has_token else PASSWORD_TAG


LogIn = Annotated[
    Annotated[PasswordLogIn, Tag(PASSWORD_TAG)] | Annotated[GoogleLogIn, Tag(GOOGLE_TAG)],
    Discriminator(
        _way_of_signing_in,
        custom_error_type="way_of_signing_in",
        custom_error_message="Send either email and password, or Google's token",
    ),
]


class Refresh(BaseModel):
    """Renewing a session."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    refresh_token: RefreshToken


class ForgottenPassword(BaseModel):
    """Asking for a mail that lets its reader set a new password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Email


class PasswordReset(BaseModel):
    """Setting a new password with the token of such a mail."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: MailToken
    password: NewPassword


class EmailVerification(BaseModel):
    """Showing that mail is received, with the token of one."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: MailToken
