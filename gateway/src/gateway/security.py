"""Who is calling: verifies access tokens with keys and revocations that auth publishes. It cannot make a token.

A verified token is remembered, so that it costs a signature check once; its expiry and its revocation are looked at
every time. Without keys, or with revocations out of reach for too long, nobody is let in.
"""

import asyncio
import hmac
import logging
import random
import secrets
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Depends, Path, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.security import APIKeyCookie, HTTPBearer
from nats.aio.msg import Msg
from starlette.requests import cookie_parser

from bourse.auth.v1 import accounts_pb2, events_pb2, keys_pb2
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.metrics import counter
from chassis.tasks import running
from gateway.errors import AccessDenied, ApiError, AuthRequired, TokenExpired, TokenRevoked, UpstreamUnavailable
from gateway.wire import SAFE_METHODS, Incoming, incoming_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bourse.auth.v1.keys_pb2_grpc import KeyServiceAsyncStub

log = logging.getLogger(__name__)

ALGORITHM = "EdDSA"
REQUIRED_CLAIMS = ["exp", "iat", "nbf", "sub", "sid", "jti", "iss", "aud", "typ"]
TIME_CLAIMS = ["exp", "iat", "nbf"]
CLOCK_SKEW_SECONDS = 5
MAX_TOKEN_LENGTH = 4096
MAX_CLAIM_LENGTH = 255

REVOKED_SUBJECT = "events.auth.revoked"
BEAT_SUBJECT = "control.auth.beat"
# Auth beats each second.
BEAT_SILENCE_SECONDS = 3.0
WATCH_SECONDS = 1.0
CALL_TIMEOUT_SECONDS = 2.0
KEYS_MAX_AGE_SECONDS = 300.0
KEYS_MIN_AGE_SECONDS = 5.0
REVOCATIONS_REREAD_SECONDS = 60.0
# A million revocations at most, in about 150 MB: more than a network's logins at their limit leave in a week.
PAGE_LENGTH = 5_000
PAGES_MOST = 200
RESTS_SECONDS = (1.0, 2.0, 4.0)
SETTLING_SECONDS = 5.0

TOKEN_COOKIE = "access_token_cookie"  # noqa: S105  # a name
CSRF_COOKIE = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"


SILENCES = counter(
    "bourse_revocations_unheard", "How often auth was not heard over NATS any more, though NATS answered."
)


class TrustUnknown(UpstreamUnavailable):
    """Keys or revocations could not be read: nobody can be let in, and nobody is to blame."""

    def __init__(self) -> None:
        super().__init__("Tokens cannot be checked at the moment; try again shortly")


CACHED, VERIFIED, REFUSED = "cached", "verified", "refused"
_OUTCOME_OF: dict[type[ApiError], str] = {TokenExpired: "expired", TokenRevoked: "revoked", TrustUnknown: "unable"}
CHECK_OUTCOMES = (CACHED, VERIFIED, REFUSED, *_OUTCOME_OF.values())


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a verified token speaks for; `is_admin` says that it was given to an administrator."""

    user_id: str
    session_id: str
    token_id: str
    expires_at: datetime
    is_admin: bool = False


class Keyring:
    """The public keys tokens may be signed with, by key id."""

    def __init__(self, keys: "KeyServiceAsyncStub", clock: Clock) -> None:
        self._stub = keys
        self._clock = clock
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._reading = asyncio.Lock()
        self.issuer = ""
        self.audience = ""
        self.withdrawals = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def is_known(self) -> bool:
        """Say whether keys have ever been read."""
        return self._read_at is not None

    @property
    def is_due(self) -> bool:
        """Say whether it is time to read them again."""
        return self._read_at is None or self._clock.monotonic() - self._read_at >= KEYS_MAX_AGE_SECONDS

    def get(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key."""
        return self._keys.get(key_id)

    async def read(self) -> None:
        """Read the keys from auth; the ones known before stand when auth does not answer."""
        try:
            reply = await self._stub.ListPublicKeys(keys_pb2.ListPublicKeysRequest(), timeout=CALL_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.debug("keys not read", extra={"status": error.code().name})
            return
        keys = {
            key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key)
            for key in reply.keys
            if key.algorithm == ALGORITHM
        }
        if any(keys.get(key_id) != key for key_id, key in self._keys.items()):
            self.withdrawals += 1
        self._keys = keys
        self.issuer, self.audience = reply.issuer, reply.audience
        self._read_at = self._clock.monotonic()

    async def read_for(self, key_id: str) -> Ed25519PublicKey | None:
        """Return a key that is not known yet, asking auth for it at most every few seconds."""
        async with self._reading:
            now = self._clock.monotonic()
            is_resting = self._tried_at is not None and now - self._tried_at < KEYS_MIN_AGE_SECONDS
            if key_id not in self._keys and not is_resting:
                self._tried_at = now
                await self.read()
        return self._keys.get(key_id)


class Revocations:
    """What is refused before it expires: tokens, sessions and users, each until its last token has expired.

    Attributes:
        current_at: when nothing revoked before can have been missing; None before any were read.
        read_at: when the last reading of all that stands began; None before that.
        is_beating: whether auth said, when it was last read, that it is to be heard each second.
    """

    def __init__(self, keys: "KeyServiceAsyncStub", clock: Clock) -> None:
        self._stub = keys
        self._clock = clock
        self._by_kind: dict[str, dict[str, float]] = {"token_id": {}, "session_id": {}, "user_id": {}}
        self.current_at: float | None = None
        self.read_at: float | None = None
        self.is_beating = False

    def add(self, revocation: keys_pb2.Revocation) -> None:
        """Refuse from now on what a revocation names."""
        kind = revocation.WhichOneof("subject")
        if kind is None:
            return
        name, expiries = getattr(revocation, kind), self._by_kind[kind]
        # Told again, and late, an earlier one does not shorten a later one.
        expiries[name] = max(float(revocation.expires_at.ToSeconds()), expiries.get(name, 0.0))

    def covers(self, caller: Caller) -> bool:
        """Say whether a caller's token is refused.

        A revocation ends when every token that it is for has expired; tokens of the same user after that are others.
        """
        tokens, sessions, users = self._by_kind.values()
        expires_at = max(
            tokens.get(caller.token_id, 0.0), sessions.get(caller.session_id, 0.0), users.get(caller.user_id, 0.0)
        )
        # Who isn't revoked, which is nearly everybody, does not wait for the clock.
        return expires_at > 0.0 and expires_at > self._clock.now().timestamp()

    def note_current(self) -> None:
        """Note that nothing revoked up to now can be missing."""
        if self.read_at is not None:
            self.current_at = self._clock.monotonic()

    async def read(self) -> bool:
        """Read all that stands from auth, keeping what is known; return whether auth told all of it.

        What is revoked while pages are read may have its place on one that was read before: the reading speaks for the
        moment at which it began.
        """
        began_at = self._clock.monotonic()
        try:
            has_all = await self._read_pages()
        except grpc.aio.AioRpcError as error:
            log.debug("revocations not read", extra={"status": error.code().name})
            return False
        if not has_all:
            log.error("revocations not read: too many", extra={"at_most": PAGES_MOST * PAGE_LENGTH})
            return False
        self.read_at = began_at
        self.current_at = began_at if self.current_at is None else max(began_at, self.current_at)
        return True

    async def _read_pages(self) -> bool:
        request = keys_pb2.ListRevocationsRequest(page_size=PAGE_LENGTH)
        for number in range(PAGES_MOST):
            reply = await self._stub.ListRevocations(request, timeout=CALL_TIMEOUT_SECONDS)
            self.is_beating = reply.is_beating
            if number == 0:
                self._forget_expired()
            for revocation in reply.revocations:
                self.add(revocation)
            # An auth that knows no pages tells all at once.
            if not reply.next_page_token:
                return True
            request.page_token = reply.next_page_token
        return False

    def _forget_expired(self) -> None:
        now = self._clock.now().timestamp() - CLOCK_SKEW_SECONDS
        for expiries in self._by_kind.values():
            for name in [name for name, expires_at in expiries.items() if expires_at <= now]:
                del expiries[name]


class Trust:
    """Keeps keys and revocations current: NATS tells, auth is asked at start, after a cut, and while NATS is lost.

    NATS is lost, too, when its server answers and auth is not heard: servers can be cut off from one another.
    """

    def __init__(
        self,
        keyring: Keyring,
        revocations: Revocations,
        bus: Bus,
        clock: Clock,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Keep them current.

        Args:
            keyring: the keys.
            revocations: the revocations.
            bus: where auth tells.
            clock: measures how old they are.
            jitter: returns 0 to 1, by which the rests after readings that failed differ.
        """
        self._keyring = keyring
        self._revocations = revocations
        self._bus = bus
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._rests_until = 0.0
        self._wake = asyncio.Event()
        self._cuts = 1
        self._cuts_covered = 0
        self._settled_at = 0.0
        self._heard_at = clock.monotonic()
        self._is_silent = False

    @asynccontextmanager
    async def watching(self) -> "AsyncIterator[None]":
        """Follow auth in the background until the block is left."""
        await self._bus.subscribe(REVOKED_SUBJECT, self._on_revoked)
        await self._bus.subscribe(BEAT_SUBJECT, self._on_beat)
        self._bus.on_ready(self._on_ready)
        async with running(self._watch()):
            yield

    async def look(self) -> None:
        """Read what is due; called every second and after each reconnect.

        For some seconds after a cut auth is asked as during it: what it revokes waits until it is connected again too.
        After readings that failed it is asked again in one second, in two, then every four.
        """
        if self._keyring.is_due:
            await self._keyring.read()
        hears = await self._hears_nats()
        self._note_silence(is_answered=hears)
        cuts = self._cuts
        now = self._clock.monotonic()
        is_covered = cuts == self._cuts_covered
        if not is_covered:
            self._settled_at = now + SETTLING_SECONDS
        is_fresh = is_covered and now >= self._settled_at and not self._is_reread_due()
        if is_fresh and not self._is_silent:
            self._revocations.note_current()
            return
        has_read = await self._read()
        if has_read and hears:
            self._cuts_covered = cuts
        elif is_fresh:
            # Most likely it is auth that is away, which has nothing to tell then: it is as if NATS told nothing.
            self._revocations.note_current()

    async def _read(self) -> bool:
        """Read the revocations, unless the last reading failed a moment ago; return whether they were."""
        if self._clock.monotonic() < self._rests_until:
            return False
        has_read = await self._revocations.read()
        if has_read:
            self._failures = 0
            return True
        rest_seconds = RESTS_SECONDS[min(self._failures, len(RESTS_SECONDS) - 1)]
        self._failures += 1
        self._rests_until = self._clock.monotonic() + rest_seconds * (1 - self._jitter() / 4)
        return False

    def _is_reread_due(self) -> bool:
        read_at = self._revocations.read_at
        return read_at is None or self._clock.monotonic() - read_at >= REVOCATIONS_REREAD_SECONDS

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                # The outermost frame of a task that must outlive any one failure.
                log.exception("trust not refreshed")
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._wake.wait()

    async def _hears_nats(self) -> bool:
        hears = await self._bus.is_answering()
        if not hears:
            self._cuts += 1
        return hears

    def _note_silence(self, *, is_answered: bool) -> None:
        was_silent = self._is_silent
        silent_seconds = self._clock.monotonic() - self._heard_at
        self._is_silent = is_answered and self._revocations.is_beating and silent_seconds > BEAT_SILENCE_SECONDS
        if self._is_silent and not was_silent:
            SILENCES.inc()
            log.warning("auth not heard over nats")
        if was_silent and not self._is_silent:
            # What was told meanwhile was told to others.
            self._cuts += 1

    async def _on_ready(self) -> None:
        self._heard_at = self._clock.monotonic()
        self._cuts += 1
        self._wake.set()

    async def _on_beat(self, _: Msg) -> None:
        self._heard_at = self._clock.monotonic()

    async def _on_revoked(self, message: Msg) -> None:
        for revocation in events_pb2.TokensRevoked.FromString(message.data).revocations:
            self._revocations.add(revocation)


class Verifier:
    """Says who a token speaks for.

    Attributes:
        checks: how many tokens were looked at, by outcome; one that is remembered and good is `cached`.
    """

    def __init__(
        self, keyring: Keyring, revocations: Revocations, clock: Clock, *, tokens_kept: int, max_blind_seconds: float
    ) -> None:
        self._keyring = keyring
        self._revocations = revocations
        self._clock = clock
        self._tokens_kept = tokens_kept
        self._max_blind_seconds = max_blind_seconds
        self._verified: dict[str, Caller] = {}
        self._withdrawals = 0
        self.checks = dict.fromkeys(CHECK_OUTCOMES, 0)

    @property
    def is_prepared(self) -> bool:
        """Say whether keys and revocations were ever read."""
        return self._keyring.is_known and self._revocations.read_at is not None

    @property
    def is_able(self) -> bool:
        """Say whether tokens can be judged now."""
        age_seconds = self.revocations_age_seconds
        return self._keyring.is_known and age_seconds is not None and age_seconds <= self._max_blind_seconds

    @property
    def key_count(self) -> int:
        """Return how many keys tokens may be signed with."""
        return len(self._keyring)

    @property
    def revocations_age_seconds(self) -> float | None:
        """Return for how long a revocation may have gone unheard; None before any were read."""
        current_at = self._revocations.current_at
        return None if current_at is None else self._clock.monotonic() - current_at

    def is_current(self, caller: Caller) -> bool:
        """Say whether a caller verified earlier still stands."""
        return caller.expires_at > self._clock.now() and not self._revocations.covers(caller)

    def recall(self, token: str) -> Caller | None:
        """Return the caller of a token verified before; None when it is new, no longer good, or cannot be judged."""
        caller = self._known(token)
        if caller is None or not self.is_able or not self.is_current(caller):
            return None
        self.checks[CACHED] += 1
        return caller

    async def verify(self, token: str) -> Caller:
        """Return the caller of a token.

        Raises:
            AuthRequired: it is none of ours.
            TokenExpired: it was.
            TokenRevoked: it was ended.
            TrustUnknown: keys or revocations are out of reach.
        """
        known = self._known(token)
        try:
            caller = self._standing(token, known or await self._read(token))
        except ApiError as error:
            self.checks[_OUTCOME_OF.get(type(error), REFUSED)] += 1
            raise
        self.checks[VERIFIED if known is None else CACHED] += 1
        self._remember(token, caller)
        return caller

    def _standing(self, token: str, caller: Caller) -> Caller:
        if not self.is_able:
            raise TrustUnknown
        if caller.expires_at <= self._clock.now():
            self._verified.pop(token, None)
            raise TokenExpired
        if self._revocations.covers(caller):
            self._verified.pop(token, None)
            raise TokenRevoked
        return caller

    def _known(self, token: str) -> Caller | None:
        if self._withdrawals != self._keyring.withdrawals:
            # What a withdrawn key has signed must be looked at again.
            self._withdrawals = self._keyring.withdrawals
            self._verified.clear()
        return self._verified.get(token)

    def _remember(self, token: str, caller: Caller) -> None:
        if token in self._verified:
            return
        while len(self._verified) >= self._tokens_kept:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = caller

    async def _read(self, token: str) -> Caller:
        key_id = _key_id_of(token)
        key = self._keyring.get(key_id) or await self._keyring.read_for(key_id)
        if not self._keyring.is_known:
            raise TrustUnknown
        if key is None:
            raise AuthRequired
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._keyring.issuer,
                audience=self._keyring.audience,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": REQUIRED_CLAIMS},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired from error
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            # The library turns times into numbers without asking what they are.
            raise AuthRequired from error
        return _caller_of(claims)


def _key_id_of(token: str) -> str:
    if len(token) > MAX_TOKEN_LENGTH:
        raise AuthRequired
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise AuthRequired from error
    key_id = header.get("kid")
    if header.get("alg") != ALGORITHM or not isinstance(key_id, str) or len(key_id) > MAX_CLAIM_LENGTH:
        raise AuthRequired
    return key_id


def _caller_of(claims: Mapping[str, Any]) -> Caller:
    names = [claims["sub"], claims["sid"], claims["jti"]]
    if claims["typ"] != "access" or not all(isinstance(name, str) and name for name in names):
        raise AuthRequired
    # The library reads "9" and 9.5 as 9; auth writes no time so.
    if any(type(claims[name]) is not int for name in TIME_CLAIMS):
        raise AuthRequired
    user_id, session_id, token_id = names
    try:
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise AuthRequired from error
    # The claim is there only when it is true, and nothing else is as good.
    return Caller(user_id, session_id, token_id, expires_at, is_admin=claims.get("adm") is True)


# --- what a request carries ---------------------------------------------------------------------------------------


class Credential(NamedTuple):
    """The token a request carries, and whether only a cookie brought it."""

    token: str
    is_cookie: bool


def credential_of(headers: Mapping[bytes, bytes]) -> Credential | None:
    """Return the token of a request: the bearer's, else the cookie's."""
    authorization = headers.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        return Credential(authorization[7:].strip().decode("latin-1"), is_cookie=False)
    cookie = headers.get(b"cookie")
    if cookie is None or TOKEN_COOKIE.encode() not in cookie:
        return None
    token = _cookies_of(cookie).get(TOKEN_COOKIE)
    return Credential(token, is_cookie=True) if token else None


def _cookies_of(header: bytes) -> dict[str, str]:
    return cookie_parser(header.decode("latin-1"))


async def identify(incoming: Incoming, verifier: Verifier) -> None:
    """Note on a request who is calling: a caller, the reason why there is none, or nothing without a token."""
    if incoming.identity is not None:
        return
    credential = credential_of(incoming.headers)
    if credential is None:
        return
    try:
        caller = await verifier.verify(credential.token)
    except ApiError as error:
        incoming.identity = error
        return
    incoming.identity = caller
    incoming.user_id = caller.user_id


# --- one word in a route's signature ------------------------------------------------------------------------------

_bearer = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description="The access token of login, register or refresh.",
    auto_error=False,
)
_cookie = APIKeyCookie(
    name=TOKEN_COOKIE,
    scheme_name="cookie",
    description=f"The access token as login's cookie; unsafe methods also need the header {CSRF_HEADER}.",
    auto_error=False,
)


async def _maybe_signed_in(
    request: Request, _: Annotated[Any, Depends(_bearer)], __: Annotated[Any, Depends(_cookie)]
) -> Caller | None:
    return _identified(incoming_of(request.scope))


def _identified(incoming: Incoming) -> Caller | None:
    if isinstance(incoming.identity, ApiError):
        raise incoming.identity
    caller: Caller | None = incoming.identity
    if caller is not None:
        _require_csrf_token(incoming)
    return caller


def needs_caller(dependant: Dependant) -> bool:
    """Say whether an operation is for signed-in callers only, by its signature."""
    return dependant.call is _signed_in or any(needs_caller(each) for each in dependant.dependencies)


def require_caller(incoming: Incoming) -> Caller:
    """Return the caller.

    Raises:
        ApiError: there is no good token, or a cookie came without its CSRF token.
    """
    caller = _identified(incoming)
    if caller is None:
        raise AuthRequired
    return caller


def _require_csrf_token(incoming: Incoming) -> None:
    if incoming.scope["method"] in SAFE_METHODS:
        return
    credential = credential_of(incoming.headers)
    if credential is None or not credential.is_cookie:
        return
    expected = _cookies_of(incoming.headers.get(b"cookie", b"")).get(CSRF_COOKIE, "")
    given = incoming.headers.get(CSRF_HEADER.lower().encode(), b"")
    if not expected or not hmac.compare_digest(expected.encode("latin-1"), given):
        raise AccessDenied(f"A request that a cookie signs in needs the header {CSRF_HEADER}: the cookie {CSRF_COOKIE}")


MaybeSignedIn = Annotated[Caller | None, Depends(_maybe_signed_in)]
"""The caller, None without a token; a token that is no good is refused."""


async def _signed_in(request: Request, _: MaybeSignedIn) -> Caller:
    return require_caller(incoming_of(request.scope))


SignedIn = Annotated[Caller, Depends(_signed_in)]
"""The caller; without a good token the request is refused."""


async def _user(caller: SignedIn) -> str:
    return caller.user_id


User = Annotated[str, Depends(_user)]
"""The user id, which is the token's own: nothing else of the request can name a user."""


async def _owner(
    caller: SignedIn,
    user_id: Annotated[
        str,
        Path(
            description="The id of the token's user, or `me`.",
            examples=["me"],
            # Told, not asked: an id that nobody can have is refused like anybody else's.
            json_schema_extra={"minLength": 1, "maxLength": MAX_CLAIM_LENGTH},
        ),
    ],
) -> str:
    return require_owner(caller, user_id)


def needs_owner(dependant: Dependant) -> bool:
    """Say whether an operation is for the user whom its path names, by its signature."""
    return dependant.call is _owner or any(needs_owner(each) for each in dependant.dependencies)


def require_owner(caller: Caller, user_id: str) -> str:
    """Return the caller's id, which a path may also call `me`.

    Raises:
        AccessDenied: the path names anybody else, whether or not they exist.
    """
    if user_id not in ("me", caller.user_id):
        raise AccessDenied
    return caller.user_id


Owner = Annotated[str, Depends(_owner)]
"""The user id in the path, which is the token's own; anybody else's is refused."""


async def _leaving(
    request: Request, _: Annotated[Any, Depends(_bearer)], __: Annotated[Any, Depends(_cookie)]
) -> Caller | None:
    incoming = incoming_of(request.scope)
    if isinstance(incoming.identity, TrustUnknown):
        raise incoming.identity
    if not isinstance(incoming.identity, Caller):
        return None
    _require_csrf_token(incoming)
    return incoming.identity


Leaving = Annotated[Caller | None, Depends(_leaving)]
"""Who wants to sign out; None when there is no token, or none that still signs anybody in."""


class SessionCookies:
    """Sets and clears the cookies that carry a session."""

    def __init__(self, request: Request, response: Response) -> None:
        self._response = response
        self._has_come = credential_of(incoming_of(request.scope).headers) is not None
        self._is_secure = request.app.state.settings.gateway_cookie_secure or request.url.scheme == "https"

    def set(self, tokens: accounts_pb2.Tokens) -> None:
        """Hand out the access token, out of reach of scripts, and beside it a token against forged requests."""
        seconds = tokens.expires_in_seconds
        self._set(TOKEN_COOKIE, tokens.access_token, seconds, httponly=True)
        self._set(CSRF_COOKIE, secrets.token_urlsafe(24), seconds, httponly=False)

    def clear(self) -> None:
        """Take both back from who sent one.

        Another site's form does not bring the cookies along; that must not make a browser drop them.
        """
        if not self._has_come:
            return
        self._set(TOKEN_COOKIE, "", 0, httponly=True)
        self._set(CSRF_COOKIE, "", 0, httponly=False)

    def _set(self, name: str, value: str, seconds: int, *, httponly: bool) -> None:
        self._response.set_cookie(
            name, value, max_age=seconds, path="/", secure=self._is_secure, httponly=httponly, samesite="lax"
        )


Cookies = Annotated[SessionCookies, Depends()]
