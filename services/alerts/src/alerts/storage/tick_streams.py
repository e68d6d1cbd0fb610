"""The lives of the stream of ticks, numbered in the order in which they were first seen."""

import asyncio
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from alerts.storage.tables import TICK_STREAMS
from chassis.database import Database

MAX_REMEMBERED = 64


class TickStreams:
    """Numbers streams by the time they were created at, which tells them apart but does not order them safely."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ordinals: dict[datetime, int] = {}
        # First come, first numbered: whoever has asked the server first is in front here, too.
        self._lock = asyncio.Lock()

    async def ordinal_of(self, created_at: datetime) -> int:
        """Return the ordinal of the stream created at a time, from 1; a new one is numbered behind all others.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        async with self._lock:
            ordinal = self._ordinals.get(created_at)
            if ordinal is None:
                ordinal = await self._read(created_at) or await self._add(created_at)
                self._remember(created_at, ordinal)
            return ordinal

    async def _read(self, created_at: datetime) -> int | None:
        query = select(TICK_STREAMS.c.ordinal).where(TICK_STREAMS.c.created_at == created_at)
        async with self._database.reading() as connection:
            ordinal: int | None = (await connection.execute(query)).scalar()
        return ordinal

    async def _add(self, created_at: datetime) -> int:
        adding = insert(TICK_STREAMS).values(created_at=created_at).returning(TICK_STREAMS.c.ordinal)
        try:
            async with self._database.transaction() as connection:
                return int((await connection.execute(adding)).scalar_one())
        except IntegrityError:
            ordinal = await self._read(created_at)
            if ordinal is None:
                raise
            return ordinal

    def _remember(self, created_at: datetime, ordinal: int) -> None:
        if len(self._ordinals) >= MAX_REMEMBERED:
            self._ordinals.clear()
        self._ordinals[created_at] = ordinal
