"""The tables of auth's database; migrations make them."""

import secrets

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
    true,
)

from chassis.database import UtcDateTime
from chassis.outbox import outbox_table

METADATA = MetaData()


def _unsubscribe_token() -> str:
    return secrets.token_urlsafe(32)


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
    Column("email_verified_at", UtcDateTime),
    # When a forgotten password was replaced; absent when it never was.
    Column("password_changed_at", UtcDateTime),
    Column("are_alert_mails_wanted", Boolean, nullable=False, server_default=true()),
    Column("are_summary_mails_wanted", Boolean, nullable=False, server_default=true()),
    # In clear: it stands in every mail of a list, and can do nothing but end one.
    Column("unsubscribe_token", String(43), nullable=False, default=_unsubscribe_token),
    Index("users_unsubscribe_token", "unsubscribe_token", unique=True),
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

# What was asked for in the last hour. It is counted by address and outlives accounts, or whoever makes and deletes one
# again and again could fill a stranger's mailbox; it also has what was asked for addresses that have no account.
WANTED_MAILS = Table(
    "wanted_mails",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("address_digest", LargeBinary(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Index("wanted_mails_of_address", "address_digest", "kind", "requested_at"),
    Index("wanted_mails_age", "requested_at"),
)

MAIL_TOKENS = Table(
    "mail_tokens",
    METADATA,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("user_id", String(255), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("email", String(254), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index("mail_tokens_of_user", "user_id", "kind"),
    Index("mail_tokens_expiry", "expires_at"),
)

# Kept for addresses, not for accounts: a refusal holds for whichever account has the address next.
MAIL_REFUSALS = Table(
    "mail_refusals",
    METADATA,
    Column("address_digest", LargeBinary(32), primary_key=True),
    Column("list", String(32), primary_key=True),
)

OUTBOX = outbox_table(METADATA)
