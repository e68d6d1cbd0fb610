"""Keep what candlestick patterns were worth before a session."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "pattern_statistics",
        sa.Column("source", sa.String(32), primary_key=True),
        sa.Column("configuration", sa.String(16), primary_key=True),
        sa.Column("session", sa.Date, primary_key=True),
        sa.Column("pattern", sa.String(40), primary_key=True),
        sa.Column("direction", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("cases", sa.BigInteger, nullable=False),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("base_cases", sa.BigInteger, nullable=False),
        sa.Column("base_hits", sa.BigInteger, nullable=False),
        sa.CheckConstraint("direction IN (1, -1)", name="pattern_statistics_direction"),
        sa.CheckConstraint("0 <= hits AND hits <= cases", name="pattern_statistics_hits"),
        sa.CheckConstraint("0 <= base_hits AND base_hits <= base_cases", name="pattern_statistics_base_hits"),
    )
