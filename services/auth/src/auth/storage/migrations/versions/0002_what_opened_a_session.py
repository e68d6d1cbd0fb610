"""Record what a session was opened by; those from before were opened by password."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("opened_by", sa.String(16), nullable=False, server_default="password"))
