import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.clock import ManualClock
from gateway.http_cache import HttpCache, UnsafeHeader, make_entry, matches_etag, parse_policy, policy_note
from gateway.wire import Finished, Incoming

PATH = "/api/index/snapshot"
POLICY = "public, max-age=2, stale-while-revalidate=10, stale-if-error=60"
BODY = b'{"price":1,"freshness":"live"}'


class Application:
    """Answers what it is told to, and notes the policy as a service's reply would."""

    def __init__(self) -> None:
        self.body = BODY
        self.status = 200
        self.policy: str | None = POLICY
        self.flights = 0
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self.requests: list[Any] = []
        self.freshness: bytes | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.flights += 1
        self.requests.append(scope)
        await receive()
        if self.gate is not None:
            await self.gate.wait()
        note = policy_note.get()
        if self.policy is not None and note is not None and self.status == 200:
            note.policy = parse_policy(self.policy)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"999"), (b"x-missing-symbols", b"A")]
        if self.freshness is not None:
            headers.append((b"x-freshness", self.freshness))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 4, 7, tzinfo=UTC))


@pytest.fixture
def app() -> Application:
    return Application()


@pytest.fixture
async def cache(app: Application, clock: ManualClock) -> AsyncIterator[HttpCache]:
    def parameters(path: str) -> tuple[str, frozenset[str]] | None:
        return (path.rstrip("/"), frozenset({"symbols"})) if path.startswith("/api/") else None

    made = HttpCache(app, parameters, max_bytes=100_000, max_flights=8, clock=clock)
    yield made
    await made.close()


def incoming(path: str = PATH, query: bytes = b"", **headers: bytes) -> Incoming:
    raw = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return Incoming({"type": "http", "method": "GET", "path": path, "query_string": query, "headers": raw})


async def get(cache: HttpCache, request: Incoming | None = None) -> Finished:
    request = request or incoming()
    ready = cache.answer(request)
    if ready is not None:
        return ready
    key = cache.key_of(request.scope["path"], request.scope["query_string"])
    assert key is not None
    return await cache.fetch(key, request)


def header(finished: Finished, name: bytes) -> bytes | None:
    return dict(finished.headers).get(name)


async def test_the_first_reader_waits_and_the_second_does_not(cache: HttpCache, app: Application) -> None:
    first = await get(cache)
    second = await get(cache)

    assert (first.body, second.body) == (BODY, BODY)
    assert header(first, b"x-cache") == b"MISS"
    assert header(second, b"x-cache") == b"HIT"
    assert app.flights == 1


async def test_a_hit_carries_what_caches_downstream_need(cache: HttpCache, clock: ManualClock) -> None:
    await get(cache)
    await clock.advance(1.5)

    hit = await get(cache)

    assert header(hit, b"cache-control") == POLICY.encode()
    assert header(hit, b"age") == b"1"
    assert header(hit, b"etag")
    assert header(hit, b"content-length") == str(len(BODY)).encode()
    assert header(hit, b"x-missing-symbols") == b"A"
    assert header(hit, b"x-content-type-options") == b"nosniff"


async def test_concurrent_readers_share_one_flight(cache: HttpCache, app: Application) -> None:
    app.gate = asyncio.Event()
    readers = [asyncio.create_task(get(cache)) for _ in range(10)]
    await asyncio.sleep(0)
    app.gate.set()

    answers = await asyncio.gather(*readers)

    assert app.flights == 1
    assert {answer.body for answer in answers} == {BODY}


async def test_a_reader_who_leaves_cancels_nobody(cache: HttpCache, app: Application) -> None:
    app.gate = asyncio.Event()
    leaver, stayer = asyncio.create_task(get(cache)), asyncio.create_task(get(cache))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    app.gate.set()

    assert (await stayer).body == BODY


async def test_past_its_time_an_answer_is_served_while_it_is_fetched_anew(
    cache: HttpCache, app: Application, clock: ManualClock
) -> None:
    await get(cache)
    await clock.advance(3)
    app.body = b'{"price":2}'

    stale = await get(cache)
    await asyncio.sleep(0.01)
    fresh = await get(cache)

    assert header(stale, b"x-cache") == b"STALE"
    assert stale.body == BODY
    assert header(fresh, b"x-cache") == b"HIT"
    assert fresh.body == b'{"price":2}'


async def test_beyond_that_readers_wait(cache: HttpCache, app: Application, clock: ManualClock) -> None:
    await get(cache)
    await clock.advance(13)
    app.body = b'{"price":2}'

    assert (await get(cache)).body == b'{"price":2}'


async def test_while_fetching_fails_the_last_good_answer_is_served_and_says_so(
    cache: HttpCache, app: Application, clock: ManualClock
) -> None:
    fresh = await get(cache)
    await clock.advance(13)
    app.status, app.body = 503, b'{"request_id":"x"}'

    stale = await get(cache)

    assert stale.status == 200
    assert header(stale, b"x-cache") == b"STALE"
    assert stale.body == b'{"price":1,"freshness":"stale"}'
    assert header(stale, b"etag") != header(fresh, b"etag")


@pytest.mark.parametrize(
    ("freshness", "told"), [("live", "stale"), ("delayed", "stale"), ("closed", "closed"), ("simulated", "simulated")]
)
async def test_what_says_its_freshness_in_a_header_is_marked_there(
    app: Application, clock: ManualClock, freshness: str, told: str
) -> None:
    cache = HttpCache(app, lambda path: (path, frozenset()), max_bytes=100_000, max_flights=8, clock=clock)
    app.body, app.freshness = b"[]", freshness.encode()
    assert header(await get(cache), b"x-freshness") == freshness.encode()
    await clock.advance(13)
    app.status, app.body = 503, b'{"request_id":"x"}'

    stale = await get(cache)

    assert header(stale, b"x-freshness") == told.encode()
    assert header(stale, b"x-missing-symbols") == b"A"
    assert stale.body == b"[]"


async def test_a_failing_service_is_asked_once_a_second_and_readers_do_not_wait(
    cache: HttpCache, app: Application, clock: ManualClock
) -> None:
    await get(cache)
    await clock.advance(13)
    app.status, app.body = 503, b'{"request_id":"x"}'
    await get(cache)
    app.gate = asyncio.Event()

    for _ in range(5):
        assert header(await get(cache), b"x-cache") == b"STALE"
    assert app.flights == 2
    await clock.advance(1)
    await get(cache)
    await asyncio.sleep(0)
    assert app.flights == 3


async def test_a_recovered_service_ends_the_marking(cache: HttpCache, app: Application, clock: ManualClock) -> None:
    await get(cache)
    await clock.advance(13)
    app.status, app.body = 503, b'{"request_id":"x"}'
    await get(cache)
    app.status, app.body = 200, BODY
    await clock.advance(1)
    await get(cache)
    await asyncio.sleep(0.01)

    recovered = await get(cache)

    assert header(recovered, b"x-cache") == b"HIT"
    assert recovered.body == BODY


async def test_stale_is_not_served_for_ever(cache: HttpCache, app: Application, clock: ManualClock) -> None:
    await get(cache)
    await clock.advance(63)
    app.status, app.body = 503, b'{"request_id":"x"}'

    assert (await get(cache)).status == 503


async def test_an_error_names_each_readers_own_request(cache: HttpCache, app: Application) -> None:
    app.status, app.body = 503, b'{"error":"e","message":"m","code":"c","request_id":"of-the-flight"}'
    one, two = incoming(x_request_id=b"one"), incoming(x_request_id=b"two")

    answers = await asyncio.gather(get(cache, one), get(cache, two))

    assert [json.loads(answer.body)["request_id"] for answer in answers] == ["one", "two"]
    assert app.flights == 1
    assert all(header(answer, b"cache-control") == b"no-store" for answer in answers)


async def test_what_the_service_does_not_allow_is_not_kept(cache: HttpCache, app: Application) -> None:
    app.policy = None
    await get(cache)
    await get(cache)

    assert app.flights == 2
    assert len(cache) == 0


@pytest.mark.parametrize("text", ["no-store", "private, max-age=5", "max-age=0", "", "no-cache, max-age=5", "public"])
def test_a_policy_that_allows_nothing_is_none(text: str) -> None:
    assert parse_policy(text) is None


async def test_a_bug_in_flight_is_an_error_for_the_reader_alone(
    cache: HttpCache, app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    app.status, app.body, app.error = 500, b'{"request_id":"x"}', RuntimeError("bug")

    assert (await get(cache)).status == 500
    assert "flight failed" in caplog.text


@pytest.mark.parametrize("begun", [[], [b'{"price":1'], [b'{"price":1', b"}"]])
async def test_a_flight_that_takes_too_long_is_504_whatever_it_has_sent(
    cache: HttpCache, app: Application, monkeypatch: pytest.MonkeyPatch, begun: list[bytes]
) -> None:
    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            policy_note.get().policy = parse_policy(POLICY)  # type: ignore[union-attr]  # a flight has one
            await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in begun:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await asyncio.Event().wait()

    monkeypatch.setattr("gateway.http_cache.FLIGHT_TIMEOUT_SECONDS", 0.01)
    cache._app = hanging

    answers = await asyncio.gather(get(cache, incoming(x_request_id=b"one")), get(cache, incoming(x_request_id=b"two")))

    assert [json.loads(answer.body)["request_id"] for answer in answers] == ["one", "two"]
    assert {(answer.status, json.loads(answer.body)["code"]) for answer in answers} == {(504, "UPSTREAM_TIMEOUT")}
    assert len(cache) == 0


async def test_what_is_kept_is_served_stale_when_the_next_flight_takes_too_long(
    cache: HttpCache, app: Application, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await get(cache)
    monkeypatch.setattr("gateway.http_cache.FLIGHT_TIMEOUT_SECONDS", 0.01)
    app.gate = asyncio.Event()
    await clock.advance(15)

    answer = await get(cache)

    assert (answer.status, header(answer, b"x-cache")) == (200, b"STALE")


async def test_a_client_that_has_the_answer_gets_304(cache: HttpCache) -> None:
    etag = header(await get(cache), b"etag")
    assert etag is not None

    answer = await get(cache, incoming(if_none_match=b'"other", W/' + etag))

    assert answer.status == 304
    assert answer.body == b""
    assert header(answer, b"etag") == etag
    assert header(answer, b"content-length") is None
    assert header(answer, b"cache-control") == POLICY.encode()


def test_a_star_matches_every_tag() -> None:
    assert matches_etag({b"if-none-match": b"*"}, b'"a"')
    assert not matches_etag({b"if-none-match": b'"b"'}, b'"a"')
    assert not matches_etag({}, b'"a"')


async def test_a_large_answer_is_compressed_when_asked_for(cache: HttpCache, app: Application) -> None:
    app.body = b'{"text":"' + b"x" * 5000 + b'"}'
    plain = await get(cache)

    packed = await get(cache, incoming(accept_encoding=b"br, gzip;q=0.8"))

    assert header(packed, b"content-encoding") == b"gzip"
    assert gzip.decompress(packed.body) == plain.body == app.body
    assert header(packed, b"content-length") == str(len(packed.body)).encode()
    assert header(packed, b"etag") != header(plain, b"etag")
    assert header(plain, b"vary") == b"accept-encoding"


async def test_a_very_large_answer_is_compressed_off_the_loop(cache: HttpCache, app: Application) -> None:
    app.body = b'{"text":"' + b"x" * 40_000 + b'"}'
    big = HttpCache(app, lambda path: (path, frozenset()), max_bytes=1_000_000, max_flights=8, clock=cache._clock)
    app.body = b'{"text":"' + b"x" * 200_000 + b'"}'
    key = big.key_of(PATH, b"")
    assert key is not None

    packed = await big.fetch(key, incoming(accept_encoding=b"gzip"))

    assert gzip.decompress(packed.body) == app.body


@pytest.mark.parametrize("accepted", [b"identity", b"gzip;q=0", b"br, gzip; q=0.0"])
async def test_who_refuses_gzip_gets_none(cache: HttpCache, app: Application, accepted: bytes) -> None:
    app.body = b"x" * 5000

    assert header(await get(cache, incoming(accept_encoding=accepted)), b"content-encoding") is None


async def test_small_answers_are_not_compressed(cache: HttpCache) -> None:
    assert header(await get(cache, incoming(accept_encoding=b"gzip")), b"content-encoding") is None


async def test_only_what_the_route_reads_makes_another_answer(cache: HttpCache, app: Application) -> None:
    await get(cache, incoming(query=b"symbols=A,B"))
    await get(cache, incoming(query=b"&symbols=A%2CB"))
    await get(cache, incoming(path=PATH + "/", query=b"symbols=A,B"))
    assert app.flights == 1

    await get(cache, incoming(query=b"symbols=B"))
    assert app.flights == 2


async def test_other_paths_and_absurd_queries_are_not_kept(cache: HttpCache) -> None:
    assert cache.key_of("/other", b"") is None
    assert cache.key_of(PATH, b"symbols=A&utm=1") is cache.key_of(PATH, b"utm") is None
    assert cache.key_of(PATH, b"&".join(b"a=1" for _ in range(200))) is None


async def test_a_path_cannot_pass_for_a_path_with_a_query(cache: HttpCache, app: Application) -> None:
    await get(cache, incoming(query=b"symbols=A"))
    app.status = 400
    app.body = b"{}"

    # What `%3F` and `%253F` in an address come to, decoded.
    forged = [await get(cache, incoming(path=f"{PATH}{mark}symbols=A")) for mark in ("?", "%3F")]

    assert [each.status for each in forged] == [400, 400]
    assert (await get(cache, incoming(query=b"symbols=A"))).status == 200


async def test_a_flight_carries_nobodys_credentials(cache: HttpCache, app: Application) -> None:
    await get(cache, incoming(authorization=b"Bearer x", cookie=b"a=b", accept_encoding=b"gzip", accept=b"*/*"))

    assert app.requests[0]["headers"] == [(b"accept", b"*/*")]


async def test_the_least_recently_used_goes_first(cache: HttpCache, app: Application) -> None:
    app.body = b"x" * 20_000
    for symbol in (b"A", b"B"):
        await get(cache, incoming(query=b"symbols=" + symbol))
    await get(cache, incoming(query=b"symbols=A"))
    await get(cache, incoming(query=b"symbols=C"))

    assert cache.size_bytes <= 100_000
    assert cache.answer(incoming(query=b"symbols=A")) is not None
    assert cache.answer(incoming(query=b"symbols=B")) is None


async def test_long_keys_and_headers_take_their_room_too(cache: HttpCache, app: Application) -> None:
    app.freshness = b"x" * 5_000
    for number in range(100):
        await get(cache, incoming(query=b"symbols=%d" % number + b"," * 2_000))

    assert len(cache) < 10
    assert cache.size_bytes <= 100_000


async def test_an_answer_larger_than_the_cache_is_given_and_not_kept(cache: HttpCache, app: Application) -> None:
    app.body = b"x" * 60_000

    assert len((await get(cache)).body) == 60_000
    assert len(cache) == 0
    assert cache.size_bytes == 0


async def test_aliases_are_bounded(cache: HttpCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http_cache.MAX_ALIASES", 3)
    for number in range(10):
        assert cache.key_of(PATH, b"symbols=%d" % number) is not None

    assert 0 < len(cache._aliases) <= 3


async def test_closing_gives_up_what_is_in_flight(cache: HttpCache, app: Application) -> None:
    app.gate = asyncio.Event()
    waiting = asyncio.create_task(get(cache))
    await asyncio.sleep(0)

    await cache.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_warmth_is_told_by_path(cache: HttpCache, clock: ManualClock) -> None:
    assert not cache.is_warm(PATH)
    await get(cache)
    assert cache.is_warm(PATH)
    await clock.advance(5)
    assert not cache.is_warm(PATH)


def test_a_header_that_breaks_out_of_its_line_is_refused() -> None:
    policy = parse_policy(POLICY)
    assert policy is not None

    with pytest.raises(UnsafeHeader):
        make_entry(b"", [(b"x-missing-symbols", b"A\r\nSet-Cookie: b=c")], policy, 0.0)
