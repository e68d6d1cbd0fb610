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
        moment("tried_at"),
        moment("due_at"),
        moment("sent_at"),
        sa.CheckConstraint("(due_at IS NOT NULL) = (state = 'waiting')", name="deliveries_due_while_waiting"),
    )
    op.create_index("deliveries_of_user", "deliveries", ["user_id", "tried_at"])
    is_waiting = sa.text("state = 'waiting'")
    op.create_index("deliveries_due", "deliveries", ["due_at"], postgresql_where=is_waiting, sqlite_where=is_waiting)


def moment(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True))
