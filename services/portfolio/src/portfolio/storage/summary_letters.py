"""How many summaries each user was sent within the hour, in the database, so that replicas count together."""

from datetime import datetime

from sqlalchemy import delete, insert, select

from chassis.database import Database
from portfolio.domain.summary_sending import HOUR, MAX_AN_HOUR, SummaryThrottled
from portfolio.storage.statements import lock_for_new
from portfolio.storage.tables import SUMMARY_LETTERS


class StoredSummaryLetters:
    """Counts summaries; at most an hour's worth is kept of a user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, user_id: str, letter_id: str, *, at: datetime) -> None:
        """Count one more.

        Raises:
            SummaryThrottled: an hour has as many as it may have.
            AccountDeleted: the account was deleted, not before `at`.
            DatabaseUnavailable: it may or may not be counted.
        """
        columns = SUMMARY_LETTERS.c
        outdated = delete(SUMMARY_LETTERS).where(columns.user_id == user_id, columns.claimed_at <= at - HOUR)
        query = select(columns.claimed_at).where(columns.user_id == user_id).order_by(columns.claimed_at)
        async with self._database.transaction() as connection:
            await lock_for_new(connection, user_id, at=at)
            await connection.execute(outdated)
            claims = (await connection.execute(query)).scalars().all()
            if len(claims) >= MAX_AN_HOUR:
                raise SummaryThrottled((claims[-MAX_AN_HOUR] + HOUR - at).total_seconds())
            row = {"letter_id": letter_id, "user_id": user_id, "claimed_at": at}
            await connection.execute(insert(SUMMARY_LETTERS).values(row))

    async def release(self, letter_id: str) -> None:
        """Count one less.

        Raises:
            DatabaseUnavailable: it may or may not be given back.
        """
        async with self._database.transaction() as connection:
            await connection.execute(delete(SUMMARY_LETTERS).where(SUMMARY_LETTERS.c.letter_id == letter_id))
