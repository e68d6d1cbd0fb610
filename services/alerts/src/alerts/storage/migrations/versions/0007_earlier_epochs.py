"""Keep the last batch of each epoch of a publisher's shard, and whose prices it held."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Nullable: what is older writes none.
    op.add_column("publisher_shards", sa.Column("source", sa.String(64)))
    op.add_column("publisher_shards", sa.Column("freshness", sa.String(16)))
    op.create_table(
        "earlier_epochs",
        sa.Column("publisher_id", sa.String(255), primary_key=True),
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(64)),
        sa.Column("freshness", sa.String(16)),
    )
