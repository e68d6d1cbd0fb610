"""Share the shards out among replicas: alerts know theirs, each has a lease and a checkpoint of its own."""

from zlib import crc32

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SHARDS = 16
ROWS_AT_ONCE = 10_000


def upgrade() -> None:
    create_leases()
    give_alerts_a_shard()
    give_shards_a_checkpoint()


def create_leases() -> None:
    op.create_table(
        "shard_leases",
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.String(128)),
        sa.Column("fence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "replicas",
        sa.Column("holder", sa.String(128), primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )


def give_alerts_a_shard() -> None:
    for column in (
        sa.Column("shard", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("is_waiting", sa.Boolean, nullable=False, server_default=sa.false()),
    ):
        op.add_column("alerts", column)
    op.execute("UPDATE alerts SET is_waiting = true WHERE state = 'armed' AND armed_stream IS NULL")
    connection = op.get_bind()
    alerts = sa.table("alerts", sa.column("instrument"), sa.column("shard"))
    setting = alerts.update().where(alerts.c.instrument == sa.bindparam("name")).values(shard=sa.bindparam("number"))
    instruments = connection.execute(sa.select(alerts.c.instrument).distinct()).scalars().all()
    numbered = [{"name": name, "number": crc32(name.encode()) % SHARDS} for name in instruments]
    op.create_index("alerts_numbered", "alerts", ["instrument"])
    for first in range(0, len(numbered), ROWS_AT_ONCE):
        connection.execute(setting, numbered[first : first + ROWS_AT_ONCE])
    op.drop_index("alerts_numbered", "alerts")
    for name in ("alerts_armed", "alerts_waiting"):
        op.drop_index(name, "alerts")
    is_armed, is_waiting = sa.text("state = 'armed'"), sa.text("state = 'armed' AND is_waiting")
    op.create_index("alerts_armed", "alerts", ["shard", "instrument"], postgresql_where=is_armed, sqlite_where=is_armed)
    op.create_index("alerts_waiting", "alerts", ["shard", "id"], postgresql_where=is_waiting, sqlite_where=is_waiting)


def give_shards_a_checkpoint() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resume_stream", sa.Integer, nullable=False),
        sa.Column("resume_sequence", sa.BigInteger, nullable=False),
        sa.Column("resume_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evaluated_stream", sa.Integer, nullable=False),
        sa.Column("evaluated_sequence", sa.BigInteger, nullable=False),
    )
    columns = "began_at, resume_stream, resume_sequence, resume_at, evaluated_stream, evaluated_sequence"
    for shard in range(SHARDS):
        op.execute(f"INSERT INTO checkpoints (shard, {columns}) SELECT {shard}, {columns} FROM checkpoint")  # noqa: S608
    op.drop_table("checkpoint")
    op.create_table(
        "repeated_batches",
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("stream", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    )
