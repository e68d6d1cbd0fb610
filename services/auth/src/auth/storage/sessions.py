"""Sessions and their refresh tokens in the database; of a refresh token only its digest is here."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, delete, exists, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.tokens import Opening, RefreshToken, Session
from auth.domain.users import UserNotFound
from auth.storage.tables import REFRESH_TOKENS, SESSIONS
from chassis.database import UtcDateTime


class StoredSessions:
    """The sessions, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, session: Session, token: RefreshToken) -> None:
        """Store a new session with its first refresh token.

        Raises:
            UserNotFound: the foreign key says so; the transaction can only be rolled back.
        """
        row = {
            "id": session.id,
            "user_id": session.user_id,
            "opened_by": session.opened_by.value,
            "opened_from": session.opened_from,
            "created_at": session.created_at,
            "access_expires_at": session.access_expires_at,
            "refresh_expires_at": session.refresh_expires_at,
        }
        try:
            await self._connection.execute(insert(SESSIONS).values(row))
        except IntegrityError as error:
            raise UserNotFound from error
        await self._add_token(session.id, token)

    async def spend(self, digest: bytes, now: datetime) -> str | None:
        """Use up a refresh token: a compare-and-swap, which one of two concurrent ones wins."""
        tokens = REFRESH_TOKENS.c
        usable = (tokens.digest == digest) & tokens.used_at.is_(None) & (tokens.expires_at > now)
        spending = update(REFRESH_TOKENS).where(usable).values(used_at=now).returning(tokens.session_id)
        session_id: str | None = (await self._connection.execute(spending)).scalar_one_or_none()
        return session_id

    async def find_spent(self, digest: bytes) -> str | None:
        """Return the session whose refresh token was used before."""
        tokens = REFRESH_TOKENS.c
        query = select(tokens.session_id).where((tokens.digest == digest) & tokens.used_at.is_not(None))
        session_id: str | None = (await self._connection.execute(query)).scalar_one_or_none()
        return session_id

    async def renew(self, session_id: str, token: RefreshToken, *, access_expires_at: datetime) -> Session | None:
        """Give a session that is not revoked its next refresh token; compared and kept in one statement."""
        last, given = SESSIONS.c.access_expires_at, literal(access_expires_at, UtcDateTime)
        renewing = (
            update(SESSIONS)
            .where((SESSIONS.c.id == session_id) & SESSIONS.c.revoked_at.is_(None))
            .values(access_expires_at=case((last > given, last), else_=given), refresh_expires_at=token.expires_at)
            .returning(SESSIONS)
        )
        row = (await self._connection.execute(renewing)).one_or_none()
        if row is None:
            return None
        await self._add_token(session_id, token)
        return _session_of(row)

    async def revoke(self, session_id: str, now: datetime) -> Session | None:
        """End a session; what it returns is as the last renewal left it, since the row is locked first."""
        revoking = (
            update(SESSIONS)
            .where((SESSIONS.c.id == session_id) & SESSIONS.c.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(SESSIONS)
        )
        row = (await self._connection.execute(revoking)).one_or_none()
        return None if row is None else _session_of(row)

    async def revoke_all(self, user_id: str, now: datetime) -> tuple[Session, ...]:
        """End an account's sessions; what it returns is as the last renewals left them."""
        revoking = (
            update(SESSIONS)
            .where((SESSIONS.c.user_id == user_id) & SESSIONS.c.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(SESSIONS)
        )
        return tuple(_session_of(row) for row in await self._connection.execute(revoking))

    async def is_owned(self, session_id: str, user_id: str) -> bool:
        """Say whether the session is this account's."""
        owned = (SESSIONS.c.id == session_id) & (SESSIONS.c.user_id == user_id)
        return bool((await self._connection.execute(select(exists().where(owned)))).scalar_one())

    async def is_open(self, session_id: str, user_id: str, now: datetime) -> bool:
        """Say whether the session is this account's and one of its tokens can still be used."""
        named = (SESSIONS.c.id == session_id) & _is_open(user_id, now)
        return bool((await self._connection.execute(select(exists().where(named)))).scalar_one())

    async def list_open(self, user_id: str, now: datetime, *, at_most: int) -> tuple[Session, ...]:
        """Return the account's sessions of which a token can still be used, newest first."""
        newest_first = SESSIONS.c.created_at.desc(), SESSIONS.c.id
        query = select(SESSIONS).where(_is_open(user_id, now)).order_by(*newest_first).limit(at_most)
        return tuple(_session_of(row) for row in await self._connection.execute(query))

    async def delete_of(self, user_id: str) -> datetime | None:
        """Delete an account's sessions and refresh tokens; return when the last of their access tokens expires."""
        sessions = SESSIONS.c
        own = select(sessions.id).where(sessions.user_id == user_id)
        # In the order in which a refresh locks the two.
        await self._connection.execute(delete(REFRESH_TOKENS).where(REFRESH_TOKENS.c.session_id.in_(own)))
        deleting = delete(SESSIONS).where(sessions.user_id == user_id).returning(sessions.access_expires_at)
        return max((await self._connection.execute(deleting)).scalars(), default=None)

    async def has_live_from(self, user_id: str, network: str, now: datetime) -> bool:
        """Say whether the account holds an unexpired session that was opened from a network."""
        sessions = SESSIONS.c
        live = (
            (sessions.user_id == user_id)
            & (sessions.opened_from == network)
            & sessions.revoked_at.is_(None)
            & (sessions.refresh_expires_at > now)
        )
        return bool((await self._connection.execute(select(exists().where(live)))).scalar_one())

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        """Delete refresh tokens that are over, and sessions with neither a refresh nor an access token left."""
        tokens, sessions = REFRESH_TOKENS.c, SESSIONS.c
        spent = select(tokens.digest).where(tokens.expires_at <= now).limit(at_most)
        over = (sessions.refresh_expires_at <= now) & (sessions.access_expires_at <= now)
        ended = select(sessions.id).where(over).limit(at_most)
        deleted_tokens = await self._connection.execute(delete(REFRESH_TOKENS).where(tokens.digest.in_(spent)))
        deleted_sessions = await self._connection.execute(delete(SESSIONS).where(sessions.id.in_(ended)))
        return max(deleted_tokens.rowcount, deleted_sessions.rowcount)

    async def _add_token(self, session_id: str, token: RefreshToken) -> None:
        row = {"digest": token.digest, "session_id": session_id, "expires_at": token.expires_at}
        await self._connection.execute(insert(REFRESH_TOKENS).values(row))


def _is_open(user_id: str, now: datetime) -> ColumnElement[bool]:
    sessions = SESSIONS.c
    has_token = (sessions.refresh_expires_at > now) | (sessions.access_expires_at > now)
    return (sessions.user_id == user_id) & sessions.revoked_at.is_(None) & has_token


def _session_of(row: Row[Any]) -> Session:
    return Session(
        id=row.id,
        user_id=row.user_id,
        opened_by=Opening(row.opened_by),
        opened_from=row.opened_from,
        created_at=row.created_at,
        access_expires_at=row.access_expires_at,
        refresh_expires_at=row.refresh_expires_at,
    )
