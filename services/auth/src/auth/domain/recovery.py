"""Showing that an address is one's own: verified addresses, and new passwords for forgotten ones."""

import logging

from pydantic import SecretStr

from auth.domain.credentials import parse_email, parse_new_password
from auth.domain.mail_orders import MailOrders
from auth.domain.mail_tokens import MailTokenInvalid, mail_token_digest
from auth.domain.ports import Passwords, Store, Unit
from auth.domain.sessions import Sessions
from auth.domain.throttle import RecoveryThrottled, Throttle, network_of
from auth.domain.users import User, UserNotFound, is_possible_user_id
from auth.domain.wanted_mails import MailKind
from chassis.clock import Clock

log = logging.getLogger(__name__)

# An id that no account has: password accounts have numbers, Google's have longer ones.
NOBODY = "nobody"


class Recovery:
    """Orders mails with tokens and takes the tokens back."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        *,
        orders: MailOrders,
        passwords: Passwords,
        throttle: Throttle,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._orders = orders
        self._passwords = passwords
        self._throttle = throttle
        self._clock = clock

    async def request_password_reset(self, *, email: str, client_address: str) -> None:
        """Order a mail that lets its reader set a new password, if a password account has the address.

        What is done, and so how long it takes, is the same if none has it: a mail to nobody is ordered, which whoever
        sends the mails drops. An address that had its share is not told either.

        Raises:
            EmailInvalid: the text is no address.
            RecoveryThrottled: the network has asked too often.
        """
        address = parse_email(email)
        await self._throttle.admit_recovery(network_of(client_address))
        async with self._store.transaction() as unit:
            account = await unit.users.find_password_account(address.key)
            user_id = NOBODY if account is None else account.user.id
            await self._orders.order(unit, MailKind.RESET_PASSWORD, user_id=user_id, address=address)

    async def reset_password(self, *, token: SecretStr, password: SecretStr) -> None:
        """Set a new password, end every session of the account and count its address as verified, all or nothing.

        Raises:
            PasswordTooShort, PasswordTooLong: the password cannot be used; the token still can.
            MailTokenInvalid: the token is unknown, used or expired, be it since a moment ago.
        """
        new_password = parse_new_password(password)
        digest = mail_token_digest(token)
        # Looked at first: a hash is too dear to be made for a token that is no good.
        async with self._store.reading() as unit:
            await self._owner_of(unit, digest, MailKind.RESET_PASSWORD)
        password_hash = await self._passwords.hash(new_password)
        async with self._store.transaction() as unit:
            user = await self._redeem(unit, digest, MailKind.RESET_PASSWORD)
            await unit.users.set_password_hash(user.id, password_hash, self._clock.now())
            ended = await self._sessions.end_all(unit, user.id)
        log.info("password reset", extra={"user_id": user.id, "sessions_ended": ended})

    async def request_email_verification(self, user_id: str) -> bool:
        """Order a mail that verifies an account's address; return whether it is verified already, so that none is.

        Raises:
            UserNotFound: there is none with this id.
            RecoveryThrottled: the address has had its share of such mails.
        """
        if not is_possible_user_id(user_id):
            raise UserNotFound
        async with self._store.transaction() as unit:
            user = await unit.users.find(user_id)
            if user is None:
                raise UserNotFound
            if user.is_email_verified:
                return True
            address = parse_email(user.email)
            again_at = await self._orders.order(unit, MailKind.VERIFY_EMAIL, user_id=user_id, address=address)
        if again_at is not None:
            raise RecoveryThrottled((again_at - self._clock.now()).total_seconds())
        return False

    async def verify_email(self, token: SecretStr) -> User:
        """Count an address as verified and return whose it is.

        Raises:
            MailTokenInvalid: the token is unknown, used, expired, or was sent to an address the account left.
        """
        digest = mail_token_digest(token)
        async with self._store.transaction() as unit:
            return await self._redeem(unit, digest, MailKind.VERIFY_EMAIL)

    async def _redeem(self, unit: Unit, digest: bytes, kind: MailKind) -> User:
        """Use up a token and all of its kind that the account has, and return the account, its address verified."""
        now = self._clock.now()
        user_id = await self._owner_of(unit, digest, kind)
        # Locked before the token: two tokens of one account would wait for each other, and a session that is opened at
        # this moment is either ended with the others or sees the new password.
        await unit.users.lock(user_id)
        token = await unit.mail_tokens.consume(digest, kind, now)
        user = None if token is None else await unit.users.verify_email(user_id, token.email, now)
        if user is None:
            raise MailTokenInvalid
        await unit.mail_tokens.consume_all(user_id, kind, now)
        return user

    async def _owner_of(self, unit: Unit, digest: bytes, kind: MailKind) -> str:
        user_id = await unit.mail_tokens.find_owner(digest, kind, self._clock.now())
        if user_id is None:
            raise MailTokenInvalid
        return user_id
