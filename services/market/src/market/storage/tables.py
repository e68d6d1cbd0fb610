"""The tables of market's database; migrations make them."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, MetaData, SmallInteger, String, Table

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
