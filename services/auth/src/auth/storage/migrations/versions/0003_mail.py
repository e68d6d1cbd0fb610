"""Record what mails need: verified addresses, wishes and refusals, what was asked for, and the tokens they carry.

Until now nobody could verify an address but Google, whose accounts are verified since they were made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime(timezone=True)
# Characters of base64url, all hexadecimal. As PostgreSQL's default it also serves a replica of the version before,
# which adds accounts without knowing of the column.
RANDOM_ON_POSTGRESQL = "substr(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 1, 43)"
RANDOM_ON_SQLITE = "substr(lower(hex(randomblob(32))), 1, 43)"


def upgrade() -> None:
    _extend_users()
    op.create_table(
        "wanted_mails",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("address_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
    )
    op.create_index("wanted_mails_of_address", "wanted_mails", ["address_digest", "kind", "requested_at"])
    op.create_index("wanted_mails_age", "wanted_mails", ["requested_at"])
    op.create_table(
        "mail_tokens",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("user_id", sa.String(255), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT),
    )
    op.create_index("mail_tokens_of_user", "mail_tokens", ["user_id", "kind"])
    op.create_index("mail_tokens_expiry", "mail_tokens", ["expires_at"])
    op.create_table(
        "mail_refusals",
        sa.Column("address_digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("list", sa.String(32), primary_key=True),
    )


def _extend_users() -> None:
    op.add_column("users", sa.Column("email_verified_at", MOMENT))
    op.add_column("users", sa.Column("password_changed_at", MOMENT))
    for name in ("are_alert_mails_wanted", "are_summary_mails_wanted"):
        op.add_column("users", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.true()))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    # SQLite takes no function as the default of a column that is added.
    default = sa.text(RANDOM_ON_POSTGRESQL) if is_postgresql else ""
    op.add_column("users", sa.Column("unsubscribe_token", sa.String(43), nullable=False, server_default=default))
    if not is_postgresql:
        op.execute(f"UPDATE users SET unsubscribe_token = {RANDOM_ON_SQLITE}")  # noqa: S608  # our own constant
    op.create_index("users_unsubscribe_token", "users", ["unsubscribe_token"], unique=True)
    op.execute("UPDATE users SET email_verified_at = created_at WHERE identity_provider = 'google'")
