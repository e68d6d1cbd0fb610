"""Let replicas agree on who publishes ticks and asks vendors."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    lease = op.create_table(
        "leader_lease",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.String(128)),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("renewals", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="leader_lease_id"),
    )
    op.bulk_insert(lease, [{"id": 1, "epoch": 0, "renewals": 0}])
