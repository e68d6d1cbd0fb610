"""Record users, their sessions, what was revoked, and what waits to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "account_numbers",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("identity_provider", sa.String(16), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.Text, unique=True),
        sa.Column("password_hash", sa.Text),
        sa.Column("name", sa.String(100)),
        sa.Column("picture", sa.Text),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "(identity_provider = 'password') = (email_key IS NOT NULL AND password_hash IS NOT NULL)",
            name="users_password_is_whole",
        ),
    )
    _create_sessions()
    op.create_table(
        "revocations",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_index("revocations_expiry", "revocations", ["expires_at"])
    op.create_table(
        "outbox",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("message_id", sa.String(200), nullable=False, unique=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sqlite_autoincrement=True,
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(255), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("opened_from", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("access_expires_at", MOMENT, nullable=False),
        sa.Column("refresh_expires_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT),
    )
    op.create_index("sessions_of_user", "sessions", ["user_id", "opened_from"])
    op.create_index("sessions_expiry", "sessions", ["refresh_expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("session_id", sa.String(64), sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT),
    )
    op.create_index("refresh_tokens_of_session", "refresh_tokens", ["session_id"])
    op.create_index("refresh_tokens_expiry", "refresh_tokens", ["expires_at"])
