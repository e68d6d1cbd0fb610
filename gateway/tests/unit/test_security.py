import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bourse.auth.v1 import events_pb2, keys_pb2
from chassis.clock import ManualClock
from gateway.errors import AuthRequired, TokenExpired, TokenRevoked
from gateway.security import (
    BEAT_SILENCE_SECONDS,
    BEAT_SUBJECT,
    CLOCK_SKEW_SECONDS,
    KEYS_MIN_AGE_SECONDS,
    PAGE_LENGTH,
    PAGES_MOST,
    REVOCATIONS_REREAD_SECONDS,
    REVOKED_SUBJECT,
    SETTLING_SECONDS,
    Caller,
    Keyring,
    Revocations,
    Trust,
    TrustUnknown,
    Verifier,
    credential_of,
)


class KeyService:
    """Auth's key service, in process; it can be away."""

    def __init__(self, auth: Any) -> None:
        self.auth = auth
        self.is_away = False
        self.key_attempts = 0
        self.key_reads = 0
        self.revocation_attempts = 0
        self.revocation_reads = 0
        self.between_pages: Callable[[], Awaitable[None]] | None = None

    async def ListPublicKeys(self, request: Any, **_: float) -> Any:
        self.key_attempts += 1
        self._fail_if_away()
        self.key_reads += 1
        return await self.auth.ListPublicKeys(request, Context())

    async def ListRevocations(self, request: Any, **_: float) -> Any:
        self.revocation_attempts += 1
        if request.page_token and self.between_pages is not None:
            await self.between_pages()
        self._fail_if_away()
        self.revocation_reads += 1
        return await self.auth.ListRevocations(request, Context())

    def _fail_if_away(self) -> None:
        if self.is_away:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())


class Context:
    def invocation_metadata(self) -> list[tuple[str, str]]:
        return []


class Bus:
    """A bus whose server answers or not."""

    def __init__(self) -> None:
        self.answers = True
        self.handlers: dict[str, Any] = {}
        self.ready: Any = None

    async def subscribe(self, subject: str, handler: Any) -> None:
        self.handlers[subject] = handler

    async def hear(self, subject: str, payload: bytes = b"") -> None:
        await self.handlers[subject](type("Msg", (), {"data": payload}))

    async def is_answering(self) -> bool:
        return self.answers

    def on_ready(self, callback: Callable[[], Any]) -> None:
        self.ready = callback


class Parts:
    """A verifier and everything it stands on."""

    def __init__(self, auth: Any) -> None:
        self.auth = auth
        self.clock = ManualClock(datetime.now(UTC))
        self.keys = KeyService(auth)
        self.bus = Bus()
        stub: Any = self.keys
        bus: Any = self.bus
        self.keyring = Keyring(stub, self.clock)
        self.revocations = Revocations(stub, self.clock)
        self.trust = Trust(self.keyring, self.revocations, bus, self.clock, jitter=lambda: 0.0)
        self.verifier = Verifier(self.keyring, self.revocations, self.clock, tokens_kept=3, max_blind_seconds=30)

    def revoke(self, **subject: str) -> keys_pb2.Revocation:
        revocation = keys_pb2.Revocation(**subject)  # type: ignore[arg-type]
        revocation.expires_at.FromSeconds(int(time.time()) + 3600)
        return revocation


@pytest.fixture
async def parts(auth: Any) -> Parts:
    made = Parts(auth)
    await made.trust.look()
    return made


async def test_a_good_token_names_its_caller(parts: Parts) -> None:
    caller = await parts.verifier.verify(parts.auth.mint("42", jti="t-1", sid="s-1"))

    assert (caller.user_id, caller.session_id, caller.token_id) == ("42", "s-1", "t-1")


def forged(parts: Parts, **header: Any) -> str:
    return jwt.encode({"sub": "42"}, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=header)


def unsigned(_: Parts) -> str:
    return jwt.encode({"sub": "42"}, "", algorithm="none", headers={"kid": "key-1"})


def symmetric(parts: Parts) -> str:
    public = parts.auth.keys["key-1"].public_key().public_bytes_raw()
    return jwt.encode({"sub": "42", "typ": "access"}, public, algorithm="HS256", headers={"kid": "key-1"})


@pytest.mark.parametrize(
    "make",
    [
        lambda _: "",
        lambda _: "a.b.c",
        lambda _: "x" * 5000,
        unsigned,
        symmetric,
        forged,
        lambda parts: forged(parts, kid="key-1"),
        lambda parts: forged(parts, kid="unknown"),
        lambda parts: forged(parts, kid="k" * 300),
        lambda parts: parts.auth.mint(typ="refresh"),
        lambda parts: parts.auth.mint(typ=None),
        lambda parts: parts.auth.mint(iss="somebody"),
        lambda parts: parts.auth.mint(aud="somebody"),
        lambda parts: parts.auth.mint(sub=None),
        lambda parts: parts.auth.mint(sid=None),
        lambda parts: parts.auth.mint(sid=""),
        lambda parts: parts.auth.mint(jti=None),
        lambda parts: parts.auth.mint(exp=None),
        lambda parts: parts.auth.mint(iat=None),
        lambda parts: parts.auth.mint(nbf=int(time.time()) + 600),
        lambda parts: parts.auth.mint()[:-4] + "AAAA",
    ],
)
async def test_anything_else_is_no_token(parts: Parts, make: Callable[[Parts], str]) -> None:
    with pytest.raises(AuthRequired):
        await parts.verifier.verify(make(parts))


async def test_an_expired_token_says_so(parts: Parts) -> None:
    with pytest.raises(TokenExpired):
        await parts.verifier.verify(parts.auth.mint(exp=int(time.time()) - 60))


async def test_a_token_of_an_auth_whose_clock_is_some_seconds_ahead_is_taken(parts: Parts) -> None:
    soon = int(time.time()) + CLOCK_SKEW_SECONDS - 2
    assert (await parts.verifier.verify(parts.auth.mint("42", iat=soon, nbf=soon))).user_id == "42"
    later = int(time.time()) + CLOCK_SKEW_SECONDS + 30
    with pytest.raises(AuthRequired):
        await parts.verifier.verify(parts.auth.mint("42", iat=later, nbf=later))


async def test_a_clock_that_differs_prolongs_no_token(parts: Parts) -> None:
    with pytest.raises(TokenExpired):
        await parts.verifier.verify(parts.auth.mint(exp=int(time.time()) - 2))


async def test_a_gateway_whose_clock_is_set_back_keeps_to_what_was_revoked(parts: Parts) -> None:
    token = parts.auth.mint("42", jti="t-1")
    parts.auth.revocations = [parts.revoke(token_id="t-1")]
    await parts.clock.advance(REVOCATIONS_REREAD_SECONDS)
    await parts.trust.look()
    parts.clock._start -= timedelta(hours=1)
    await parts.trust.look()

    with pytest.raises(TokenRevoked):
        await parts.verifier.verify(token)


async def test_a_remembered_token_expires_on_time(parts: Parts) -> None:
    token = parts.auth.mint(exp=int(time.time()) + 20)
    await parts.verifier.verify(token)
    assert parts.verifier.recall(token) is not None
    await parts.clock.advance(25)
    parts.revocations.note_current()

    assert parts.verifier.recall(token) is None
    with pytest.raises(TokenExpired):
        await parts.verifier.verify(token)


@pytest.mark.parametrize("subject", [{"token_id": "t-1"}, {"session_id": "s-1"}, {"user_id": "42"}])
async def test_what_is_revoked_is_refused_at_once(parts: Parts, subject: dict[str, str]) -> None:
    token = parts.auth.mint("42", jti="t-1", sid="s-1")
    await parts.verifier.verify(token)

    parts.revocations.add(parts.revoke(**subject))

    assert parts.verifier.recall(token) is None
    with pytest.raises(TokenRevoked):
        await parts.verifier.verify(token)


async def test_others_are_not_touched_by_a_revocation(parts: Parts) -> None:
    parts.revocations.add(parts.revoke(session_id="other"))

    assert await parts.verifier.verify(parts.auth.mint("42"))


async def test_remembered_tokens_are_bounded(parts: Parts) -> None:
    tokens = [parts.auth.mint("42") for _ in range(5)]
    for token in tokens:
        await parts.verifier.verify(token)

    assert [parts.verifier.recall(token) is not None for token in tokens] == [False, False, True, True, True]


async def test_a_new_key_is_fetched_when_it_is_first_met(parts: Parts) -> None:
    parts.auth.keys["key-2"] = Ed25519PrivateKey.generate()

    assert await parts.verifier.verify(parts.auth.mint("42", key_id="key-2"))
    assert parts.keys.key_reads == 2


async def test_unknown_keys_do_not_make_a_flood(parts: Parts) -> None:
    for number in range(20):
        with pytest.raises(AuthRequired):
            await parts.verifier.verify(forged(parts, kid=f"unknown-{number}"))
    assert parts.keys.key_reads == 2

    await parts.clock.advance(KEYS_MIN_AGE_SECONDS)
    with pytest.raises(AuthRequired):
        await parts.verifier.verify(forged(parts, kid="unknown"))
    assert parts.keys.key_reads == 3


async def test_callers_do_not_queue_for_an_auth_that_never_answered(auth: Any) -> None:
    parts = Parts(auth)
    parts.keys.is_away = True
    for _ in range(20):
        with pytest.raises(TrustUnknown):
            await parts.verifier.verify(auth.mint("42"))

    assert parts.keys.key_attempts == 1


async def test_a_withdrawn_key_ends_with_the_next_reading(parts: Parts) -> None:
    token = parts.auth.mint("42")
    await parts.verifier.verify(token)
    parts.auth.keys = {"key-2": Ed25519PrivateKey.generate()}
    await parts.keyring.read()

    assert parts.verifier.recall(token) is None
    with pytest.raises(AuthRequired):
        await parts.verifier.verify(token)


async def test_without_keys_nobody_is_let_in_or_blamed(auth: Any) -> None:
    parts = Parts(auth)
    parts.keys.is_away = True
    await parts.trust.look()

    with pytest.raises(TrustUnknown):
        await parts.verifier.verify(auth.mint("42"))
    assert not parts.verifier.is_able
    assert not parts.verifier.is_prepared


async def test_without_revocations_nobody_is_let_in(auth: Any) -> None:
    parts = Parts(auth)
    await parts.keyring.read()

    with pytest.raises(TrustUnknown):
        await parts.verifier.verify(auth.mint("42"))


async def test_auth_away_is_bearable_while_nats_tells(parts: Parts) -> None:
    token = parts.auth.mint("42")
    parts.keys.is_away = True
    for _ in range(50):
        await parts.clock.advance(1)
        await parts.trust.look()

    assert await parts.verifier.verify(token)


async def test_blind_for_too_long_nobody_is_let_in(parts: Parts) -> None:
    token = parts.auth.mint("42")
    await parts.verifier.verify(token)
    parts.keys.is_away = True
    parts.bus.answers = False
    await parts.clock.advance(29)
    await parts.trust.look()
    assert parts.verifier.recall(token) is not None
    await parts.clock.advance(2)
    await parts.trust.look()

    assert parts.verifier.recall(token) is None
    assert parts.verifier.is_prepared
    with pytest.raises(TrustUnknown):
        await parts.verifier.verify(token)


async def test_while_nats_tells_auth_is_rarely_asked(parts: Parts) -> None:
    for _ in range(int(SETTLING_SECONDS)):
        await parts.clock.advance(1)
        await parts.trust.look()
    settled = parts.keys.revocation_reads
    for _ in range(int(REVOCATIONS_REREAD_SECONDS)):
        await parts.clock.advance(1)
        await parts.trust.look()

    assert parts.keys.revocation_reads == settled + 1


async def test_while_nats_is_lost_auth_is_asked_every_second(parts: Parts) -> None:
    parts.bus.answers = False
    for _ in range(5):
        await parts.clock.advance(1)
        await parts.trust.look()

    assert parts.keys.revocation_reads == 6


async def test_what_auth_revokes_before_nats_has_it_again_too_is_learnt_within_a_second(parts: Parts) -> None:
    token = parts.auth.mint("42", sid="s-1")
    parts.bus.answers = False
    await parts.trust.look()
    parts.bus.answers = True
    await parts.trust.look()
    assert await parts.verifier.verify(token)
    parts.auth.revocations = [parts.revoke(session_id="s-1")]
    await parts.clock.advance(1)
    await parts.trust.look()

    with pytest.raises(TokenRevoked):
        await parts.verifier.verify(token)


async def test_some_seconds_after_a_cut_auth_is_left_alone(parts: Parts) -> None:
    parts.bus.answers = False
    await parts.trust.look()
    parts.bus.answers = True
    for _ in range(20):
        await parts.trust.look()
        await parts.clock.advance(1)

    assert parts.keys.revocation_reads == 2 + SETTLING_SECONDS


async def beating(auth: Any) -> Parts:
    """Return a gateway that has settled and hears auth each second."""
    auth.is_beating = True
    parts = Parts(auth)
    # As `watching` does, without its own looks.
    await parts.bus.subscribe(BEAT_SUBJECT, parts.trust._on_beat)
    await pass_seconds(parts, int(SETTLING_SECONDS) + 1, is_heard=True)
    return parts


async def pass_seconds(parts: Parts, seconds: int, *, is_heard: bool) -> int:
    """Look once a second; return how often auth was asked for revocations."""
    before = parts.keys.revocation_attempts
    for _ in range(seconds):
        if is_heard:
            await parts.bus.hear(BEAT_SUBJECT)
        await parts.trust.look()
        await parts.clock.advance(1)
    return parts.keys.revocation_attempts - before


async def test_while_auth_is_heard_it_is_rarely_asked(auth: Any) -> None:
    parts = await beating(auth)

    assert await pass_seconds(parts, 30, is_heard=True) == 0


async def test_while_nats_answers_and_auth_is_not_heard_it_is_asked_every_second(auth: Any) -> None:
    parts = await beating(auth)
    token = auth.mint("42", sid="s-1")
    asked = await pass_seconds(parts, int(BEAT_SILENCE_SECONDS), is_heard=False)
    assert asked == 0
    auth.revocations = [parts.revoke(session_id="s-1")]

    assert await pass_seconds(parts, 10, is_heard=False) == 10
    with pytest.raises(TokenRevoked):
        await parts.verifier.verify(token)


async def test_when_auth_is_heard_again_it_is_asked_once_more_and_then_left_alone(auth: Any) -> None:
    parts = await beating(auth)
    await pass_seconds(parts, 20, is_heard=False)
    token = auth.mint("42", sid="s-1")
    auth.revocations = [parts.revoke(session_id="s-1")]

    assert await pass_seconds(parts, 1, is_heard=True) == 1
    with pytest.raises(TokenRevoked):
        await parts.verifier.verify(token)
    assert await pass_seconds(parts, 30, is_heard=True) == SETTLING_SECONDS - 1


async def test_an_auth_of_the_release_before_which_does_not_beat_is_taken_as_heard(auth: Any) -> None:
    parts = await beating(auth)
    auth.is_beating = False
    await parts.revocations.read()

    assert await pass_seconds(parts, 20, is_heard=False) == 0


async def test_an_auth_that_is_away_and_so_not_heard_is_bearable_for_as_long_as_before(auth: Any) -> None:
    parts = await beating(auth)
    token = auth.mint("42")
    assert await parts.verifier.verify(token)
    parts.keys.is_away = True

    assert await pass_seconds(parts, int(REVOCATIONS_REREAD_SECONDS), is_heard=False) <= 18
    assert await parts.verifier.verify(token)
    await pass_seconds(parts, 35, is_heard=False)
    with pytest.raises(TrustUnknown):
        await parts.verifier.verify(token)


async def test_a_gateway_that_reconnects_to_a_server_that_is_cut_off_does_not_take_itself_as_current(auth: Any) -> None:
    parts = await beating(auth)
    async with parts.trust.watching():
        await parts.bus.ready()
    await pass_seconds(parts, int(SETTLING_SECONDS) + 1, is_heard=False)

    assert await pass_seconds(parts, 5, is_heard=False) == 5


async def test_a_cut_between_two_looks_is_not_missed(parts: Parts) -> None:
    async with parts.trust.watching():
        await parts.bus.ready()
        await parts.trust.look()

    assert parts.keys.revocation_reads >= 2


async def test_what_nats_tells_is_refused(parts: Parts) -> None:
    token = parts.auth.mint("42", sid="s-1")
    async with parts.trust.watching():
        told = events_pb2.TokensRevoked(revocations=[parts.revoke(session_id="s-1")])
        await parts.bus.hear(REVOKED_SUBJECT, told.SerializeToString())

    with pytest.raises(TokenRevoked):
        await parts.verifier.verify(token)


async def fill(parts: Parts, pages: int) -> None:
    """Have as many sessions revoked as fill so many pages; the last is `last`."""
    expires_at = parts.revoke(session_id="last").expires_at
    names = [*(f"s-{number}" for number in range(pages * PAGE_LENGTH - 1)), "last"]
    parts.auth.revocations = [keys_pb2.Revocation(session_id=name, expires_at=expires_at) for name in names]


LAST = Caller("u", "last", "t", datetime.now(UTC))


async def test_revocations_are_read_page_by_page_to_the_last(parts: Parts) -> None:
    await fill(parts, pages=3)
    before = parts.keys.revocation_reads

    assert await parts.revocations.read()

    assert parts.revocations.covers(LAST)
    assert parts.keys.revocation_reads - before == 3


async def test_an_auth_that_knows_no_pages_tells_all_at_once(parts: Parts) -> None:
    await fill(parts, pages=2)
    listed = keys_pb2.ListRevocationsResponse(revocations=parts.auth.revocations)
    parts.auth.ListRevocations = lambda *_: answered(listed)
    before = parts.keys.revocation_reads

    assert await parts.revocations.read()

    assert parts.revocations.covers(LAST)
    assert parts.keys.revocation_reads - before == 1


async def answered(message: Any) -> Any:
    return message


async def test_a_reading_speaks_for_the_moment_its_first_page_was_asked_for(parts: Parts) -> None:
    await fill(parts, pages=3)
    await parts.clock.advance(10)
    parts.keys.between_pages = lambda: parts.clock.advance(4)

    assert await parts.revocations.read()

    assert parts.verifier.revocations_age_seconds == 8


async def test_a_reading_that_ends_early_counts_for_nothing_and_keeps_what_it_brought(parts: Parts) -> None:
    await fill(parts, pages=3)
    read_at = parts.revocations.read_at
    await parts.clock.advance(10)

    async def go_away() -> None:
        parts.keys.is_away = True

    parts.keys.between_pages = go_away

    assert not await parts.revocations.read()

    assert (parts.revocations.read_at, parts.verifier.revocations_age_seconds) == (read_at, 10)
    assert parts.revocations.covers(Caller("u", "s-0", "t", datetime.now(UTC)))


async def test_a_reading_without_an_end_is_given_up(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    endless = keys_pb2.ListRevocationsResponse(next_page_token="again")
    parts.auth.ListRevocations = lambda *_: answered(endless)
    await parts.clock.advance(10)
    before = parts.keys.revocation_reads

    assert not await parts.revocations.read()

    assert parts.keys.revocation_reads - before == PAGES_MOST
    assert parts.verifier.revocations_age_seconds == 10
    assert "too many" in caplog.text


async def test_what_is_revoked_while_pages_are_read_is_refused_as_nats_tells_it(parts: Parts) -> None:
    await fill(parts, pages=2)
    told = events_pb2.TokensRevoked(revocations=[parts.revoke(session_id="meanwhile")])
    parts.keys.between_pages = lambda: parts.bus.hear(REVOKED_SUBJECT, told.SerializeToString())
    async with parts.trust.watching():
        assert await parts.revocations.read()

    assert parts.revocations.covers(Caller("u", "meanwhile", "t", datetime.now(UTC)))


@pytest.mark.parametrize("answers", [True, False])
async def test_an_auth_whose_readings_fail_is_asked_less_and_less_often(auth: Any, answers: bool) -> None:
    parts = Parts(auth)
    parts.keys.is_away = True
    parts.bus.answers = answers
    asked = []
    for second in range(16):
        before = parts.keys.revocation_attempts
        await parts.trust.look()
        if parts.keys.revocation_attempts > before:
            asked.append(second)
        await parts.clock.advance(1)
    assert asked == [0, 1, 3, 7, 11, 15]

    parts.keys.is_away = False
    await parts.clock.advance(4)
    await parts.trust.look()
    parts.keys.is_away = True
    await parts.clock.advance(1)
    await parts.trust.look()
    await parts.clock.advance(1)
    await parts.trust.look()
    assert parts.keys.revocation_attempts == len(asked) + 3


async def test_expired_revocations_are_forgotten(parts: Parts) -> None:
    old = keys_pb2.Revocation(token_id="old")
    old.expires_at.FromSeconds(int(time.time()) - 60)
    parts.revocations.add(old)
    parts.revocations.add(parts.revoke(token_id="young"))

    await parts.revocations.read()

    ends = datetime.now(UTC)
    assert not parts.revocations.covers(Caller("u", "s", "old", ends))
    assert parts.revocations.covers(Caller("u", "s", "young", ends))


async def test_a_revocation_ends_with_its_own_expiry_though_nothing_was_read_since(parts: Parts) -> None:
    ended, standing = keys_pb2.Revocation(user_id="u"), keys_pb2.Revocation(session_id="s")
    ended.expires_at.FromDatetime(parts.clock.now() + timedelta(seconds=10))
    standing.expires_at.FromDatetime(parts.clock.now() + timedelta(seconds=20))
    for revocation in (ended, standing):
        parts.revocations.add(revocation)
    came_back = Caller("u", "s-2", "t-2", parts.clock.now() + timedelta(hours=1))
    assert parts.revocations.covers(came_back)

    await parts.clock.advance(10)

    assert not parts.revocations.covers(came_back)
    assert parts.revocations.covers(Caller("u", "s", "t", parts.clock.now()))


async def test_an_earlier_revocation_told_late_does_not_shorten_a_later_one(parts: Parts) -> None:
    for seconds in (20, 10):
        revocation = keys_pb2.Revocation(session_id="s")
        revocation.expires_at.FromDatetime(parts.clock.now() + timedelta(seconds=seconds))
        parts.revocations.add(revocation)

    await parts.clock.advance(15)

    assert parts.revocations.covers(Caller("u", "s", "t", parts.clock.now()))


def test_the_bearer_wins_over_the_cookie() -> None:
    headers = {b"authorization": b"bearer one", b"cookie": b"access_token_cookie=two"}

    credential = credential_of(headers)

    assert credential is not None
    assert credential == ("one", False)


def test_the_cookie_is_found_among_others() -> None:
    credential = credential_of({b"cookie": b'odd={"a":1}; access_token_cookie=two; csrf_token=three'})

    assert credential is not None
    assert credential == ("two", True)


@pytest.mark.parametrize(
    "headers",
    [{}, {b"authorization": b"Basic abc"}, {b"cookie": b"a=b"}, {b"cookie": b"access_token_cookie="}],
)
def test_nothing_else_is_a_credential(headers: dict[bytes, bytes]) -> None:
    assert credential_of(headers) is None
