"""How far ticks were evaluated, in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.continuity import NotEvaluated, PublisherShard, Reason
from alerts.domain.positions import NOWHERE, Position
from alerts.storage.tables import CHECKPOINT, NOT_EVALUATED, PUBLISHER_SHARDS
from chassis.database import Database

THE_ONE = 1


class SavedProgress:
    """Keeps the one checkpoint in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, *, now: datetime) -> Checkpoint:
        """Return the last checkpoint; the first time ever, one that begins now and has evaluated nothing.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        async with self._database.transaction() as connection:
            checkpoint = await _read(connection)
            if checkpoint is None:
                checkpoint = Checkpoint(began_at=now, resume=Mark(NOWHERE, now), evaluated=NOWHERE, seen=())
                await connection.execute(insert(CHECKPOINT).values(id=THE_ONE, **_row_of(checkpoint)))
        return checkpoint

    async def save(self, progress: Progress) -> None:
        """Save a checkpoint and what is missing in front of it, both or neither.

        Raises:
            DatabaseUnavailable: it may or may not be saved; saving it again records what is missing twice at most.
        """
        checkpoint = progress.checkpoint
        async with self._database.transaction() as connection:
            await connection.execute(update(CHECKPOINT).values(_row_of(checkpoint)))
            await connection.execute(delete(PUBLISHER_SHARDS))
            if checkpoint.seen:
                await connection.execute(insert(PUBLISHER_SHARDS), [_seen_row(seen) for seen in checkpoint.seen])
            if progress.missing:
                await connection.execute(insert(NOT_EVALUATED), [missing_row(missing) for missing in progress.missing])

    async def missing_since(self, moment: datetime, *, shard: int, limit: int) -> Sequence[NotEvaluated]:
        """Return the stretches that end later than a moment and are about a shard, the last recorded first.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        columns = NOT_EVALUATED.c
        is_about = or_(columns.shard.is_(None), columns.shard == shard)
        query = select(NOT_EVALUATED).where(columns.to_at > moment, is_about)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(columns.id.desc()).limit(limit))
            return [
                NotEvaluated(Reason(row.reason), row.from_at, row.to_at, row.shard, row.publisher_id) for row in rows
            ]


async def _read(connection: AsyncConnection) -> Checkpoint | None:
    row = (await connection.execute(select(CHECKPOINT))).one_or_none()
    if row is None:
        return None
    columns = PUBLISHER_SHARDS.c
    seen = await connection.execute(
        select(columns.publisher_id, columns.shard, columns.epoch, columns.sequence, columns.last_at)
    )
    return Checkpoint(
        began_at=row.began_at,
        resume=Mark(Position(row.resume_stream, row.resume_sequence), row.resume_at),
        evaluated=Position(row.evaluated_stream, row.evaluated_sequence),
        seen=tuple(PublisherShard(*each) for each in seen),
    )


def _row_of(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "began_at": checkpoint.began_at,
        "resume_stream": checkpoint.resume.position.stream,
        "resume_sequence": checkpoint.resume.position.sequence,
        "resume_at": checkpoint.resume.at,
        "evaluated_stream": checkpoint.evaluated.stream,
        "evaluated_sequence": checkpoint.evaluated.sequence,
    }


def _seen_row(seen: PublisherShard) -> dict[str, object]:
    return {
        "publisher_id": seen.publisher_id,
        "shard": seen.shard,
        "epoch": seen.epoch,
        "sequence": seen.sequence,
        "last_at": seen.last_at,
    }


def missing_row(missing: NotEvaluated) -> dict[str, object]:
    """Return the row that records a stretch of time without evaluation."""
    return {
        "reason": missing.reason.value,
        "from_at": missing.from_at,
        "to_at": missing.to_at,
        "shard": missing.shard,
        "publisher_id": missing.publisher_id,
    }
