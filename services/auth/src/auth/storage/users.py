"""Accounts in the database."""

from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.accounts import EmailTaken
from auth.domain.users import IdentityProvider, NewPasswordAccount, PasswordAccount, User
from auth.storage.tables import ACCOUNT_NUMBERS, USERS


class StoredUsers:
    """The accounts, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

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

    async def find(self, user_id: str) -> User | None:
        """Return the account with this id."""
        found = await self._connection.execute(select(USERS).where(USERS.c.id == user_id))
        row = found.one_or_none()
        return None if row is None else _user_of(row)

    async def find_password_account(self, email_key: str) -> PasswordAccount | None:
        """Return the password account of a normalised address."""
        found = await self._connection.execute(select(USERS).where(USERS.c.email_key == email_key))
        row = found.one_or_none()
        return None if row is None else PasswordAccount(_user_of(row), row.password_hash)

    async def replace_password_hash(self, user_id: str, *, old: str, new: str) -> None:
        """Store a new hash unless the old one has been replaced meanwhile."""
        unchanged = (USERS.c.id == user_id) & (USERS.c.password_hash == old)
        await self._connection.execute(update(USERS).where(unchanged).values(password_hash=new))

    async def grant_admin(self, user_id: str) -> None:
        """Make the account an administrator's."""
        await self._connection.execute(update(USERS).where(USERS.c.id == user_id).values(is_admin=True))


def _user_of(row: Row[Any]) -> User:
    return User(
        id=row.id,
        identity_provider=IdentityProvider(row.identity_provider),
        email=row.email,
        name=row.name,
        picture=row.picture,
        created_at=row.created_at,
        is_admin=row.is_admin,
    )
