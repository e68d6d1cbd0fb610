"""Signing in with an e-mail address and a password; the answer is the same, and as slow, for an unknown address."""

from contextlib import suppress
from datetime import datetime

from pydantic import SecretStr

from auth.domain.credentials import (
    PASSWORD_MAX_LENGTH,
    EmailAddress,
    EmailInvalid,
    normalise_password,
    parse_email,
)
from auth.domain.ports import Passwords, Store, Unit
from auth.domain.sessions import Sessions, SignedIn
from auth.domain.throttle import Throttle, network_of
from auth.domain.tokens import Opening
from auth.domain.users import PasswordAccount, UserNotFound
from chassis.clock import Clock
from chassis.errors import Code, ServiceError

# Somebody else's login may renew the hash while ours is under way; a new password is found wrong the second time.
LOGIN_TRIES = 2


class CredentialsInvalid(ServiceError):
    """Address and password do not belong together; which of them is wrong is not said."""

    code = Code.UNAUTHENTICATED
    reason = "CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__("email or password is wrong")


class _HashReplaced(Exception):
    """The hash that the password was compared with is not the account's any more."""


class PasswordLogin:
    """Opens sessions for those who know the password."""

    def __init__(
        self, store: Store, sessions: Sessions, *, passwords: Passwords, throttle: Throttle, clock: Clock
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._passwords = passwords
        self._throttle = throttle
        self._clock = clock

    async def log_in(self, *, email: str, password: SecretStr, client_address: str) -> SignedIn:
        """Open a session.

        Raises:
            CredentialsInvalid: the account is unknown or the password wrong.
            LoginThrottled: the network or the account has tried too often.
        """
        network = network_of(client_address)
        await self._throttle.admit_login_from(network)
        address = _possible_address(email, password)
        account = await self._find(address)
        await self._throttle.admit_login_to(address, network, is_at_home=lambda: self._is_at_home(account, network))
        candidate = normalise_password(password)
        for _ in range(LOGIN_TRIES):
            verified = await self._verified(account, candidate)
            await self._throttle.forgive(address, network)
            with suppress(_HashReplaced):
                return await self._open(verified, candidate, network)
            account = await self._find(address)
        raise CredentialsInvalid

    async def _find(self, email: EmailAddress) -> PasswordAccount | None:
        async with self._store.reading() as unit:
            return await unit.users.find_password_account(email.key)

    async def _verified(self, account: PasswordAccount | None, password: SecretStr) -> PasswordAccount:
        password_hash = None if account is None else account.password_hash
        fits = await self._passwords.verify(password, password_hash)
        if account is None or not fits:
            raise CredentialsInvalid
        return account

    async def _is_at_home(self, account: PasswordAccount | None, network: str) -> bool:
        if account is None:
            return False
        async with self._store.reading() as unit:
            return await unit.sessions.has_live_from(account.user.id, network, self._now())

    async def _open(self, account: PasswordAccount, password: SecretStr, network: str) -> SignedIn:
        renewed_hash = await self._renewed_hash(account, password)
        try:
            async with self._store.transaction() as unit:
                opened = await self._sessions.open(unit, account.user, network, Opening.PASSWORD)
                await _require_hash(unit, account)
                if renewed_hash is not None:
                    await unit.users.replace_password_hash(account.user.id, old=account.password_hash, new=renewed_hash)
        except UserNotFound as error:
            # Deleted since it was found.
            raise CredentialsInvalid from error
        return self._sessions.sign_in(account.user, opened)

    async def _renewed_hash(self, account: PasswordAccount, password: SecretStr) -> str | None:
        if not self._passwords.is_outdated(account.password_hash):
            return None
        return await self._passwords.hash(password)

    def _now(self) -> datetime:
        return self._clock.now()


async def _require_hash(unit: Unit, account: PasswordAccount) -> None:
    # Asked after the session was opened: a new password that is set at this moment is there by then, or its setting
    # ends the session.
    if not await unit.users.has_password_hash(account.user.id, account.password_hash):
        raise _HashReplaced


def _possible_address(email: str, password: SecretStr) -> EmailAddress:
    # Neither can belong to any account, so that answering at once tells nothing about one.
    if len(password) > PASSWORD_MAX_LENGTH:
        raise CredentialsInvalid
    try:
        return parse_email(email)
    except EmailInvalid as error:
        raise CredentialsInvalid from error
