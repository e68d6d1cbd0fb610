"""Accounts: made with a password here, read and deleted here whoever vouches for them."""

import logging
from datetime import timedelta

from pydantic import SecretStr

from auth.domain.credentials import EmailAddress, parse_email, parse_name, parse_new_email, parse_new_password
from auth.domain.mail_orders import MailOrders
from auth.domain.ports import Passwords, Store
from auth.domain.revocations import VERIFIER_LEEWAY, Revocation, RevocationKind
from auth.domain.sessions import Sessions, SignedIn
from auth.domain.throttle import Throttle, network_of
from auth.domain.tokens import Opening
from auth.domain.users import NewPasswordAccount, User, UserNotFound, is_possible_user_id
from auth.domain.wanted_mails import MailKind
from chassis.clock import Clock
from chassis.errors import Code, ServiceError

log = logging.getLogger(__name__)

# Nobody comes back under a deleted account's id sooner: who keeps anything of it takes what is dated up to their
# LATE_REQUESTS behind the deletion for the old account's, by clocks that may be a minute behind ours.
RETURN_AFTER = timedelta(minutes=6)


class EmailTaken(ServiceError):
    """Another password account has the address."""

    code = Code.INVALID_ARGUMENT
    reason = "EMAIL_TAKEN"

    def __init__(self) -> None:
        super().__init__("email already has an account; log in instead")


class AccountNotFound(ServiceError):
    """There is no password account with this address; said to operators only, never to clients."""

    code = Code.NOT_FOUND
    reason = "ACCOUNT_NOT_FOUND"

    def __init__(self, email: EmailAddress) -> None:
        super().__init__(f"no account has the address {email.address}; register it first")


class AccountUnverified(ServiceError):
    """Nobody has shown to receive mail at the address; said to operators only, never to clients."""

    code = Code.FAILED_PRECONDITION
    reason = "ACCOUNT_UNVERIFIED"

    def __init__(self, email: EmailAddress) -> None:
        super().__init__(
            f"whoever registered {email.address} has not verified it and may be anybody; have it verified first, or"
            " say --unverified if you know whose account it is"
        )


class Accounts:
    """Makes accounts, reads them back and deletes them."""

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

    async def register(self, *, email: str, password: SecretStr, name: str | None, client_address: str) -> SignedIn:
        """Make a password account, open its first session and order a mail that verifies its address, all or nothing.

        No mail is ordered when the address has had its share within the hour, be it for accounts that are gone.

        Args:
            email: the address, at most 254 characters.
            password: 8 to 1,024 characters.
            name: the display name, 1 to 100 characters; None when none is given.
            client_address: where the request comes from, for throttling.

        Raises:
            EmailInvalid, PasswordTooShort, PasswordTooLong, NameInvalid: what was typed cannot be used.
            EmailTaken: the address has an account, be it by a registration at the same moment.
            RegistrationThrottled: too many from this network.
        """
        address = parse_new_email(email)
        new_password = parse_new_password(password)
        display_name = None if name is None else parse_name(name)
        network = network_of(client_address)
        await self._throttle.admit_registration(network)
        await self._require_free(address)
        account = NewPasswordAccount(
            email=address,
            name=display_name,
            password_hash=await self._passwords.hash(new_password),
            created_at=self._clock.now(),
        )
        async with self._store.transaction() as unit:
            user = await unit.users.add(account)
            opened = await self._sessions.open(unit, user, network, Opening.REGISTER)
            # An address that has had its share of mails gets no more: they can be asked for later.
            await self._orders.order(unit, MailKind.VERIFY_EMAIL, user_id=user.id, address=address)
        return self._sessions.sign_in(user, opened)

    async def get(self, user_id: str) -> User:
        """Return one account.

        Raises:
            UserNotFound: there is none with this id.
        """
        if not is_possible_user_id(user_id):
            raise UserNotFound
        async with self._store.reading() as unit:
            user = await unit.users.find(user_id)
        if user is None:
            raise UserNotFound
        return user

    async def delete(self, user_id: str) -> None:
        """Delete an account with its sessions, refuse its tokens everywhere, and tell who keeps anything of it.

        Raises:
            UserNotFound: there is none with this id.
        """
        if not is_possible_user_id(user_id):
            raise UserNotFound
        now = self._clock.now()
        async with self._store.transaction() as unit:
            # Locked first: a session that is opened at this moment is either counted below or refused.
            if not await unit.users.lock(user_id):
                raise UserNotFound
            last_expires_at = await unit.sessions.delete_of(user_id)
            await unit.users.delete(user_id, now)
            refused_until = max(now + RETURN_AFTER, (last_expires_at or now) + VERIFIER_LEEWAY)
            await unit.revocations.add([Revocation(RevocationKind.USER, user_id, refused_until)], now)
        log.info("account deleted", extra={"user_id": user_id})

    async def _require_free(self, email: EmailAddress) -> None:
        # Storage decides for good; asking first spares the price of a hash.
        async with self._store.reading() as unit:
            account = await unit.users.find_password_account(email.key)
        if account is not None:
            raise EmailTaken


async def grant_admin(store: Store, email: str, *, is_unverified_enough: bool = False) -> User:
    """Make an account an administrator's, as its next tokens will say, and return it.

    Args:
        store: where accounts are kept.
        email: the account's address.
        is_unverified_enough: whether the address need not be verified.

    Raises:
        EmailInvalid: the text is not an address.
        AccountNotFound: no password account has it.
        AccountUnverified: it is not verified, as it has to be.
    """
    address = parse_email(email)
    async with store.transaction() as unit:
        account = await unit.users.find_password_account(address.key)
        if account is None:
            raise AccountNotFound(address)
        if not account.user.is_email_verified and not is_unverified_enough:
            raise AccountUnverified(address)
        await unit.users.grant_admin(account.user.id)
    return account.user
