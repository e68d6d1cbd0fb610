"""Which addresses have refused which lists; of an address only its digest is here."""

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.mail_lists import MailList
from auth.storage.tables import MAIL_REFUSALS


class StoredMailRefusals:
    """The refusals, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, address_digest: bytes, mail_list: MailList) -> None:
        """Store that an address refuses a list, be it stored already."""
        insert = postgresql.insert if self._connection.dialect.name == "postgresql" else sqlite.insert
        row = {"address_digest": address_digest, "list": mail_list.value}
        await self._connection.execute(insert(MAIL_REFUSALS).values(row).on_conflict_do_nothing())

    async def list_of(self, address_digest: bytes) -> frozenset[MailList]:
        """Return the lists that an address refuses."""
        query = select(MAIL_REFUSALS.c.list).where(MAIL_REFUSALS.c.address_digest == address_digest)
        return frozenset(MailList(name) for name in (await self._connection.execute(query)).scalars())

    async def delete(self, address_digest: bytes, mail_lists: Collection[MailList]) -> None:
        """Forget that an address refuses some lists."""
        refusals = MAIL_REFUSALS.c
        named = (refusals.address_digest == address_digest) & refusals.list.in_([each.value for each in mail_lists])
        await self._connection.execute(delete(MAIL_REFUSALS).where(named))
