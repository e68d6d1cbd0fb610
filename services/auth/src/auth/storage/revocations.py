"""Revocations in the database, each stored together with the event that tells of it."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.revocations import PAGE_LENGTH, PageEnd, Revocation, RevocationKind
from auth.messages import revocation_message
from auth.storage.tables import OUTBOX, REVOCATIONS
from bourse.auth.v1 import events_pb2
from chassis.outbox import OutboxEvent, enqueue

REVOKED_SUBJECT = "events.auth.revoked"


class StoredRevocations:
    """The revocations, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.are_announced = False
        self.added: list[RevocationKind] = []

    async def add(self, revocations: Sequence[Revocation], now: datetime) -> None:
        """Store revocations, each once and with the later expiry, and put the event in the outbox."""
        insert = postgresql.insert if self._connection.dialect.name == "postgresql" else sqlite.insert
        rows = [
            {"kind": revocation.kind.value, "subject": revocation.subject, "expires_at": revocation.expires_at}
            for revocation in revocations
        ]
        adding = insert(REVOCATIONS)
        prolonging = adding.on_conflict_do_update(
            index_elements=[REVOCATIONS.c.kind, REVOCATIONS.c.subject],
            set_={"expires_at": adding.excluded.expires_at},
            where=REVOCATIONS.c.expires_at < adding.excluded.expires_at,
        )
        await self._connection.execute(prolonging, rows)
        await enqueue(self._connection, OUTBOX, [_event_of(revocations, now)])
        self.are_announced = True
        self.added += [revocation.kind for revocation in revocations]

    async def user_refused_until(self, user_id: str, now: datetime) -> datetime | None:
        """Return until when all tokens of a user are refused."""
        columns = REVOCATIONS.c
        named = (columns.kind == RevocationKind.USER.value) & (columns.subject == user_id) & (columns.expires_at > now)
        query = select(columns.expires_at).where(named)
        refused_until: datetime | None = (await self._connection.execute(query)).scalar_one_or_none()
        return refused_until

    async def standing(
        self, now: datetime, *, after: PageEnd | None = None, at_most: int = PAGE_LENGTH
    ) -> tuple[Revocation, ...]:
        """Return those that have not expired, in the order of the key."""
        columns = REVOCATIONS.c
        key = tuple_(columns.kind, columns.subject)
        query = select(REVOCATIONS).where(columns.expires_at > now).order_by(columns.kind, columns.subject)
        if after is not None:
            query = query.where(key > tuple_(literal(after.kind.value), literal(after.subject)))
        rows = await self._connection.execute(query.limit(at_most))
        return tuple(Revocation(RevocationKind(row.kind), row.subject, row.expires_at) for row in rows)

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        """Delete those that have expired."""
        columns = REVOCATIONS.c
        expired = select(columns.kind, columns.subject).where(columns.expires_at <= now).limit(at_most)
        named = tuple_(columns.kind, columns.subject).in_(expired)
        return (await self._connection.execute(delete(REVOCATIONS).where(named))).rowcount


def _event_of(revocations: Sequence[Revocation], now: datetime) -> OutboxEvent:
    message = events_pb2.TokensRevoked(revocations=[revocation_message(revocation) for revocation in revocations])
    # The relay sends one row again and again until it is acknowledged: the row's own id is what stays the same.
    return OutboxEvent(
        subject=REVOKED_SUBJECT, message_id=uuid.uuid4().hex, payload=message.SerializeToString(), created_at=now
    )
