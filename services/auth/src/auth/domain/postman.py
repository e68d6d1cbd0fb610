"""Sending the mails that were ordered: a token of its own for each try, stored before it is sent."""

import logging
from datetime import datetime

from pydantic import SecretStr

from auth.domain.letters import letter_of
from auth.domain.mail_tokens import LIFETIMES, MailToken, mail_token_digest, make_mail_token
from auth.domain.ports import Outgoing, Store, Unit
from auth.domain.tokens import RandomBytes
from auth.domain.users import User, is_possible_user_id
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

        Nothing is said of a forgotten password that was replaced after the mail was asked for, nor to a verified
        address that it can be verified.

        Raises:
            ServiceError: it could not be sent, as `Outgoing.send` says; trying again is safe.
        """
        now = self._clock.now()
        if mail.is_late(now):
            log.warning("mail given up after an hour", extra=_named(mail))
            return
        token = make_mail_token(self._random_bytes)
        # Committed before it is sent: nobody gets a link that is not known here.
        async with self._store.transaction() as unit:
            user = await _reader_of(unit, mail)
            if user is None:
                return
            await unit.mail_tokens.add(_stored(token, mail, user, now))
        await self._outgoing.send(letter_of(mail, user, token, public_url=self._public_url))
        log.info("mail sent", extra=_named(mail))


async def _reader_of(unit: Unit, mail: WantedMail) -> User | None:
    """Return whom there is still something to be said to, and keep the account so until the transaction ends."""
    # Locked first: a reset at this moment either sees the token that is made here, or is seen below.
    if not is_possible_user_id(mail.user_id) or not await unit.users.lock(mail.user_id):
        return None
    user = await unit.users.find(mail.user_id)
    if user is None or await _is_done(unit, mail, user):
        return None
    return user


async def _is_done(unit: Unit, mail: WantedMail, user: User) -> bool:
    if mail.kind is MailKind.VERIFY_EMAIL:
        return user.is_email_verified
    changed_at = await unit.users.password_changed_at(user.id)
    return changed_at is not None and mail.requested_at < changed_at


def _stored(token: SecretStr, mail: WantedMail, user: User, now: datetime) -> MailToken:
    return MailToken(
        digest=mail_token_digest(token),
        user_id=user.id,
        kind=mail.kind,
        email=user.email,
        created_at=now,
        expires_at=now + LIFETIMES[mail.kind],
    )


def _named(mail: WantedMail) -> dict[str, str]:
    return {"mail": mail.id, "kind": mail.kind.value}
