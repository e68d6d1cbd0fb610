"""Keep how each fire was told, and how far telling of the others is."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("alert_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.String(8), primary_key=True),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(16)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("message_id", sa.String(400), nullable=False),
        sa.Column("shows_note", sa.Boolean),
        moment("due_at"),
        moment("sent_at"),
        sa.CheckConstraint("(due_at IS NOT NULL) = (state = 'waiting')", name="deliveries_due_while_waiting"),
    )
    op.create_index("deliveries_of_user", "deliveries", ["user_id"])
    is_waiting = sa.text("state = 'waiting'")
    op.create_index("deliveries_due", "deliveries", ["due_at"], postgresql_where=is_waiting, sqlite_where=is_waiting)
    op.create_table(
        "address_mails",
        sa.Column("alert_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("address_digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        moment("tried_at", is_required=True),
    )
    op.create_index("address_mails_of_address", "address_mails", ["address_digest", "tried_at"])
    op.create_index("address_mails_tried", "address_mails", ["tried_at"])


def moment(name: str, *, is_required: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not is_required)
