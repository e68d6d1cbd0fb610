"""The tables of market's database; migrations make them."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Double, MetaData, SmallInteger, String, Table

from chassis.database import UtcDateTime

METADATA = MetaData()

PATTERN_STATISTICS = Table(
    "pattern_statistics",
    METADATA,
    Column("source", String(32), primary_key=True),
    Column("configuration", String(16), primary_key=True),
    Column("session", Date, primary_key=True),
    Column("pattern", String(40), primary_key=True),
    Column("direction", SmallInteger, primary_key=True, autoincrement=False),
    Column("cases", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("base_cases", BigInteger, nullable=False),
    Column("base_hits", BigInteger, nullable=False),
    CheckConstraint("direction IN (1, -1)", name="pattern_statistics_direction"),
    CheckConstraint("0 <= hits AND hits <= cases", name="pattern_statistics_hits"),
    CheckConstraint("0 <= base_hits AND base_hits <= base_cases", name="pattern_statistics_base_hits"),
)


def _key() -> tuple[Column[str], Column[str]]:
    return Column("instrument", String(64), primary_key=True), Column("source", String(32), primary_key=True)


# Prices as they were paid and units as they were traded: a row is never changed. Without row ids SQLite keeps rows in
# the order of the key, so that a series is read in one piece.
DAILY_BARS = Table(
    "daily_bars",
    METADATA,
    *_key(),
    Column("session", Date, primary_key=True),
    Column("open", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("close", Double, nullable=False),
    Column("volume", BigInteger),
    CheckConstraint("open > 0 AND high > 0 AND low > 0 AND close > 0", name="daily_bars_prices"),
    sqlite_with_rowid=False,
)

DAILY_BAR_SPLITS = Table(
    "daily_bar_splits",
    METADATA,
    *_key(),
    Column("ex_date", Date, primary_key=True),
    Column("new_units", BigInteger, nullable=False),
    Column("old_units", BigInteger, nullable=False),
    CheckConstraint("new_units > 0 AND old_units > 0", name="daily_bar_splits_units"),
    sqlite_with_rowid=False,
)

# Amounts a unit of the ex-date.
DAILY_BAR_DIVIDENDS = Table(
    "daily_bar_dividends",
    METADATA,
    *_key(),
    Column("ex_date", Date, primary_key=True),
    Column("amount", Double, nullable=False),
    sqlite_with_rowid=False,
)

# What each source was asked: everything from `first` on, the newest part at `asked_at`.
DAILY_BAR_COVERAGES = Table(
    "daily_bar_coverages",
    METADATA,
    *_key(),
    Column("first", Date, nullable=False),
    Column("last", Date, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)

# One row, which the migration makes. It holds no time: replicas measure how long they see it unchanged.
LEADER_LEASE = Table(
    "leader_lease",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("holder", String(128)),
    Column("epoch", BigInteger, nullable=False),
    Column("renewals", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="leader_lease_id"),
)
