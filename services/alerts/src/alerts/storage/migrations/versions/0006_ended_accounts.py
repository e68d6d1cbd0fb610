"""Remember which accounts ended for as long as something may still be set in their names."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "ended_accounts",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("through", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ended_accounts_through", "ended_accounts", ["through"])
