"""Keep watchlists and portfolios entered by hand, and when an account was deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

AMOUNT = 24


def upgrade() -> None:
    op.add_column("portfolios", sa.Column("account_deleted_through", sa.DateTime(timezone=True)))
    create_owned("watchlists")
    op.create_table(
        "watched_tickers",
        sa.Column("watchlist_id", sa.BigInteger, sa.ForeignKey("watchlists.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("instrument", sa.String(64), primary_key=True),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
    )
    create_owned("manual_portfolios")
    op.create_table(
        "manual_stocks",
        sa.Column(
            "portfolio_id", sa.BigInteger, sa.ForeignKey("manual_portfolios.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("instrument", sa.String(64), primary_key=True),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("quantity", sa.String(AMOUNT), nullable=False),
        sa.Column("total_cost", sa.String(AMOUNT), nullable=False),
    )


def create_owned(table: str) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(f"{table}_of_user", table, ["user_id", "id"])
