"""Keep with an event the span that it comes from, so that a trace goes on where it is read."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Nullable: what is older writes none.
    op.add_column("outbox", sa.Column("trace_parent", sa.String(64)))
