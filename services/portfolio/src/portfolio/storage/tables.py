"""The tables of portfolio's database."""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Integer, MetaData, String, Table

from chassis.outbox import outbox_table

METADATA = MetaData()

# One row for each time a broker's rows were replaced; the newest of a user and broker says how fresh they are.
SYNC_RUNS = Table(
    "sync_runs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(255), nullable=False),
    Column("broker", String(16), nullable=False),
    Column("synced_at", DateTime(timezone=True), nullable=False),
    Column("holdings_count", Integer, nullable=False),
    Column("positions_count", Integer, nullable=False),
    Column("net_positions_count", Integer, nullable=False),
    CheckConstraint(
        "holdings_count >= 0 AND positions_count >= 0 AND net_positions_count >= 0", name="sync_runs_counts"
    ),
    Index("sync_runs_newest", "user_id", "broker", "synced_at"),
)

OUTBOX = outbox_table(METADATA)
