"""The mails that were asked for lately, each stored together with the event that gets it sent."""

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.wanted_mails import MailKind, WantedMail
from auth.messages import MAIL_WANTED_SUBJECT, mail_wanted_message
from auth.storage.tables import OUTBOX, WANTED_MAILS
from chassis.outbox import OutboxEvent, enqueue


class StoredWantedMails:
    """The mails that were asked for, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.are_announced = False
        self.added: list[MailKind] = []

    async def add(self, mail: WantedMail, address_digest: bytes) -> None:
        """Store it and put the event in the outbox."""
        row = {
            "id": mail.id,
            "address_digest": address_digest,
            "kind": mail.kind.value,
            "requested_at": mail.requested_at,
        }
        await self._connection.execute(insert(WANTED_MAILS).values(row))
        event = OutboxEvent(
            subject=MAIL_WANTED_SUBJECT,
            message_id=f"mail_wanted:{mail.id}",
            payload=mail_wanted_message(mail).SerializeToString(),
            created_at=mail.requested_at,
        )
        await enqueue(self._connection, OUTBOX, [event])
        self.are_announced = True
        self.added.append(mail.kind)

    async def list_since(self, since: datetime, address_digest: bytes, kind: MailKind) -> tuple[datetime, ...]:
        """Return when mails of a kind were asked for, oldest first."""
        columns = WANTED_MAILS.c
        named = (
            (columns.address_digest == address_digest) & (columns.kind == kind.value) & (columns.requested_at > since)
        )
        query = select(columns.requested_at).where(named).order_by(columns.requested_at)
        return tuple((await self._connection.execute(query)).scalars())

    async def delete_before(self, moment: datetime, *, at_most: int) -> int:
        """Delete those asked for before."""
        columns = WANTED_MAILS.c
        old = select(columns.id).where(columns.requested_at <= moment).limit(at_most)
        return (await self._connection.execute(delete(WANTED_MAILS).where(columns.id.in_(old)))).rowcount
