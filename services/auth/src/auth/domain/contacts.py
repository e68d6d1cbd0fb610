"""Where people are written to, and about what they want to be."""

import re
from collections.abc import Mapping
from dataclasses import replace

from auth.domain.credentials import parse_email
from auth.domain.mail_lists import Contact, EmailUnverified, MailList
from auth.domain.ports import Store
from auth.domain.users import User, UserNotFound, is_possible_user_id
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
            refused = await unit.mail_refusals.list_of(_digest_of(contact.user))
        return replace(contact, wanted=contact.wanted - refused)

    async def set_lists(self, user_id: str, wanted: Mapping[MailList, bool]) -> Contact:
        """Keep which lists a user wants; those not named stay as they were. Return how it stands.

        Whoever has verified the address takes its refusal of a list back by wanting the list.

        Raises:
            UserNotFound: there is none with this id.
            EmailUnverified: a list is wanted that the address has refused, and the address is not verified; nothing
                was changed.
        """
        _require_possible(user_id)
        async with self._store.transaction() as unit:
            contact = await unit.contacts.set_lists(user_id, wanted)
            if contact is None:
                raise UserNotFound
            address = _digest_of(contact.user)
            refused = await unit.mail_refusals.list_of(address)
            wanted_again = {each for each in refused if wanted.get(each)}
            if wanted_again and not contact.user.is_email_verified:
                raise EmailUnverified
            await unit.mail_refusals.delete(address, wanted_again)
        return replace(contact, wanted=contact.wanted - (refused - wanted_again))

    async def unsubscribe(self, token: str, mail_list: MailList) -> None:
        """End a list of whoever's mails carry the token, be it ended already, and for the address itself.

        The next account of the address does not get the list either, until somebody who has verified it says so: it may
        be one that a stranger made.

        Raises:
            UnsubscribeTokenInvalid: no account has it.
        """
        if _TOKEN.fullmatch(token) is None:
            raise UnsubscribeTokenInvalid
        async with self._store.transaction() as unit:
            user = await unit.contacts.end_list(token, mail_list)
            if user is None:
                raise UnsubscribeTokenInvalid
            await unit.mail_refusals.add(_digest_of(user), mail_list)


def _digest_of(user: User) -> bytes:
    return parse_email(user.email).digest


def _require_possible(user_id: str) -> None:
    if not is_possible_user_id(user_id):
        raise UserNotFound
