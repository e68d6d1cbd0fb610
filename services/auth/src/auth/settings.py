"""What operators can set for auth."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from limits import parse
from pydantic import AfterValidator, Field, SecretStr, field_validator

from auth.domain.keys import RotationPolicy
from auth.domain.revocations import VERIFIER_LEEWAY
from auth.domain.tokens import TokenPolicy
from auth.providers.passwords import Argon2Cost
from chassis.settings import LOOPBACK_HOSTS
from mail.settings import MailSettings

DAY_SECONDS = 24 * 3600
WEEK_SECONDS = 7 * DAY_SECONDS
MONTH_SECONDS = 30 * DAY_SECONDS
YEAR_SECONDS = 365 * DAY_SECONDS


def _window(text: str) -> str:
    parse(text)
    return text


AttemptWindow = Annotated[str, AfterValidator(_window)]


class Settings(MailSettings):
    """Auth's address, database, keys, tokens, passwords and limits, beside what all share and who sends mail needs.

    Attributes:
        auth_address: where gRPC is served, `host:port`.
        auth_database_url: SQLAlchemy address; unset means the embedded file under RUN_DIR.
        auth_migrate_on_start: False refuses to start on an old schema instead of migrating it.
        auth_signing_key_file: PEM file whose first block is the private key that signs, further ones old keys to keep
            publishing; unset means keys of auth's own under RUN_DIR/auth-keys.
        auth_key_publish_ahead_seconds: how long a rotated key is published before it signs; longer than verifiers
            take to learn of it.
        auth_token_issuer: the `iss` claim.
        auth_token_audience: the `aud` claim.
        auth_access_token_seconds: how long a password session's access token lives.
        auth_google_access_token_seconds: how long a Google session's access token lives.
        auth_refresh_token_seconds: how long a refresh token waits to be used.
        auth_argon2_time_cost: passes over the memory.
        auth_argon2_memory_kib: memory of one hash, in KiB, taken once a worker.
        auth_argon2_lanes: threads of one hash.
        auth_password_workers: how many passwords are hashed at once.
        auth_password_queue: how many hashes may be under way or wait; more are answered "busy".
        auth_registration_limit: registrations a client's network may make, as `30/hour`.
        auth_login_limit: attempts to log in from one network.
        auth_login_account_limit: attempts to log in to one account without success.
        auth_recovery_limit: how often a network may ask for new passwords, whosever.
        google_client_id: the audience of the ID tokens taken; unset means that nobody signs in with Google.
        google_jwks_url: where Google publishes its keys; plain HTTP on loopback alone.
    """

    auth_address: str = "127.0.0.1:7101"
    auth_database_url: SecretStr | None = None
    auth_migrate_on_start: bool = True
    auth_signing_key_file: Path | None = None
    auth_key_publish_ahead_seconds: int = Field(default=60, ge=0, le=WEEK_SECONDS)
    auth_token_issuer: str = Field(default="bourse", min_length=1)
    auth_token_audience: str = Field(default="bourse", min_length=1)
    auth_access_token_seconds: int = Field(default=WEEK_SECONDS, ge=1, le=YEAR_SECONDS)
    auth_google_access_token_seconds: int = Field(default=DAY_SECONDS, ge=1, le=YEAR_SECONDS)
    auth_refresh_token_seconds: int = Field(default=MONTH_SECONDS, ge=1, le=YEAR_SECONDS)
    auth_argon2_time_cost: int = Field(default=3, ge=1, le=100)
    auth_argon2_memory_kib: int = Field(default=64 * 1024, ge=8, le=4 * 1024 * 1024)
    auth_argon2_lanes: int = Field(default=1, ge=1, le=64)
    auth_password_workers: int = Field(default=2, ge=1, le=64)
    auth_password_queue: int = Field(default=32, ge=1, le=10_000)
    auth_registration_limit: AttemptWindow = "30/hour"
    auth_login_limit: AttemptWindow = "60/minute"
    auth_login_account_limit: AttemptWindow = "10/minute"
    auth_recovery_limit: AttemptWindow = "20/hour"
    google_client_id: str | None = Field(default=None, min_length=1, max_length=255)
    google_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"

    @field_validator("google_jwks_url")
    @classmethod
    def _nobody_else_can_choose_the_keys(cls, address: str) -> str:
        parts = urlsplit(address)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS)
        if not is_safe or not parts.hostname or parts.username is not None:
            raise ValueError(
                "should begin with https://, since who answers decides who signs in; http:// is loopback's"
            )
        return address

    @property
    def database_url(self) -> str:
        """Return the SQLAlchemy address of auth's database."""
        if self.auth_database_url is None:
            return self.sqlite_url("auth")
        return self.auth_database_url.get_secret_value()

    @property
    def key_folder(self) -> Path:
        """Return where auth keeps keys of its own."""
        return self.run_dir.absolute() / "auth-keys"

    @property
    def token_policy(self) -> TokenPolicy:
        """Return how tokens are made."""
        return TokenPolicy(
            issuer=self.auth_token_issuer,
            audience=self.auth_token_audience,
            access_lifetime=timedelta(seconds=self.auth_access_token_seconds),
            google_access_lifetime=timedelta(seconds=self.auth_google_access_token_seconds),
            refresh_lifetime=timedelta(seconds=self.auth_refresh_token_seconds),
        )

    @property
    def rotation_policy(self) -> RotationPolicy:
        """Return how keys take turns."""
        longest_seconds = max(self.auth_access_token_seconds, self.auth_google_access_token_seconds)
        return RotationPolicy(
            publish_ahead=timedelta(seconds=self.auth_key_publish_ahead_seconds),
            token_lifetime=timedelta(seconds=longest_seconds) + VERIFIER_LEEWAY,
        )

    @property
    def argon2_cost(self) -> Argon2Cost:
        """Return what one hash costs."""
        return Argon2Cost(
            time_cost=self.auth_argon2_time_cost,
            memory_kib=self.auth_argon2_memory_kib,
            lanes=self.auth_argon2_lanes,
        )
