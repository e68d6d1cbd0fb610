"""Contacts in the database: columns of the accounts."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.mail_lists import Contact, MailList
from auth.domain.users import User
from auth.storage.tables import USERS
from auth.storage.users import user_of

_COLUMNS: Mapping[MailList, Column[bool]] = {
    MailList.ALERTS: USERS.c.are_alert_mails_wanted,
    MailList.PORTFOLIO_SUMMARY: USERS.c.are_summary_mails_wanted,
}


class StoredContacts:
    """The contacts, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, user_id: str) -> Contact | None:
        """Return the contact of an account."""
        row = (await self._connection.execute(select(USERS).where(USERS.c.id == user_id))).one_or_none()
        return None if row is None else _contact_of(row)

    async def set_lists(self, user_id: str, wanted: Mapping[MailList, bool]) -> Contact | None:
        """Keep which lists are wanted."""
        if not wanted:
            return await self.find(user_id)
        values = {_COLUMNS[mail_list].name: is_wanted for mail_list, is_wanted in wanted.items()}
        setting = update(USERS).where(USERS.c.id == user_id).values(values).returning(USERS)
        row = (await self._connection.execute(setting)).one_or_none()
        return None if row is None else _contact_of(row)

    async def end_list(self, unsubscribe_token: str, mail_list: MailList) -> User | None:
        """End a list."""
        named = USERS.c.unsubscribe_token == unsubscribe_token
        ending = update(USERS).where(named).values({_COLUMNS[mail_list].name: False}).returning(USERS)
        row = (await self._connection.execute(ending)).one_or_none()
        return None if row is None else user_of(row)


def _contact_of(row: Row[Any]) -> Contact:
    wanted = frozenset(mail_list for mail_list, column in _COLUMNS.items() if row._mapping[column.name])  # noqa: SLF001  # SQLAlchemy's public name
    return Contact(user=user_of(row), wanted=wanted, unsubscribe_token=row.unsubscribe_token)
