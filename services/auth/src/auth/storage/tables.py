"""The tables of auth's database; migrations make them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from chassis.database import UtcDateTime
from chassis.outbox import outbox_table

METADATA = MetaData()

# Hands out the ids of password accounts; a number is never used twice, a deleted account's included.
ACCOUNT_NUMBERS = Table(
    "account_numbers",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    sqlite_autoincrement=True,
)

USERS = Table(
    "users",
    METADATA,
    Column("id", String(255), primary_key=True),
    Column("identity_provider", String(16), nullable=False),
    Column("email", String(254), nullable=False),
    # Password accounts alone have these two: one address may also be a Google account's, which is another account.
    Column("email_key", Text, unique=True),
    Column("password_hash", Text),
    Column("name", String(100)),
    Column("picture", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint(
        "(identity_provider = 'password') = (email_key IS NOT NULL AND password_hash IS NOT NULL)",
        name="users_password_is_whole",
    ),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(255), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("opened_by", String(16), nullable=False, server_default="password"),
    Column("opened_from", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("access_expires_at", UtcDateTime, nullable=False),
    Column("refresh_expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Index("sessions_of_user", "user_id", "opened_from"),
    Index("sessions_expiry", "refresh_expires_at"),
)

REFRESH_TOKENS = Table(
    "refresh_tokens",
    METADATA,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("session_id", String(64), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index("refresh_tokens_of_session", "session_id"),
    Index("refresh_tokens_expiry", "expires_at"),
)

REVOCATIONS = Table(
    "revocations",
    METADATA,
    Column("kind", String(8), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("revocations_expiry", "expires_at"),
)

OUTBOX = outbox_table(METADATA)
