"""Sending the mails that were ordered: a token of its own for each try, stored before it is sent."""

import logging

from auth.domain.letters import letter_of
from auth.domain.mail_tokens import LIFETIMES, MailToken, mail_token_digest, make_mail_token
from auth.domain.ports import Outgoing, Store
from auth.domain.tokens import RandomBytes
from auth.domain.users import User, UserNotFound, is_possible_user_id
from auth.domain.wanted_mails import MailKind, WantedMail
from chassis.clock import Clock

log = logging.getLogger(__name__)


class Postman:
    """Sends mails about accounts.

    Args:
        store: where accounts and tokens are kept.
        outgoing: takes letters.
        public_url: where links lead to, without a slash at the end.
        clock: tells the time.
        random_bytes: what tokens are made of.
    """

    def __init__(
        self, store: Store, outgoing: Outgoing, *, public_url: str, clock: Clock, random_bytes: RandomBytes
    ) -> None:
        self._store = store
        self._outgoing = outgoing
        self._public_url = public_url
        self._clock = clock
        self._random_bytes = random_bytes

    async def deliver(self, mail: WantedMail) -> None:
        """Send a mail, unless it is too late or there is nothing to be said any more.

        Raises:
            ServiceError: it could not be sent, as `Outgoing.send` says; trying again is safe.
        """
        now = self._clock.now()
        if mail.is_late(now):
            log.warning("mail given up after an hour", extra=_named(mail))
            return
        user = await self._reader_of(mail)
        if user is None:
            return
        token = make_mail_token(self._random_bytes)
        stored = MailToken(
            digest=mail_token_digest(token),
            user_id=user.id,
            kind=mail.kind,
            email=user.email,
            created_at=now,
            expires_at=now + LIFETIMES[mail.kind],
        )
        try:
            # Committed before it is sent: nobody gets a link that is not known here.
            async with self._store.transaction() as unit:
                await unit.mail_tokens.add(stored)
        except UserNotFound:
            return
        await self._outgoing.send(letter_of(mail, user, token, public_url=self._public_url))
        log.info("mail sent", extra=_named(mail))

    async def _reader_of(self, mail: WantedMail) -> User | None:
        if not is_possible_user_id(mail.user_id):
            return None
        async with self._store.reading() as unit:
            user = await unit.users.find(mail.user_id)
        if user is None or (mail.kind is MailKind.VERIFY_EMAIL and user.is_email_verified):
            return None
        return user


def _named(mail: WantedMail) -> dict[str, str]:
    return {"mail": mail.id, "kind": mail.kind.value}
