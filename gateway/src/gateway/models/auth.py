"""Accounts and sessions as clients see and send them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, SecretStr, Tag

from bourse.auth.v1 import accounts_pb2
from gateway.reply import DateTime, From, Reply, always

MAX_EMAIL_LENGTH = 254
MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 1024
MAX_NAME_LENGTH = 100
MAX_REFRESH_TOKEN_LENGTH = 512
MAX_GOOGLE_TOKEN_LENGTH = 8192

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
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, json_schema_extra=NO_CONTROL_CHARACTERS)]


def _public_id(user: accounts_pb2.User) -> int | str:
    """Return a password account's id as the integer it is; Google's `sub` is never a number."""
    return int(user.id) if user.identity_provider == accounts_pb2.IDENTITY_PROVIDER_PASSWORD else user.id


class User(Reply):
    """An account."""

    id: Annotated[int | str, From(_public_id)]
    email: str
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


class GoogleLogIn(BaseModel):
    """Signing in with Google's ID token; who signs in is read from the token alone."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: GoogleToken
    user: dict[str, Any] | None = None


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
