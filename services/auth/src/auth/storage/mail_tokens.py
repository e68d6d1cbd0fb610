"""The tokens of mails in the database; of a token only its digest is here."""

from datetime import datetime

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.mail_tokens import MailToken
from auth.domain.users import UserNotFound
from auth.domain.wanted_mails import MailKind
from auth.storage.tables import MAIL_TOKENS


class StoredMailTokens:
    """The tokens of mails, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, token: MailToken) -> None:
        """Store a token.

        Raises:
            UserNotFound: the foreign key says so; the transaction can only be rolled back.
        """
        row = {
            "digest": token.digest,
            "user_id": token.user_id,
            "kind": token.kind.value,
            "email": token.email,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        try:
            await self._connection.execute(insert(MAIL_TOKENS).values(row))
        except IntegrityError as error:
            raise UserNotFound from error

    async def find_owner(self, digest: bytes, kind: MailKind, now: datetime) -> str | None:
        """Return whose a usable token is."""
        query = select(MAIL_TOKENS.c.user_id).where(_is_usable(digest, kind, now))
        user_id: str | None = (await self._connection.execute(query)).scalar_one_or_none()
        return user_id

    async def consume(self, digest: bytes, kind: MailKind, now: datetime) -> MailToken | None:
        """Use up a token: a compare-and-swap, which one of two concurrent ones wins."""
        consuming = update(MAIL_TOKENS).where(_is_usable(digest, kind, now)).values(used_at=now).returning(MAIL_TOKENS)
        row = (await self._connection.execute(consuming)).one_or_none()
        if row is None:
            return None
        return MailToken(
            digest=row.digest,
            user_id=row.user_id,
            kind=MailKind(row.kind),
            email=row.email,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )

    async def consume_all(self, user_id: str, kind: MailKind, now: datetime) -> None:
        """Use up all of a kind that an account has."""
        tokens = MAIL_TOKENS.c
        unused = (tokens.user_id == user_id) & (tokens.kind == kind.value) & tokens.used_at.is_(None)
        await self._connection.execute(update(MAIL_TOKENS).where(unused).values(used_at=now))

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        """Delete those that have expired."""
        tokens = MAIL_TOKENS.c
        expired = select(tokens.digest).where(tokens.expires_at <= now).limit(at_most)
        return (await self._connection.execute(delete(MAIL_TOKENS).where(tokens.digest.in_(expired)))).rowcount


def _is_usable(digest: bytes, kind: MailKind, now: datetime) -> ColumnElement[bool]:
    tokens = MAIL_TOKENS.c
    return (
        (tokens.digest == digest) & (tokens.kind == kind.value) & tokens.used_at.is_(None) & (tokens.expires_at > now)
    )
