"""The unit of work: auth's repositories over one transaction."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.revocations import RevocationKind
from auth.domain.wanted_mails import MailKind
from auth.storage.contacts import StoredContacts
from auth.storage.mail_refusals import StoredMailRefusals
from auth.storage.mail_tokens import StoredMailTokens
from auth.storage.revocations import StoredRevocations
from auth.storage.sessions import StoredSessions
from auth.storage.users import StoredUsers
from auth.storage.wanted_mails import StoredWantedMails
from chassis.database import Database
from chassis.metrics import counter

_REVOCATIONS = counter("bourse_auth_revocations", "Revocations stored.", ["kind"])
_BY_REVOCATION = {kind: _REVOCATIONS.labels(kind.value) for kind in RevocationKind}
_MAILS = counter("bourse_auth_mails_ordered", "Mails about accounts that were ordered.", ["kind"])
_BY_MAIL = {kind: _MAILS.labels(kind.value) for kind in MailKind}


class StoredUnit:
    """The repositories in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.users = StoredUsers(connection)
        self.sessions = StoredSessions(connection)
        self.revocations = StoredRevocations(connection)
        self.contacts = StoredContacts(connection)
        self.mail_refusals = StoredMailRefusals(connection)
        self.wanted_mails = StoredWantedMails(connection)
        self.mail_tokens = StoredMailTokens(connection)

    @property
    def are_announced(self) -> bool:
        """Say whether the transaction has put something in the outbox."""
        return self.users.are_announced or self.revocations.are_announced or self.wanted_mails.are_announced


class AuthStore:
    """Opens transactions, and says when one left something to be told."""

    def __init__(self, database: Database, *, announce: Callable[[], None]) -> None:
        self._database = database
        self._announce = announce

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StoredUnit]:
        """Open a transaction that is committed when the block ends and rolled back when it raises.

        Raises:
            DatabaseUnavailable: the database did not answer; nothing was acknowledged.
        """
        async with self._database.transaction() as connection:
            unit = StoredUnit(connection)
            yield unit
        _count(unit)
        if unit.are_announced:
            self._announce()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[StoredUnit]:
        """Open a transaction that only reads.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        async with self._database.reading() as connection:
            yield StoredUnit(connection)


def _count(unit: StoredUnit) -> None:
    for revocation in unit.revocations.added:
        _BY_REVOCATION[revocation].inc()
    for mail in unit.wanted_mails.added:
        _BY_MAIL[mail].inc()
