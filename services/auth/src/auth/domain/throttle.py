"""How often someone may try to sign up or in, or ask for a new password.

Attempts are counted by the client's network and by the account. The account's window is short, and an address at
which the account holds a session has a budget of its own: whoever guesses at an account from elsewhere slows its owner
down for at most a window and, at home, not at all.
"""

import hashlib
import ipaddress
from collections.abc import Awaitable, Callable

from auth.domain.credentials import EmailAddress
from auth.domain.ports import AttemptCounter, Limit
from chassis.errors import Code, ServiceError

IPV6_NETWORK_BITS = 64
UNKNOWN_NETWORK = "unknown"


class LoginThrottled(ServiceError):
    """The network or the account has tried to sign in too often."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "LOGIN_THROTTLED"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"too many attempts to log in; try again in {_whole_seconds(retry_after_seconds)} s")


class RegistrationThrottled(ServiceError):
    """The network has made too many accounts."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "REGISTRATION_THROTTLED"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"too many registrations; try again in {_whole_seconds(retry_after_seconds)} s")


class RecoveryThrottled(ServiceError):
    """The network or the account has asked for too many mails."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "RECOVERY_THROTTLED"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"too many mails were asked for; try again in {_whole_seconds(retry_after_seconds)} s")


class Throttle:
    """Counts attempts and refuses those over the limits."""

    def __init__(self, attempts: AttemptCounter) -> None:
        self._attempts = attempts

    async def admit_registration(self, network: str) -> None:
        """Count a registration.

        Raises:
            RegistrationThrottled: the network has had its share.
        """
        wait = await self._attempts.count(Limit.REGISTRATION_BY_NETWORK, network)
        if wait is not None:
            raise RegistrationThrottled(wait)

    async def admit_recovery(self, network: str) -> None:
        """Count a request for a new password, whatever account it is for.

        Raises:
            RecoveryThrottled: the network has had its share.
        """
        wait = await self._attempts.count(Limit.RECOVERY_BY_NETWORK, network)
        if wait is not None:
            raise RecoveryThrottled(wait)

    async def admit_login_from(self, network: str) -> None:
        """Count an attempt to sign in by where it comes from.

        Raises:
            LoginThrottled: the network has had its share.
        """
        wait = await self._attempts.count(Limit.LOGIN_BY_NETWORK, network)
        if wait is not None:
            raise LoginThrottled(wait)

    async def admit_login_to(
        self, email: EmailAddress, network: str, *, is_at_home: Callable[[], Awaitable[bool]]
    ) -> None:
        """Count an attempt to sign in by the account it is for, whether or not the account exists.

        Args:
            email: the account.
            network: where the attempt comes from.
            is_at_home: says whether the account holds a session opened from there; asked only when it matters.

        Raises:
            LoginThrottled: the account's window is used up.
        """
        account = _fingerprint(email.key)
        wait = await self._attempts.count(Limit.LOGIN_BY_ACCOUNT, account)
        if wait is None:
            return
        if await is_at_home():
            wait = await self._attempts.count(Limit.LOGIN_BY_ACCOUNT_AT_HOME, f"{account}:{network}")
        if wait is not None:
            raise LoginThrottled(wait)

    async def forgive(self, email: EmailAddress, network: str) -> None:
        """Forget an account's attempts after one that succeeded; the network's stay counted."""
        account = _fingerprint(email.key)
        await self._attempts.forget(Limit.LOGIN_BY_ACCOUNT, account)
        await self._attempts.forget(Limit.LOGIN_BY_ACCOUNT_AT_HOME, f"{account}:{network}")


def network_of(client_address: str) -> str:
    """Return what a client's attempts are counted under.

    An IPv4 address stands for itself; an IPv6 address for its /64, which one subscriber has whole; anything else for
    one shared name.
    """
    try:
        address = ipaddress.ip_address(client_address)
    except ValueError:
        return UNKNOWN_NETWORK
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), IPV6_NETWORK_BITS), strict=False))


def _fingerprint(account_key: str) -> str:
    # Counters may live in a shared Redis: addresses of people do not.
    return hashlib.sha256(account_key.encode()).hexdigest()


def _whole_seconds(seconds: float) -> int:
    return max(1, int(-(-seconds // 1)))
