"""How far ticks were evaluated, in the database."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Table, bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.alerts import Freshness
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.continuity import NotEvaluated, PublisherShard, Reason, Standing
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.storage.leases import held_of, is_held
from alerts.storage.tables import (
    ALERTS,
    CHECKPOINTS,
    EARLIER_EPOCHS,
    NOT_EVALUATED,
    PUBLISHER_SHARDS,
    REPEATED_BATCHES,
)
from chassis.database import Database
from chassis.metrics import counter

_NOT_EVALUATED = counter("bourse_alerts_not_evaluated", "Intervals recorded as not evaluated, one a shard.", ["reason"])
_BY_REASON = {reason: _NOT_EVALUATED.labels(reason.value) for reason in Reason}

_SAVE = (
    update(CHECKPOINTS)
    .where(CHECKPOINTS.c.shard == bindparam("its_shard"))
    .values(
        {
            name: bindparam(name)
            for name in (
                "resume_stream",
                "resume_sequence",
                "resume_at",
                "evaluated_stream",
                "evaluated_sequence",
            )
        }
    )
)
_TAKE_UP = (
    update(ALERTS)
    .where(ALERTS.c.id == bindparam("taken_id"), ALERTS.c.generation == bindparam("taken_generation"))
    .values(is_waiting=False, armed_at=bindparam("taken_at"))
)


class SavedProgress:
    """Keeps the checkpoints in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._saved_repeats: dict[int, tuple[Lease, Sequence[Position]]] = {}
        self._saved_earlier: dict[int, tuple[Lease, Sequence[PublisherShard]]] = {}

    async def load(self, shards: Sequence[int], *, now: datetime) -> Mapping[int, Checkpoint]:
        """Return each shard's last checkpoint; the first time ever, one that begins now and has evaluated nothing.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        first = Checkpoint(began_at=now, resume=Mark(NOWHERE, now), evaluated=NOWHERE, seen=())
        async with self._database.transaction() as connection:
            checkpoints = await _read(connection, shards)
            new = [shard for shard in shards if shard not in checkpoints]
            if new:
                row = {"began_at": now, **_row_of(first)}
                await connection.execute(insert(CHECKPOINTS), [{"shard": shard, **row} for shard in new])
        return {shard: checkpoints.get(shard, first) for shard in shards}

    async def save(self, progress: Sequence[Progress]) -> Collection[Lease]:
        """Save checkpoints, what is missing in front of them and what was taken up, all or nothing.

        Returns:
            The leases that are still held; of the others nothing was saved.

        Raises:
            DatabaseUnavailable: it may or may not be saved; saving it again records what is missing twice at most.
        """
        async with self._database.transaction() as connection:
            held = await held_of(connection, (each.lease for each in progress))
            ours = sorted((each for each in progress if each.lease in held), key=lambda each: each.lease)
            changed = [each for each in ours if self._saved_repeats.get(each.lease.shard) != _repeats_of(each)]
            begun = [each for each in ours if self._saved_earlier.get(each.lease.shard) != _earlier_of(each)]
            if ours:
                await _save(connection, ours)
            if changed:
                await _save_repeats(connection, changed)
            if begun:
                await _save_earlier(connection, begun)
        self._saved_repeats.update({each.lease.shard: _repeats_of(each) for each in changed})
        self._saved_earlier.update({each.lease.shard: _earlier_of(each) for each in begun})
        for missing in (missing for each in ours for missing in each.missing):
            count_missing(missing.reason)
        return held

    async def standing(self, shard: int) -> Standing:
        """Return how far a shard was evaluated, whoever holds it.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        columns = CHECKPOINTS.c
        query = select(columns.resume_at, columns.resume_stream).where(columns.shard == shard)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
            has_begun = row is not None and row.resume_stream != NOWHERE.stream
            return Standing(row.resume_at if row and has_begun else None, await is_held(connection, shard))

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


async def _read(connection: AsyncConnection, shards: Sequence[int]) -> dict[int, Checkpoint]:
    rows = (await connection.execute(select(CHECKPOINTS).where(CHECKPOINTS.c.shard.in_(shards)))).all()
    seen = [*await _seen_in(connection, EARLIER_EPOCHS, shards), *await _seen_in(connection, PUBLISHER_SHARDS, shards)]
    places = REPEATED_BATCHES.c
    query_repeats = select(places.shard, places.stream, places.sequence).where(places.shard.in_(shards))
    repeats = (await connection.execute(query_repeats.order_by(places.stream, places.sequence))).all()
    return {
        row.shard: Checkpoint(
            began_at=row.began_at,
            resume=Mark(Position(row.resume_stream, row.resume_sequence), row.resume_at),
            evaluated=Position(row.evaluated_stream, row.evaluated_sequence),
            seen=_without_copies(each for each in seen if each.shard == row.shard),
            repeats=tuple(Position(each.stream, each.sequence) for each in repeats if each.shard == row.shard),
        )
        for row in rows
    }


async def _seen_in(connection: AsyncConnection, table: Table, shards: Sequence[int]) -> Sequence[PublisherShard]:
    """Return the epochs of a table, the last heard of at the end: what is in front is forgotten first."""
    columns = table.c
    rows = await connection.execute(
        select(table).where(columns.shard.in_(shards)).order_by(columns.last_at, columns.publisher_id, columns.epoch)
    )
    return [
        PublisherShard(
            publisher_id=row.publisher_id,
            shard=row.shard,
            epoch=row.epoch,
            sequence=row.sequence,
            last_at=row.last_at,
            source=row.source,
            freshness=None if row.freshness is None else Freshness(row.freshness),
        )
        for row in rows
    ]


def _without_copies(seen: Iterable[PublisherShard]) -> Sequence[PublisherShard]:
    """Return the last of each epoch: the release before knows of no earlier epochs, and may write one of them."""
    by_epoch: dict[tuple[str, int], PublisherShard] = {}
    for each in seen:
        by_epoch.pop((each.publisher_id, each.epoch), None)
        by_epoch[each.publisher_id, each.epoch] = each
    return tuple(by_epoch.values())


async def _save(connection: AsyncConnection, progress: Sequence[Progress]) -> None:
    checkpoints = [{"its_shard": each.lease.shard, **_row_of(each.checkpoint)} for each in progress]
    await connection.execute(_SAVE, checkpoints)
    shards = [each.lease.shard for each in progress]
    await connection.execute(delete(PUBLISHER_SHARDS).where(PUBLISHER_SHARDS.c.shard.in_(shards)))
    seen = [_seen_row(seen) for each in progress for seen in _latest(each.checkpoint.seen)]
    if seen:
        await connection.execute(insert(PUBLISHER_SHARDS), seen)
    missing = [missing_row(missing) for each in progress for missing in each.missing]
    if missing:
        await connection.execute(insert(NOT_EVALUATED), missing)
    taken_up = [
        {"taken_id": taken.alert_id, "taken_generation": taken.generation, "taken_at": taken.armed_at}
        for taken in sorted(taken for each in progress for taken in each.taken_up)
    ]
    if taken_up:
        await connection.execute(_TAKE_UP, taken_up)


def _repeats_of(progress: Progress) -> tuple[Lease, Sequence[Position]]:
    return progress.lease, progress.checkpoint.repeats


async def _save_repeats(connection: AsyncConnection, progress: Sequence[Progress]) -> None:
    shards = [each.lease.shard for each in progress]
    await connection.execute(delete(REPEATED_BATCHES).where(REPEATED_BATCHES.c.shard.in_(shards)))
    repeats = [
        {"shard": each.lease.shard, "stream": position.stream, "sequence": position.sequence}
        for each in progress
        for position in each.checkpoint.repeats
    ]
    if repeats:
        await connection.execute(insert(REPEATED_BATCHES), repeats)


def _latest(seen: Sequence[PublisherShard]) -> Collection[PublisherShard]:
    """Return the epoch in which each publisher published last, of those of one shard."""
    return {each.publisher_id: each for each in seen}.values()


def _earlier_of(progress: Progress) -> tuple[Lease, Sequence[PublisherShard]]:
    latest = set(_latest(progress.checkpoint.seen))
    return progress.lease, tuple(each for each in progress.checkpoint.seen if each not in latest)


async def _save_earlier(connection: AsyncConnection, progress: Sequence[Progress]) -> None:
    shards = [each.lease.shard for each in progress]
    await connection.execute(delete(EARLIER_EPOCHS).where(EARLIER_EPOCHS.c.shard.in_(shards)))
    earlier = [_seen_row(seen) for each in progress for seen in _earlier_of(each)[1]]
    if earlier:
        await connection.execute(insert(EARLIER_EPOCHS), earlier)


def _row_of(checkpoint: Checkpoint) -> dict[str, object]:
    return {
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
        "source": seen.source,
        "freshness": seen.freshness and seen.freshness.value,
    }


def count_missing(reason: Reason) -> None:
    """Count a stretch of time without evaluation that is recorded, and committed."""
    _BY_REASON[reason].inc()


def missing_row(missing: NotEvaluated) -> dict[str, object]:
    """Return the row that records a stretch of time without evaluation."""
    return {
        "reason": missing.reason.value,
        "from_at": missing.from_at,
        "to_at": missing.to_at,
        "shard": missing.shard,
        "publisher_id": missing.publisher_id,
    }
