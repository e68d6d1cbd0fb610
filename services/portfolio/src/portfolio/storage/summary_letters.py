"""How many summaries each address was sent within the hour, in the database, so that replicas count together."""

from datetime import datetime

from sqlalchemy import delete, insert, select

from chassis.database import Database
from portfolio.domain.summary_sending import HOUR, MAX_AN_HOUR, SummaryThrottled
from portfolio.storage.statements import lock_address, lock_for_new
from portfolio.storage.tables import SUMMARY_LETTERS


class StoredSummaryLetters:
    """Counts summaries; what is older than an hour counts for nothing, and is there until it is swept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, user_id: str, address_digest: str, *, at: datetime) -> int:
        """Count one more to an address and return what gives it back.

        Raises:
            SummaryThrottled: an hour has as many as it may have.
            AccountDeleted: the account was deleted, not before `at`.
            DatabaseUnavailable: it may or may not be counted.
        """
        columns = SUMMARY_LETTERS.c
        is_of_hour = (columns.address_digest == address_digest) & (columns.claimed_at > at - HOUR)
        query = select(columns.claimed_at).where(is_of_hour).order_by(columns.claimed_at)
        async with self._database.transaction() as connection:
            await lock_for_new(connection, user_id, at=at)
            await lock_address(connection, address_digest)
            claims = (await connection.execute(query)).scalars().all()
            if len(claims) >= MAX_AN_HOUR:
                raise SummaryThrottled((claims[-MAX_AN_HOUR] + HOUR - at).total_seconds())
            row = insert(SUMMARY_LETTERS).values(address_digest=address_digest, claimed_at=at)
            return int((await connection.execute(row.returning(columns.id))).scalar_one())

    async def release(self, claim_id: int) -> None:
        """Count one less.

        Raises:
            DatabaseUnavailable: it may or may not be given back.
        """
        async with self._database.transaction() as connection:
            await connection.execute(delete(SUMMARY_LETTERS).where(SUMMARY_LETTERS.c.id == claim_id))

    async def sweep(self, *, through: datetime) -> int:
        """Delete what was counted up to a moment, and return how many they were.

        Raises:
            DatabaseUnavailable: all of it is deleted or nothing.
        """
        outdated = delete(SUMMARY_LETTERS).where(SUMMARY_LETTERS.c.claimed_at <= through)
        async with self._database.transaction() as connection:
            return (await connection.execute(outdated)).rowcount
