"""Signing in with an ID token of Google, which alone says who it is; the account is made at the first sign-in."""

from datetime import datetime

from pydantic import SecretStr

from auth.domain.google_identities import IdTokenInvalid
from auth.domain.ports import IdTokens, Store, Unit
from auth.domain.sessions import Sessions, SignedIn
from auth.domain.throttle import Throttle, network_of
from auth.domain.tokens import Opening
from auth.domain.users import User
from chassis.clock import Clock
from chassis.errors import Code, ServiceError

UNAVAILABLE_RETRY_SECONDS = 10.0


class GoogleNotConfigured(ServiceError):
    """The operators have not said whose ID tokens are taken."""

    code = Code.UNAVAILABLE
    reason = "GOOGLE_NOT_CONFIGURED"

    def __init__(self) -> None:
        super().__init__("signing in with Google is not set up here")


class GoogleUnavailable(ServiceError):
    """Google's keys are out of reach, so that nobody's ID token can be judged."""

    code = Code.UNAVAILABLE
    reason = "GOOGLE_UNAVAILABLE"
    retry_after_seconds = UNAVAILABLE_RETRY_SECONDS

    def __init__(self) -> None:
        super().__init__("Google's keys are out of reach at the moment; try again shortly")


class UserMismatch(ServiceError):
    """The client says that the ID token is another user's than it is."""

    code = Code.UNAUTHENTICATED
    reason = "USER_MISMATCH"

    def __init__(self) -> None:
        super().__init__("user.id is not the id in the ID token")


class AccountDeleted(ServiceError):
    """The account was deleted so recently that its tokens are still refused, new ones of the same id among them."""

    code = Code.FAILED_PRECONDITION
    reason = "ACCOUNT_DELETED"

    def __init__(self, until: datetime, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"this account was deleted; it can be made anew after {until.isoformat(timespec='seconds')}")


class GoogleLogin:
    """Opens sessions for those whom Google vouches for.

    Args:
        store: where accounts are kept.
        sessions: opens them.
        id_tokens: verifies ID tokens; None when signing in with Google is not set up.
        throttle: counts attempts.
        clock: tells the time.
    """

    def __init__(
        self, store: Store, sessions: Sessions, *, id_tokens: IdTokens | None, throttle: Throttle, clock: Clock
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._id_tokens = id_tokens
        self._throttle = throttle
        self._clock = clock

    async def log_in(self, *, id_token: SecretStr, expected_user_id: str, client_address: str) -> SignedIn:
        """Open a session, and make the account or refresh its name, picture and address from the token.

        Args:
            id_token: what Google gave the client.
            expected_user_id: whose the client says it is; empty when it does not say.
            client_address: where the request comes from, for throttling.

        Raises:
            GoogleNotConfigured: signing in with Google is not set up.
            LoginThrottled: the network has tried too often.
            IdTokenInvalid: the token is no good, or its id is another kind of account's.
            GoogleUnavailable: the token cannot be judged now.
            UserMismatch: the token is not of the expected user.
            AccountDeleted: the account was deleted a short time ago.
        """
        if self._id_tokens is None:
            raise GoogleNotConfigured
        network = network_of(client_address)
        await self._throttle.admit_login_from(network)
        identity = await self._id_tokens.verify(id_token)
        if expected_user_id not in {"", identity.subject}:
            raise UserMismatch
        now = self._clock.now()
        async with self._store.transaction() as unit:
            user = await unit.users.keep_google_account(identity, now)
            if user is None:
                raise IdTokenInvalid("sub is the id of an account of another kind")
            await _require_undeleted(unit, user, now)
            opened = await self._sessions.open(unit, user, network, Opening.GOOGLE)
        return self._sessions.sign_in(user, opened)


async def _require_undeleted(unit: Unit, user: User, now: datetime) -> None:
    # Asked after the account was written: a deletion at the same moment is over by then.
    refused_until = await unit.revocations.user_refused_until(user.id, now)
    if refused_until is not None:
        raise AccountDeleted(refused_until, (refused_until - now).total_seconds())
