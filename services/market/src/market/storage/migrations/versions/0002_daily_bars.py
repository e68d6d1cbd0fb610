"""Keep daily bars as they were traded, with the splits and dividends between them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "daily_bars",
        *_key(),
        sa.Column("session", sa.Date, primary_key=True),
        sa.Column("open", sa.Double, nullable=False),
        sa.Column("high", sa.Double, nullable=False),
        sa.Column("low", sa.Double, nullable=False),
        sa.Column("close", sa.Double, nullable=False),
        sa.Column("volume", sa.BigInteger),
        sa.CheckConstraint("open > 0 AND high > 0 AND low > 0 AND close > 0", name="daily_bars_prices"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_bar_splits",
        *_key(),
        sa.Column("ex_date", sa.Date, primary_key=True),
        sa.Column("new_units", sa.BigInteger, nullable=False),
        sa.Column("old_units", sa.BigInteger, nullable=False),
        sa.CheckConstraint("new_units > 0 AND old_units > 0", name="daily_bar_splits_units"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_bar_dividends",
        *_key(),
        sa.Column("ex_date", sa.Date, primary_key=True),
        sa.Column("amount", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_bar_coverages",
        *_key(),
        sa.Column("first", sa.Date, nullable=False),
        sa.Column("last", sa.Date, nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )


def _key() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("instrument", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(32), primary_key=True),
    )
