"""Let alerts carry a note and an expiry, fires the tick in front of them, and give no id of a deleted alert again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for column in (moment("armed_at"), sa.Column("note", sa.String(500)), moment("expires_at")):
        op.add_column("alerts", column)
    is_expiring = sa.text("state = 'armed' AND expires_at IS NOT NULL")
    op.create_index("alerts_expiring", "alerts", ["expires_at"], postgresql_where=is_expiring, sqlite_where=is_expiring)
    op.create_table("deleted_alerts", sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False))
    for column in receipt():
        op.add_column("fires", column)


def moment(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True))


def receipt() -> "list[sa.Column[object]]":
    return [
        sa.Column("note", sa.String(500)),
        sa.Column("crossed_during_gap", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("before_price", sa.Double),
        moment("before_at"),
        sa.Column("before_source", sa.String(64)),
        sa.Column("before_publisher_id", sa.String(255)),
        sa.Column("before_epoch", sa.BigInteger),
        sa.Column("before_shard", sa.SmallInteger),
        sa.Column("before_sequence", sa.BigInteger),
        sa.Column("before_stream", sa.Integer),
        sa.Column("before_stream_sequence", sa.BigInteger),
    ]
