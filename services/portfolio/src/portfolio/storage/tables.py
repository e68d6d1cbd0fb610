"""The tables of portfolio's database. Amounts are decimal strings, with the digits they were given with."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from chassis.database import UtcDateTime
from chassis.outbox import outbox_table

METADATA = MetaData()

_AMOUNT = String(32)
_SUM = String(96)
_OWN_AMOUNT = String(24)


def _key() -> tuple[Column[str], Column[str]]:
    return Column("user_id", String(255), primary_key=True), Column("broker", String(16), primary_key=True)


# One row for each user who ever stored or deleted anything: what changes a user's rows takes its lock first.
PORTFOLIOS = Table(
    "portfolios",
    METADATA,
    Column("user_id", String(255), primary_key=True),
    # When everything was last deleted; a sync that began before is refused. None when nothing ever was.
    Column("deleted_at", UtcDateTime),
    # Up to when everything is gone and refused, because the account was deleted. None when it never was.
    Column("account_deleted_through", UtcDateTime),
)

# One row for each user and broker: the sync whose rows are there. It replaces the one before, so that nothing grows.
BROKER_SYNCS = Table(
    "broker_syncs",
    METADATA,
    *_key(),
    Column("sync_id", String(36), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("synced_at", UtcDateTime, nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    Column("holdings_count", Integer, nullable=False),
    Column("positions_count", Integer, nullable=False),
    Column("net_positions_count", Integer, nullable=False),
    CheckConstraint(
        "holdings_count >= 0 AND positions_count >= net_positions_count AND net_positions_count >= 0",
        name="broker_syncs_counts",
    ),
)

# The broker's holdings in its order.
HOLDINGS = Table(
    "holdings",
    METADATA,
    *_key(),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("exchange", String(32), nullable=False),
    Column("tradingsymbol", String(64), nullable=False),
    Column("quantity", _AMOUNT, nullable=False),
    Column("t1_quantity", _AMOUNT, nullable=False),
    Column("isin", String(32)),
    Column("product", String(32)),
    Column("average_price", _AMOUNT),
    Column("last_price", _AMOUNT),
    Column("close_price", _AMOUNT),
    Column("pnl", _AMOUNT),
    Column("broker_code", String(64)),
    Column("collateral_quantity", _AMOUNT),
)

# The broker's positions in its order, net and day.
POSITIONS = Table(
    "positions",
    METADATA,
    *_key(),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("type", String(3), nullable=False),
    Column("exchange", String(32), nullable=False),
    Column("tradingsymbol", String(64), nullable=False),
    Column("quantity", _AMOUNT, nullable=False),
    Column("multiplier", _AMOUNT, nullable=False),
    Column("product", String(32)),
    Column("overnight_quantity", _AMOUNT),
    Column("average_price", _AMOUNT),
    Column("last_price", _AMOUNT),
    Column("close_price", _AMOUNT),
    Column("buy_value", _AMOUNT),
    Column("sell_value", _AMOUNT),
    Column("pnl", _AMOUNT),
    Column("m2m", _AMOUNT),
    Column("realised", _AMOUNT),
    Column("unrealised", _AMOUNT),
    Column("expiry", Date),
    Column("strike", _AMOUNT),
    Column("option_type", String(32)),
    Column("broker_code", String(64)),
    CheckConstraint("type IN ('net', 'day')", name="positions_type"),
)

# One row for each user, day and broker; the key's order is that of reading a trend.
SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("user_id", String(255), primary_key=True),
    Column("date", Date, primary_key=True),
    Column("broker", String(16), primary_key=True),
    Column("invested", _SUM, nullable=False),
    Column("current_value", _SUM, nullable=False),
    Column("pnl", _SUM, nullable=False),
    Column("positions_pnl", _SUM, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    Column("is_nightly", Boolean, nullable=False),
    Column("unpriced_count", Integer, nullable=False),
)


def _owned_table(name: str) -> Table:
    """Declare what users make and name; an id is given once, to one of all users."""
    return Table(
        name,
        METADATA,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("user_id", String(255), nullable=False),
        Column("name", String(100), nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Index(f"{name}_of_user", "user_id", "id"),
        sqlite_autoincrement=True,
    )


def _key_of(parent: Table, column: str) -> tuple[Column[int], Column[str]]:
    """Declare the key of what belongs to a row of `parent` and goes with it: no instrument is there twice."""
    return (
        Column(column, BigInteger, ForeignKey(parent.c.id, ondelete="CASCADE"), primary_key=True),
        Column("instrument", String(64), primary_key=True),
    )


WATCHLISTS = _owned_table("watchlists")

# The tickers in their owner's order; `symbol` is as the owner wrote it.
WATCHED_TICKERS = Table(
    "watched_tickers",
    METADATA,
    *_key_of(WATCHLISTS, "watchlist_id"),
    Column("ordinal", Integer, nullable=False),
    Column("symbol", String(32), nullable=False),
    Column("name", Text, nullable=False),
)

MANUAL_PORTFOLIOS = _owned_table("manual_portfolios")

# The stocks in the order they were first added; `symbol` is as the owner wrote it last.
MANUAL_STOCKS = Table(
    "manual_stocks",
    METADATA,
    *_key_of(MANUAL_PORTFOLIOS, "portfolio_id"),
    Column("ordinal", Integer, nullable=False),
    Column("symbol", String(32), nullable=False),
    Column("quantity", _OWN_AMOUNT, nullable=False),
    Column("total_cost", _OWN_AMOUNT, nullable=False),
)

# The summaries of the past hour, by which one too many is known. They are of an address, whose digest is all that is
# known of it, and not of a user: who deletes an account and makes another does not get six more.
SUMMARY_LETTERS = Table(
    "summary_letters",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("address_digest", String(64), nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
    Index("summary_letters_to_address", "address_digest", "claimed_at"),
    Index("summary_letters_by_age", "claimed_at"),
)

OUTBOX = outbox_table(METADATA)
