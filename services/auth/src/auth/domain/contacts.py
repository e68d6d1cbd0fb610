"""Where people are written to, and about what they want to be."""

import re
from collections.abc import Mapping

from auth.domain.mail_lists import Contact, MailList
from auth.domain.ports import Store
from auth.domain.users import UserNotFound, is_possible_user_id
from chassis.errors import Code, ServiceError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class UnsubscribeTokenInvalid(ServiceError):
    """No account has this token."""

    code = Code.INVALID_ARGUMENT
    reason = "UNSUBSCRIBE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the link to unsubscribe is not valid; take it whole from a mail")


class Contacts:
    """Tells who sends mail where to, and keeps what people want."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, user_id: str) -> Contact:
        """Return where a user is written to.

        Raises:
            UserNotFound: there is none with this id.
        """
        _require_possible(user_id)
        async with self._store.reading() as unit:
            contact = await unit.contacts.find(user_id)
        if contact is None:
            raise UserNotFound
        return contact

    async def set_lists(self, user_id: str, wanted: Mapping[MailList, bool]) -> Contact:
        """Keep which lists a user wants; those not named stay as they were. Return how it stands.

        Raises:
            UserNotFound: there is none with this id.
        """
        _require_possible(user_id)
        async with self._store.transaction() as unit:
            contact = await unit.contacts.set_lists(user_id, wanted)
        if contact is None:
            raise UserNotFound
        return contact

    async def unsubscribe(self, token: str, mail_list: MailList) -> None:
        """End a list of whoever's mails carry the token, be it ended already.

        Raises:
            UnsubscribeTokenInvalid: no account has it.
        """
        if _TOKEN.fullmatch(token) is None:
            raise UnsubscribeTokenInvalid
        async with self._store.transaction() as unit:
            is_known = await unit.contacts.end_list(token, mail_list)
        if not is_known:
            raise UnsubscribeTokenInvalid


def _require_possible(user_id: str) -> None:
    if not is_possible_user_id(user_id):
        raise UserNotFound
