"""Keep alerts, their fires, and how far ticks were evaluated."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def numbered(name: str, *, autoincrement: bool) -> sa.Column[int]:
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, big, primary_key=True, autoincrement=autoincrement)


def moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    create_alerts()
    create_fires()
    create_evaluation()
    op.create_table(
        "outbox",
        numbered("id", autoincrement=True),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("message_id", sa.String(200), nullable=False, unique=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        moment("created_at"),
        sqlite_autoincrement=True,
    )


def create_alerts() -> None:
    op.create_table(
        "alerts",
        numbered("id", autoincrement=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("type", sa.String(4), nullable=False),
        sa.Column("instrument", sa.String(64), nullable=False),
        sa.Column("symbol", sa.String(64), nullable=False),
        sa.Column("price", sa.String(24), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        moment("created_at"),
        moment("updated_at", nullable=True),
        sa.Column("armed_stream", sa.Integer),
        sa.Column("armed_sequence", sa.BigInteger),
        moment("fired_at", nullable=True),
        sa.Column("fired_price", sa.Double),
        sa.Column("fired_source", sa.String(64)),
        sa.Column("fired_freshness", sa.String(16)),
        sa.UniqueConstraint("user_id", "type", "instrument", name="alerts_identity"),
        sa.CheckConstraint("(armed_stream IS NULL) = (armed_sequence IS NULL)", name="alerts_position"),
        sa.CheckConstraint("(state = 'fired') = (fired_at IS NOT NULL)", name="alerts_fired"),
    )
    is_armed = sa.text("state = 'armed'")
    op.create_index("alerts_armed", "alerts", ["instrument"], postgresql_where=is_armed, sqlite_where=is_armed)
    is_waiting = sa.text("state = 'armed' AND armed_stream IS NULL")
    op.create_index("alerts_waiting", "alerts", ["id"], postgresql_where=is_waiting, sqlite_where=is_waiting)


def create_fires() -> None:
    op.create_table(
        "fires",
        sa.Column("alert_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("type", sa.String(4), nullable=False),
        sa.Column("instrument", sa.String(64), nullable=False),
        sa.Column("symbol", sa.String(64), nullable=False),
        sa.Column("price", sa.String(24), nullable=False),
        moment("fired_at"),
        sa.Column("fired_price", sa.Double, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("freshness", sa.String(16), nullable=False),
        sa.Column("publisher_id", sa.String(255), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("shard", sa.SmallInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("stream", sa.Integer, nullable=False),
        sa.Column("stream_sequence", sa.BigInteger, nullable=False),
        moment("committed_at"),
    )
    op.create_index("fires_of_user", "fires", ["user_id", "committed_at"])


def create_evaluation() -> None:
    op.create_table(
        "tick_streams",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, unique=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        moment("began_at"),
        sa.Column("resume_stream", sa.Integer, nullable=False),
        sa.Column("resume_sequence", sa.BigInteger, nullable=False),
        moment("resume_at"),
        sa.Column("evaluated_stream", sa.Integer, nullable=False),
        sa.Column("evaluated_sequence", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="checkpoint_is_one"),
    )
    op.create_table(
        "publisher_shards",
        sa.Column("publisher_id", sa.String(255), primary_key=True),
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        moment("last_at"),
    )
    op.create_table(
        "not_evaluated",
        numbered("id", autoincrement=True),
        sa.Column("reason", sa.String(32), nullable=False),
        moment("from_at"),
        moment("to_at"),
        sa.Column("shard", sa.SmallInteger),
        sa.Column("publisher_id", sa.String(255)),
        sqlite_autoincrement=True,
    )
    op.create_index("not_evaluated_to", "not_evaluated", ["to_at"])
