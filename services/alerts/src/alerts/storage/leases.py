"""Leases on the shards in the database: who holds which, who lives, and the check that every write of a holder makes.

A shard's row changes only when it changes hands; that a holder lives is one row of its own. So those who write under a
lease lock a row that nobody else touches.

A replica can be stopped in any statement, and PostgreSQL's own timeouts do not end a session that has sent half of the
messages of one. So the sessions of a replica bear its name, and the others end them when it is not heard of any more.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, column, delete, func, insert, select, table, text, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.domain.leases import LEASE_SECONDS, Lease, Share, Tenancy, share_of, vacancies
from alerts.domain.ticks import SHARDS
from alerts.storage.tables import REPLICAS, SHARD_LEASES
from chassis.database import Database
from chassis.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

ROUND_LOCK = 7_201_984  # an arbitrary number, the same in every replica
ROUND_IDLE_MILLISECONDS = 2_000
ROUND_WAIT_SECONDS = 1.0
ROUND_POLL_SECONDS = 0.02
# A round that lasts longer, the waiting for it included, is ended when its replica is not heard of any more.
ROUND_SECONDS = 3.0
END_MILLISECONDS = 1_000

_CHANGE_HANDS = (
    update(SHARD_LEASES)
    .where(SHARD_LEASES.c.shard == bindparam("its_shard"), SHARD_LEASES.c.fence == bindparam("its_fence"))
    .values(holder=bindparam("next_holder"), fence=SHARD_LEASES.c.fence + 1)
)

# A replica in its first round has no row yet that others see.
_END_ROUND = text("""
    SELECT activity.application_name, pg_terminate_backend(activity.pid, :patience)
    FROM pg_locks AS lock
    JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
    WHERE lock.locktype = 'advisory' AND lock.granted
        AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND lock.classid = 0 AND lock.objid = :key AND lock.objsubid = 1
        AND activity.application_name <> ''
        AND activity.xact_start < clock_timestamp() - make_interval(secs => :seconds)
        AND NOT EXISTS (
            SELECT FROM replicas WHERE holder = activity.application_name AND expires_at >= clock_timestamp()
        )
""")


class Leases:
    """Keeps one replica's leases in a database, on the database's clock."""

    def __init__(self, database: Database, holder: str) -> None:
        """Hold shards as `holder`, a name of up to 63 ASCII characters that no other replica has or had.

        It is the application's name of all of the replica's sessions, by which others find and end them.
        """
        self._database = database
        self._holder = holder

    async def begin(self) -> None:
        """Say that this replica starts.

        An SQLite file has one process: whoever held shards before is gone, however short a time ago.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        async with self._database.transaction() as connection:
            if connection.dialect.name == "sqlite":
                await connection.execute(delete(REPLICAS))

    async def renew(self) -> Share:
        """Say that this replica lives, take what it can have, and return what it holds.

        Raises:
            DatabaseUnavailable: shards may have been taken or not; the next call says so.
        """
        async with self._database.transaction() as connection:
            await _take_turns(connection)
            living = await self._show_life(connection)
            tenancies = await _tenancies(connection)
            turns = vacancies(self._holder, tenancies, living=living)
            taken = await self._take(connection, turns, {each.shard: each.holder for each in tenancies})
            after = [taken.get(each.shard, each) for each in tenancies]
        return share_of(self._holder, after, replicas=len(living))

    async def release(self, leases: Collection[Lease]) -> None:
        """Give shards back, so that others can take them at once.

        Raises:
            DatabaseUnavailable: they may have been given back or not.
        """
        async with self._database.transaction() as connection:
            # What is being written under them is waited for before the turn, so that it keeps nobody from renewing.
            await connection.execute(_which(lease.shard for lease in leases).with_for_update())
            await _take_turns(connection)
            await _change_hands(connection, leases, holder=None)

    async def leave(self) -> None:
        """Give everything back and say that this replica is gone.

        Raises:
            DatabaseUnavailable: it may be gone or not; what it holds runs out.
        """
        async with self._database.transaction() as connection:
            await _take_turns(connection)
            held = share_of(self._holder, await _tenancies(connection), replicas=1).held
            await _change_hands(connection, held, holder=None)
            await connection.execute(delete(REPLICAS).where(REPLICAS.c.holder == self._holder))

    async def _show_life(self, connection: AsyncConnection) -> Collection[str]:
        """Prolong this replica's life, bury those that have run out, and return the living.

        A replica whose own life has run out, and which nobody has buried, finds that no round was had meanwhile: the
        database was away. Nobody could say that they live, so all get as long as itself to do so.
        """
        now = await now_of(connection)
        expires_at = now + timedelta(seconds=LEASE_SECONDS)
        is_ours = REPLICAS.c.holder == self._holder
        known_until = (await connection.execute(select(REPLICAS.c.expires_at).where(is_ours))).scalar_one_or_none()
        if known_until is None:
            await connection.execute(insert(REPLICAS).values(holder=self._holder, expires_at=expires_at))
        else:
            whose = is_ours if known_until >= now else true()
            await connection.execute(update(REPLICAS).where(whose).values(expires_at=expires_at))
        await _bury(connection, now)
        return set((await connection.execute(select(REPLICAS.c.holder))).scalars())

    async def _take(
        self, connection: AsyncConnection, turns: Sequence[Lease], holders: Mapping[int, str | None]
    ) -> dict[int, Tenancy]:
        free = await _lock(connection, turns)
        stuck = {holder for turn in turns if turn not in free and (holder := holders[turn.shard]) is not None}
        if stuck:
            await _end_sessions(connection, stuck)
            free |= await _lock(connection, [turn for turn in turns if turn not in free])
        taken = [turn for turn in turns if turn in free]
        await _change_hands(connection, [Lease(turn.shard, turn.fence - 1) for turn in taken], holder=self._holder)
        return {turn.shard: Tenancy(turn.shard, self._holder, turn.fence) for turn in taken}


async def _bury(connection: AsyncConnection, now: datetime) -> None:
    buried = await connection.execute(delete(REPLICAS).where(REPLICAS.c.expires_at < now).returning(REPLICAS.c.holder))
    if lost := sorted(buried.scalars()):
        log.warning("replicas not heard of", extra={"replicas": len(lost)})
        await _end_sessions(connection, lost)


def _which(shards: Iterable[int]) -> Select[Any]:
    """Select shards' rows, in the one order in which they are locked."""
    columns = SHARD_LEASES.c
    return select(columns.shard, columns.fence).where(columns.shard.in_(sorted(shards))).order_by(columns.shard)


async def _lock(connection: AsyncConnection, turns: Collection[Lease]) -> set[Lease]:
    """Lock the shards of those turns that are still the next, and under which nothing is being written."""
    rows = await connection.execute(_which(turn.shard for turn in turns).with_for_update(skip_locked=True))
    return {Lease(row.shard, row.fence + 1) for row in rows}.intersection(turns)


async def _end_sessions(connection: AsyncConnection, holders: Collection[str]) -> None:
    """End what lost holders are doing: they were stopped half-way, or their machines are gone."""
    if connection.dialect.name == "sqlite":
        return
    activity = table("pg_stat_activity", column("pid"), column("application_name"))
    is_theirs = activity.c.application_name.in_(sorted(holders))
    ended = await connection.execute(
        select(func.pg_terminate_backend(activity.c.pid, END_MILLISECONDS)).where(is_theirs)
    )
    if sessions := len(ended.all()):
        log.warning("sessions of lost replicas ended", extra={"sessions": sessions})


async def held_of(connection: AsyncConnection, leases: Iterable[Lease]) -> frozenset[Lease]:
    """Return those of the leases that are still held; they stay so until the transaction ends.

    Whatever is written under a lease is written behind this, in the same transaction.
    """
    columns = SHARD_LEASES.c
    asked = [(lease.shard, lease.fence) for lease in sorted(set(leases))]
    query = select(columns.shard, columns.fence).where(
        tuple_(columns.shard, columns.fence).in_(asked), columns.holder.is_not(None)
    )
    rows = await connection.execute(query.order_by(columns.shard).with_for_update(read=True))
    return frozenset(Lease(row.shard, row.fence) for row in rows)


async def is_held(connection: AsyncConnection, shard: int) -> bool:
    """Say whether a shard is held by a replica whose lease has not run out."""
    query = (
        select(REPLICAS.c.expires_at)
        .join(SHARD_LEASES, SHARD_LEASES.c.holder == REPLICAS.c.holder)
        .where(SHARD_LEASES.c.shard == shard)
    )
    expires_at = (await connection.execute(query)).scalar_one_or_none()
    return expires_at is not None and expires_at >= await now_of(connection)


async def now_of(connection: AsyncConnection) -> datetime:
    """Return the time on the database's clock."""
    if connection.dialect.name == "sqlite":
        written = await connection.execute(select(func.strftime("%Y-%m-%d %H:%M:%f", "now")))
        return datetime.fromisoformat(str(written.scalar_one())).replace(tzinfo=UTC)
    moment: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return moment


async def _take_turns(connection: AsyncConnection) -> None:
    """Let one replica at a time share out; one that is stopped in the middle is ended when its life has run out.

    Raises:
        DatabaseUnavailable: others took too long.
    """
    if connection.dialect.name == "sqlite":
        return
    idle = text(f"SET LOCAL idle_in_transaction_session_timeout = {ROUND_IDLE_MILLISECONDS}")
    await connection.execute(idle)
    for _ in range(round(ROUND_WAIT_SECONDS / ROUND_POLL_SECONDS)):
        if await _has_turn(connection):
            return
        await asyncio.sleep(ROUND_POLL_SECONDS)
    lost = await _end_round(connection)
    if not lost or not await _has_turn(connection):
        raise DatabaseUnavailable
    # Buried here: it kept the others from saying that they live, so that theirs may have run out as well.
    await connection.execute(delete(REPLICAS).where(REPLICAS.c.holder.in_(lost)))
    await _end_sessions(connection, lost)


async def _has_turn(connection: AsyncConnection) -> bool:
    query = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool((await connection.execute(query, {"key": ROUND_LOCK})).scalar_one())


async def _end_round(connection: AsyncConnection) -> Sequence[str]:
    """End the session of a lost replica that has the turn; return its name, if there was one."""
    patience = {"key": ROUND_LOCK, "seconds": ROUND_SECONDS, "patience": END_MILLISECONDS}
    lost = [row.application_name for row in await connection.execute(_END_ROUND, patience)]
    if lost:
        log.warning("round of a lost replica ended", extra={"replicas": len(lost)})
    return lost


async def _tenancies(connection: AsyncConnection) -> Sequence[Tenancy]:
    rows = (await connection.execute(select(SHARD_LEASES))).all()
    missing = sorted(set(range(SHARDS)).difference(row.shard for row in rows))
    if missing:
        await connection.execute(insert(SHARD_LEASES), [{"shard": shard, "fence": 0} for shard in missing])
    known = [Tenancy(row.shard, row.holder, row.fence) for row in rows]
    return [*known, *(Tenancy(shard, None, 0) for shard in missing)]


async def _change_hands(connection: AsyncConnection, leases: Iterable[Lease], *, holder: str | None) -> None:
    changes = [
        {"its_shard": lease.shard, "its_fence": lease.fence, "next_holder": holder} for lease in sorted(set(leases))
    ]
    if changes:
        await connection.execute(_CHANGE_HANDS, changes)
