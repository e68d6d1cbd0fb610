"""Sessions: opened with proof of identity, renewed with rotating refresh tokens, ended by their owner or by misuse."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from auth.domain.ports import Signer, Store, Unit
from auth.domain.revocations import VERIFIER_LEEWAY, Revocation, RevocationKind
from auth.domain.tokens import (
    AccessClaims,
    Opening,
    RandomBytes,
    RefreshToken,
    Session,
    TokenPolicy,
    Tokens,
    digest_of,
    make_identifier,
    make_refresh_token,
)
from auth.domain.users import User, is_possible_user_id
from chassis.clock import Clock
from chassis.errors import Code, ServiceError

log = logging.getLogger(__name__)

CLAIM_MAX_LENGTH = 255
SESSIONS_LISTED = 1_000
# What one event tells of: a message of the bus has a largest size.
REVOCATIONS_TOLD_AT_ONCE = 1_000


class RefreshTokenInvalid(ServiceError):
    """The refresh token is unknown, used, expired or of an ended session; which of these is not said."""

    code = Code.UNAUTHENTICATED
    reason = "REFRESH_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the refresh token is not valid; log in again")


class RefreshTokenReused(RefreshTokenInvalid):
    """The refresh token was used before, and its session was ended for it; whoever used it is told no more of that."""


class LogOutIncomplete(ServiceError):
    """A claim that names what to end is absent or cannot be one of ours."""

    code = Code.INVALID_ARGUMENT
    reason = "LOG_OUT_INCOMPLETE"

    def __init__(self, claim: str) -> None:
        super().__init__(f"{claim} must be as in the token to revoke: 1 to {CLAIM_MAX_LENGTH} printable characters")


class SessionNotFound(ServiceError):
    """The user has no such session that could still be used."""

    code = Code.NOT_FOUND
    reason = "SESSION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such session")


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that storage has, and the tokens that only its bearer will have.

    Attributes:
        session: as it is stored; it ends when the last of its access tokens does.
        refresh_token: the next one.
        access_expires_at: when the access token that is given now expires, which another may outlive.
    """

    session: Session
    refresh_token: SecretStr
    access_expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, and the tokens that prove it."""

    user: User
    tokens: Tokens


class Sessions:
    """Opens, renews and ends sessions."""

    def __init__(
        self, store: Store, signer: Signer, *, clock: Clock, policy: TokenPolicy, random_bytes: RandomBytes
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._policy = policy
        self._random_bytes = random_bytes

    async def open(self, unit: Unit, user: User, network: str, opened_by: Opening) -> Opened:
        """Open a session in the caller's transaction; its tokens are made by `sign_in` when that is committed.

        Raises:
            UserNotFound: the account was deleted a moment ago.
        """
        now = self._now()
        token, stored = self._next_refresh_token(now)
        session = Session(
            id=make_identifier(self._random_bytes),
            user_id=user.id,
            opened_by=opened_by,
            opened_from=network,
            # Not cut to seconds: sessions are listed in the order in which they were opened.
            created_at=self._clock.now(),
            access_expires_at=now + self._access_lifetime_of(user),
            refresh_expires_at=stored.expires_at,
        )
        await unit.sessions.add(session, stored)
        return Opened(session, token, session.access_expires_at)

    def sign_in(self, user: User, opened: Opened) -> SignedIn:
        """Return the tokens of a session that was just opened or renewed."""
        expires_at = opened.access_expires_at
        lifetime = self._access_lifetime_of(user)
        claims = AccessClaims(
            issuer=self._policy.issuer,
            audience=self._policy.audience,
            user_id=user.id,
            session_id=opened.session.id,
            token_id=make_identifier(self._random_bytes),
            issued_at=expires_at - lifetime,
            expires_at=expires_at,
            is_admin=user.is_admin,
        )
        tokens = Tokens(
            access_token=self._signer.sign(claims),
            refresh_token=opened.refresh_token,
            expires_in_seconds=int(lifetime.total_seconds()),
        )
        return SignedIn(user, tokens)

    async def refresh(self, refresh_token: SecretStr) -> SignedIn:
        """Exchange a refresh token for the next pair; one that was used before ends its session.

        Of two that use one token at once the second ends the session, the first one's new tokens included: two holders
        of one token cannot be told apart, and one of them should not have it.

        Raises:
            RefreshTokenReused: it was used before.
            RefreshTokenInvalid: it is unknown, expired, or its session has ended.
        """
        digest = digest_of(refresh_token)
        async with self._store.transaction() as unit:
            renewed = await self._renew(unit, digest)
            has_ended = renewed is None and await self._end_if_spent(unit, digest)
        if renewed is None:
            raise RefreshTokenReused if has_ended else RefreshTokenInvalid
        user, opened = renewed
        return self.sign_in(user, opened)

    async def log_out(self, *, user_id: str, session_id: str, token_id: str) -> None:
        """End a session and refuse its tokens everywhere; ending an ended one changes nothing.

        All three come from one verified token, which is refused with all others of its session. A session of another
        account is left alone.

        Raises:
            LogOutIncomplete: one of them is empty, too long or not printable.
        """
        for claim, value in (("user_id", user_id), ("session_id", session_id), ("token_id", token_id)):
            if not 1 <= len(value) <= CLAIM_MAX_LENGTH or not value.isprintable():
                raise LogOutIncomplete(claim)
        async with self._store.transaction() as unit:
            if await unit.sessions.is_owned(session_id, user_id):
                await self._end(unit, session_id)

    async def list_open(self, user_id: str) -> tuple[Session, ...]:
        """Return an account's sessions that can still be used, newest first, at most 1,000; none of an unknown one."""
        if not is_possible_user_id(user_id):
            return ()
        async with self._store.reading() as unit:
            return await unit.sessions.list_open(user_id, self._now(), at_most=SESSIONS_LISTED)

    async def revoke(self, *, user_id: str, session_id: str) -> None:
        """End one of an account's sessions and refuse its tokens everywhere.

        Raises:
            SessionNotFound: the account has none of this id that can still be used, be it another account's.
        """
        if not is_possible_user_id(user_id) or not is_possible_user_id(session_id):
            raise SessionNotFound
        async with self._store.transaction() as unit:
            is_open = await unit.sessions.is_open(session_id, user_id, self._now())
            has_ended = is_open and await self._end(unit, session_id)
        if not has_ended:
            raise SessionNotFound

    async def end_all(self, unit: Unit, user_id: str) -> int:
        """End an account's sessions in the caller's transaction and refuse their tokens; return how many there were.

        Each session is refused by its own id: tokens of sessions that are opened afterwards are good.
        """
        now = self._now()
        ended = await unit.sessions.revoke_all(user_id, now)
        refused = [
            Revocation(RevocationKind.SESSION, session.id, session.access_expires_at + VERIFIER_LEEWAY)
            for session in ended
        ]
        for start in range(0, len(refused), REVOCATIONS_TOLD_AT_ONCE):
            await unit.revocations.add(refused[start : start + REVOCATIONS_TOLD_AT_ONCE], now)
        return len(ended)

    async def _renew(self, unit: Unit, digest: bytes) -> tuple[User, Opened] | None:
        now = self._now()
        session_id = await unit.sessions.spend(digest, now)
        user = None if session_id is None else await unit.users.find_of_session(session_id)
        if session_id is None or user is None:
            return None
        token, stored = self._next_refresh_token(now)
        access_expires_at = now + self._access_lifetime_of(user)
        session = await unit.sessions.renew(session_id, stored, access_expires_at=access_expires_at)
        return None if session is None else (user, Opened(session, token, access_expires_at))

    async def _end_if_spent(self, unit: Unit, digest: bytes) -> bool:
        session_id = await unit.sessions.find_spent(digest)
        if session_id is None or not await self._end(unit, session_id):
            return False
        log.warning("refresh token used twice", extra={"session_id": session_id})
        return True

    async def _end(self, unit: Unit, session_id: str) -> bool:
        now = self._now()
        session = await unit.sessions.revoke(session_id, now)
        if session is None:
            return False
        expires_at = session.access_expires_at + VERIFIER_LEEWAY
        await unit.revocations.add([Revocation(RevocationKind.SESSION, session_id, expires_at)], now)
        return True

    def _next_refresh_token(self, now: datetime) -> tuple[SecretStr, RefreshToken]:
        token = make_refresh_token(self._random_bytes)
        return token, RefreshToken(digest_of(token), now + self._policy.refresh_lifetime)

    def _access_lifetime_of(self, user: User) -> timedelta:
        return self._policy.access_lifetime_of(user.identity_provider)

    def _now(self) -> datetime:
        # A token's times are whole seconds: what storage and the token say must be the same.
        return self._clock.now().replace(microsecond=0)
