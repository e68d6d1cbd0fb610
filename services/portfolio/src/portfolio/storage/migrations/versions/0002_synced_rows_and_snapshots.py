"""Keep brokers' rows and daily snapshots; one row a broker says which sync they are of."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

AMOUNT = 32
SUM = 96


def upgrade() -> None:
    # Nothing ever wrote to it: operations begin with this schema.
    op.drop_table("sync_runs")
    op.create_table(
        "portfolios",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "broker_syncs",
        *key(),
        sa.Column("sync_id", sa.String(36), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_simulated", sa.Boolean, nullable=False),
        sa.Column("holdings_count", sa.Integer, nullable=False),
        sa.Column("positions_count", sa.Integer, nullable=False),
        sa.Column("net_positions_count", sa.Integer, nullable=False),
        sa.CheckConstraint(
            "holdings_count >= 0 AND positions_count >= net_positions_count AND net_positions_count >= 0",
            name="broker_syncs_counts",
        ),
    )
    create_rows()
    op.create_table(
        "snapshots",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("date", sa.Date, primary_key=True),
        sa.Column("broker", sa.String(16), primary_key=True),
        *(sa.Column(name, sa.String(SUM), nullable=False) for name in ("invested", "current_value", "pnl")),
        sa.Column("positions_pnl", sa.String(SUM), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_simulated", sa.Boolean, nullable=False),
        sa.Column("is_nightly", sa.Boolean, nullable=False),
        sa.Column("unpriced_count", sa.Integer, nullable=False),
    )


def key() -> tuple[sa.Column[str], sa.Column[str]]:
    return sa.Column("user_id", sa.String(255), primary_key=True), sa.Column("broker", sa.String(16), primary_key=True)


def amounts(*names: str, nullable: bool = True) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(AMOUNT), nullable=nullable) for name in names]


def create_rows() -> None:
    op.create_table(
        "holdings",
        *key(),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("exchange", sa.String(32), nullable=False),
        sa.Column("tradingsymbol", sa.String(64), nullable=False),
        *amounts("quantity", "t1_quantity", nullable=False),
        sa.Column("isin", sa.String(32)),
        sa.Column("product", sa.String(32)),
        *amounts("average_price", "last_price", "close_price", "pnl"),
        sa.Column("broker_code", sa.String(64)),
        *amounts("collateral_quantity"),
    )
    op.create_table(
        "positions",
        *key(),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("type", sa.String(3), nullable=False),
        sa.Column("exchange", sa.String(32), nullable=False),
        sa.Column("tradingsymbol", sa.String(64), nullable=False),
        *amounts("quantity", "multiplier", nullable=False),
        sa.Column("product", sa.String(32)),
        *amounts("overnight_quantity", "average_price", "last_price", "close_price", "buy_value", "sell_value"),
        *amounts("pnl", "m2m", "realised", "unrealised"),
        sa.Column("expiry", sa.Date),
        *amounts("strike"),
        sa.Column("option_type", sa.String(32)),
        sa.Column("broker_code", sa.String(64)),
        sa.CheckConstraint("type IN ('net', 'day')", name="positions_type"),
    )
