"""Which accounts ended, and until when all is of them, in the database."""

from datetime import datetime
from zlib import crc32

from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.accounts import AccountDeleted
from alerts.storage.tables import ENDED_ACCOUNTS

ACCOUNT_LOCK = 7_201_986  # an arbitrary number, the same in every replica
_SHARED = text("SELECT pg_advisory_xact_lock_shared(CAST(:space AS integer), CAST(:account AS integer))")
_ALONE = text("SELECT pg_advisory_xact_lock(CAST(:space AS integer), CAST(:account AS integer))")


async def require_account(connection: AsyncConnection, user_id: str, *, at: datetime) -> None:
    """Keep an account from ending until the transaction does, for what is set at a moment.

    Whoever locks more does so behind this.

    Raises:
        AccountDeleted: it ended, not before that moment.
    """
    await _lock(connection, user_id, alone=False)
    query = select(ENDED_ACCOUNTS.c.through).where(ENDED_ACCOUNTS.c.user_id == user_id)
    through = (await connection.execute(query)).scalar_one_or_none()
    if through is not None and at <= through:
        raise AccountDeleted


async def end_account(connection: AsyncConnection, user_id: str, *, through: datetime) -> None:
    """Refuse what is set up to a moment, and wait for what is being set; an earlier moment than before changes nothing.

    Whoever locks more does so behind this.
    """
    await _lock(connection, user_id, alone=True)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    ending = insert(ENDED_ACCOUNTS).values(user_id=user_id, through=through)
    prolonging = ending.on_conflict_do_update(
        index_elements=[ENDED_ACCOUNTS.c.user_id],
        set_={"through": ending.excluded.through},
        where=ENDED_ACCOUNTS.c.through < ending.excluded.through,
    )
    await connection.execute(prolonging)


async def _lock(connection: AsyncConnection, user_id: str, *, alone: bool) -> None:
    """Let those who set alerts of a user go together, and who ends the account alone."""
    if connection.dialect.name == "postgresql":
        # SQLite has one writer at a time anyway.
        key = {"space": ACCOUNT_LOCK, "account": crc32(user_id.encode()) - (1 << 31)}
        await connection.execute(_ALONE if alone else _SHARED, key)
