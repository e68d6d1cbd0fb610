"""Record when a broker's rows were replaced, and what waits to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("broker", sa.String(16), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holdings_count", sa.Integer, nullable=False),
        sa.Column("positions_count", sa.Integer, nullable=False),
        sa.Column("net_positions_count", sa.Integer, nullable=False),
        sa.CheckConstraint(
            "holdings_count >= 0 AND positions_count >= 0 AND net_positions_count >= 0", name="sync_runs_counts"
        ),
    )
    op.create_index("sync_runs_newest", "sync_runs", ["user_id", "broker", "synced_at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("message_id", sa.String(200), nullable=False, unique=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_autoincrement=True,
    )
