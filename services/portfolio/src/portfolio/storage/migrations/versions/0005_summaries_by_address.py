"""Count summaries by address instead of by user, so that a new account does not begin anew."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # What was counted is an hour's at most, and addresses are not known here.
    op.drop_table("summary_letters")
    op.create_table(
        "summary_letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("address_digest", sa.String(64), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("summary_letters_to_address", "summary_letters", ["address_digest", "claimed_at"])
    op.create_index("summary_letters_by_age", "summary_letters", ["claimed_at"])
