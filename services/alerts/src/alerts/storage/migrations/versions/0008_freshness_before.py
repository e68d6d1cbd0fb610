"""Keep with a fire how far the price before it could be relied on."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Nullable: what is older writes none.
    op.add_column("fires", sa.Column("before_freshness", sa.String(16)))
