"""Accounts in the database."""

import uuid
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.accounts import EmailTaken
from auth.domain.google_identities import GoogleIdentity
from auth.domain.users import IdentityProvider, NewPasswordAccount, PasswordAccount, User
from auth.storage.tables import ACCOUNT_NUMBERS, OUTBOX, SESSIONS, USERS
from bourse.auth.v1 import events_pb2
from chassis.outbox import OutboxEvent, enqueue

DELETED_SUBJECT = "events.auth.user_deleted"
# What the outbox has room for beside the rest of the message id.
MESSAGE_ID_USER_LENGTH = 150


class StoredUsers:
    """The accounts, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.are_announced = False

    async def add(self, account: NewPasswordAccount) -> User:
        """Store a password account under the next number.

        Raises:
            EmailTaken: the unique constraint says so; the transaction can only be rolled back.
        """
        numbering = insert(ACCOUNT_NUMBERS).values().returning(ACCOUNT_NUMBERS.c.number)
        number: int = (await self._connection.execute(numbering)).scalar_one()
        user = User(
            id=str(number),
            identity_provider=IdentityProvider.PASSWORD,
            email=account.email.address,
            name=account.name,
            picture=None,
            created_at=account.created_at,
        )
        row = {
            "id": user.id,
            "identity_provider": user.identity_provider.value,
            "email": user.email,
            "email_key": account.email.key,
            "password_hash": account.password_hash,
            "name": user.name,
            "is_admin": user.is_admin,
            "created_at": user.created_at,
        }
        try:
            await self._connection.execute(insert(USERS).values(row))
        except IntegrityError as error:
            raise EmailTaken from error
        return user

    async def keep_google_account(self, identity: GoogleIdentity, now: datetime) -> User | None:
        """Insert the account, or refresh the one that is there if it is Google's."""
        upsert = postgresql.insert if self._connection.dialect.name == "postgresql" else sqlite.insert
        adding = upsert(USERS).values(
            id=identity.subject,
            identity_provider=IdentityProvider.GOOGLE.value,
            email=identity.email,
            name=identity.name,
            picture=identity.picture,
            is_admin=False,
            created_at=now,
            email_verified_at=now,
        )
        new = adding.excluded
        keeping = adding.on_conflict_do_update(
            index_elements=[USERS.c.id],
            set_={
                "email": new.email,
                "name": func.coalesce(new.name, USERS.c.name),
                "picture": func.coalesce(new.picture, USERS.c.picture),
                # Whatever the address is now, Google has verified it.
                "email_verified_at": func.coalesce(USERS.c.email_verified_at, new.email_verified_at),
            },
            where=USERS.c.identity_provider == IdentityProvider.GOOGLE.value,
        ).returning(USERS)
        row = (await self._connection.execute(keeping)).one_or_none()
        return None if row is None else user_of(row)

    async def find(self, user_id: str) -> User | None:
        """Return the account with this id."""
        found = await self._connection.execute(select(USERS).where(USERS.c.id == user_id))
        row = found.one_or_none()
        return None if row is None else user_of(row)

    async def find_of_session(self, session_id: str) -> User | None:
        """Return the account that a session belongs to."""
        query = select(USERS).join(SESSIONS, SESSIONS.c.user_id == USERS.c.id).where(SESSIONS.c.id == session_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else user_of(row)

    async def find_password_account(self, email_key: str) -> PasswordAccount | None:
        """Return the password account of a normalised address."""
        found = await self._connection.execute(select(USERS).where(USERS.c.email_key == email_key))
        row = found.one_or_none()
        return None if row is None else PasswordAccount(user_of(row), row.password_hash)

    async def replace_password_hash(self, user_id: str, *, old: str, new: str) -> None:
        """Store a new hash unless the old one has been replaced meanwhile."""
        unchanged = (USERS.c.id == user_id) & (USERS.c.password_hash == old)
        await self._connection.execute(update(USERS).where(unchanged).values(password_hash=new))

    async def has_password_hash(self, user_id: str, password_hash: str) -> bool:
        """Say whether the account has this hash, as others have committed it by now."""
        named = (USERS.c.id == user_id) & (USERS.c.password_hash == password_hash)
        return bool((await self._connection.execute(select(exists().where(named)))).scalar_one())

    async def set_password_hash(self, user_id: str, password_hash: str, now: datetime) -> None:
        """Store the hash of a new password and since when it is there."""
        changing = update(USERS).where(USERS.c.id == user_id)
        await self._connection.execute(changing.values(password_hash=password_hash, password_changed_at=now))

    async def password_changed_at(self, user_id: str) -> datetime | None:
        """Return when the password was last changed."""
        query = select(USERS.c.password_changed_at).where(USERS.c.id == user_id)
        changed_at: datetime | None = (await self._connection.execute(query)).scalar_one_or_none()
        return changed_at

    async def verify_email(self, user_id: str, email: str, now: datetime) -> User | None:
        """Count the address as verified, from the first time on."""
        columns = USERS.c
        verifying = (
            update(USERS)
            .where((columns.id == user_id) & (columns.email == email))
            .values(email_verified_at=func.coalesce(columns.email_verified_at, now))
            .returning(USERS)
        )
        row = (await self._connection.execute(verifying)).one_or_none()
        return None if row is None else user_of(row)

    async def grant_admin(self, user_id: str) -> None:
        """Make the account an administrator's."""
        await self._connection.execute(update(USERS).where(USERS.c.id == user_id).values(is_admin=True))

    async def lock(self, user_id: str) -> bool:
        """Lock the account's row, which who inserts a session of it waits for; say whether there is one."""
        locking = select(USERS.c.id).where(USERS.c.id == user_id).with_for_update()
        return (await self._connection.execute(locking)).one_or_none() is not None

    async def delete(self, user_id: str, now: datetime) -> None:
        """Delete the account and put the event in the outbox."""
        await self._connection.execute(delete(USERS).where(USERS.c.id == user_id))
        await enqueue(self._connection, OUTBOX, [_deletion_of(user_id, now)])
        self.are_announced = True


def _deletion_of(user_id: str, now: datetime) -> OutboxEvent:
    deleted_at = Timestamp()
    deleted_at.FromDatetime(now)
    message = events_pb2.UserDeleted(user_id=user_id, deleted_at=deleted_at)
    # A Google account can be made anew and deleted again within JetStream's window: each deletion has its own id.
    message_id = f"user_deleted:{user_id[:MESSAGE_ID_USER_LENGTH]}:{uuid.uuid4().hex}"
    return OutboxEvent(DELETED_SUBJECT, message_id, message.SerializeToString(), now)


def user_of(row: Row[Any]) -> User:
    """Return the account that a row of the users holds."""
    return User(
        id=row.id,
        identity_provider=IdentityProvider(row.identity_provider),
        email=row.email,
        name=row.name,
        picture=row.picture,
        created_at=row.created_at,
        is_admin=row.is_admin,
        is_email_verified=row.email_verified_at is not None,
    )
