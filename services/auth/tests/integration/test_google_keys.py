"""Google's keys over loopback HTTP: kept, rotated, and missed when Google is away."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from auth.domain.google_login import GoogleUnavailable
from auth.providers.google.fetch import KeyAddress, KeyDocument, KeysNotFetched
from auth.providers.google.keys import GoogleKeys
from auth.providers.google.parse import kept_seconds_of, keys_of
from chassis.clock import ManualClock
from upstreams import google_faults
from upstreams.faults import Fault
from upstreams.forged_tokens import base64url
from upstreams.google import RunningGoogle, google_server, rsa_key

CALL_SECONDS = 0.3
HOUR_SECONDS = 3_600.0
DAY_SECONDS = 24 * HOUR_SECONDS
SHORT_MODULUS = base64url((2**1023 + 1155).to_bytes(128, "big"))


@pytest.fixture
def google() -> Iterator[RunningGoogle]:
    with google_server() as running:
        yield running


@pytest.fixture
async def keys(google: RunningGoogle, clock: ManualClock) -> AsyncIterator[GoogleKeys]:
    address = KeyAddress(google.jwks_url, call_seconds=CALL_SECONDS)
    async with GoogleKeys.open(address.fetch, clock=clock) as opened:
        yield opened


def fetches(google: RunningGoogle) -> int:
    return google.journal.count("/certs")


async def test_nothing_is_fetched_before_it_is_needed_and_once_when_it_is(
    google: RunningGoogle, keys: GoogleKeys
) -> None:
    assert fetches(google) == 0
    (key_id,) = google.upstream.key_ids
    found = await asyncio.gather(*(keys.find(key_id) for _ in range(10)))
    assert {key.public_numbers() for key in found if key} == {
        google.upstream.private_key().public_key().public_numbers()
    }
    assert fetches(google) == 1


async def test_keys_are_kept_as_long_as_google_says(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock
) -> None:
    google.upstream.cache_control = "public, max-age=1000"
    (key_id,) = google.upstream.key_ids
    assert await keys.find(key_id)
    await clock.advance(999)
    assert await keys.find(key_id)
    assert fetches(google) == 1
    await clock.advance(1)
    assert await keys.find(key_id)
    assert fetches(google) == 2


async def test_a_rotated_key_is_fetched_when_it_is_first_met(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock
) -> None:
    (old,) = google.upstream.key_ids
    await keys.find(old)
    await clock.advance(60)
    new = google.upstream.rotate()
    assert await keys.find(new)
    assert await keys.find(old)
    assert fetches(google) == 2


async def test_made_up_key_ids_fetch_at_most_once_a_minute(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock
) -> None:
    await keys.find(google.upstream.key_ids[0])
    for number in range(50):
        assert await keys.find(f"made-up-{number}") is None
    assert fetches(google) == 1
    for number in range(120):
        await clock.advance(1)
        assert await keys.find(f"made-up-{number}") is None
    assert fetches(google) == 3


async def test_a_withdrawn_key_ends_with_the_next_reading(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock
) -> None:
    (old,) = google.upstream.key_ids
    assert await keys.find(old)
    google.upstream.rotate()
    google.upstream.withdraw(old)
    assert await keys.find(old)
    await clock.advance(HOUR_SECONDS)
    assert await keys.find(old) is None


async def test_the_last_good_keys_serve_for_a_day_while_google_is_away(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock
) -> None:
    (key_id,) = google.upstream.key_ids
    await keys.find(key_id)
    google.server.stop()
    await clock.advance(HOUR_SECONDS)
    assert await keys.find(key_id)
    await clock.advance(DAY_SECONDS - 1)
    assert await keys.find(key_id)
    await clock.advance(1)
    with pytest.raises(GoogleUnavailable):
        await keys.find(key_id)
    google.server.start()
    await clock.advance(10)
    assert await keys.find(key_id)


async def test_an_unknown_key_is_not_called_wrong_while_google_is_away(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock
) -> None:
    (known,) = google.upstream.key_ids
    await keys.find(known)
    await clock.advance(60)
    google.faults.next("/certs", Fault.server_error())
    new = google.upstream.rotate()
    with pytest.raises(GoogleUnavailable):
        await keys.find(new)
    assert await keys.find(known)
    await clock.advance(60)
    assert await keys.find(new)


async def test_google_away_from_the_start_is_asked_every_ten_seconds(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock
) -> None:
    google.faults.always("/certs", Fault.server_error())
    for _ in range(20):
        with pytest.raises(GoogleUnavailable) as refused:
            await keys.find(google.upstream.key_ids[0])
    assert refused.value.retry_after_seconds == 10
    assert fetches(google) == 1
    await clock.advance(10)
    google.faults.clear()
    assert await keys.find(google.upstream.key_ids[0])


@pytest.mark.parametrize(
    "fault",
    [
        Fault.hang(),
        Fault.reset(),
        Fault.half_open(),
        Fault.drop(),
        Fault.empty(),
        Fault.html(),
        Fault.server_error(),
        Fault.truncated(),
        Fault.answer(404, b"{}"),
        Fault.answer(206, b'{"keys": []}'),
        Fault.answer(200, b"[]"),
        Fault.answer(200, b"{}"),
        Fault.answer(200, b'{"keys": null}'),
        Fault.answer(200, b'{"keys": {"a": 1}}'),
        Fault.answer(200, b"[" * 50_000),
        google_faults.keys(),
        google_faults.keys({"kty": "RSA", "kid": "a"}),
        google_faults.too_long(70_000),
        google_faults.dripping(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_whatever_google_answers_the_wait_is_short_and_the_old_keys_serve(
    google: RunningGoogle, keys: GoogleKeys, clock: ManualClock, *, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    (key_id,) = google.upstream.key_ids
    await keys.find(key_id)
    google.faults.next("/certs", fault)
    await clock.advance(HOUR_SECONDS)
    started = time.monotonic()
    assert await keys.find(key_id)
    assert time.monotonic() - started < 3
    assert fetches(google) == 2
    assert "google keys not read" in caplog.text
    await clock.advance(10)
    assert await keys.find(key_id)
    assert fetches(google) == 3


async def test_no_redirect_chooses_the_keys(google: RunningGoogle, keys: GoogleKeys) -> None:
    with google_server() as strangers:
        google.faults.next("/certs", google_faults.redirect(strangers.jwks_url))
        with pytest.raises(GoogleUnavailable):
            await keys.find(google.upstream.key_ids[0])
        assert fetches(strangers) == 0


async def test_who_cannot_prove_to_be_google_is_not_asked(google: RunningGoogle) -> None:
    address = KeyAddress(google.jwks_url.replace("http:", "https:"), call_seconds=CALL_SECONDS)
    with pytest.raises(KeysNotFetched):
        await asyncio.to_thread(address.fetch)
    assert fetches(google) == 0


async def test_who_leaves_does_not_take_the_reading_along(google: RunningGoogle, keys: GoogleKeys) -> None:
    gate = threading.Event()
    google.faults.next("/certs", Fault.held(gate))
    (key_id,) = google.upstream.key_ids
    leaving, staying = (asyncio.create_task(keys.find(key_id)) for _ in range(2))
    await asyncio.to_thread(google.journal.wait_for, "/certs")
    leaving.cancel()
    gate.set()
    assert await staying
    assert leaving.cancelled()
    assert fetches(google) == 1


async def test_closing_waits_for_no_fetch(google: RunningGoogle, clock: ManualClock) -> None:
    google.faults.next("/certs", Fault.hang())
    started = time.monotonic()
    async with GoogleKeys.open(KeyAddress(google.jwks_url, call_seconds=10).fetch, clock=clock) as opened:
        waiting = asyncio.create_task(opened.find("key"))
        await asyncio.to_thread(google.journal.wait_for, "/certs")
    assert time.monotonic() - started < 3
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_fetch_that_blocks_beyond_its_bound_is_not_waited_for(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth.providers.google.keys.WAIT_SECONDS", 0.1)
    gate = threading.Event()

    def block() -> KeyDocument:
        gate.wait(5)
        raise KeysNotFetched("it blocked")

    async with GoogleKeys.open(block, clock=clock) as keys:
        started = time.monotonic()
        with pytest.raises(GoogleUnavailable):
            await keys.find("key")
        assert time.monotonic() - started < 2
        gate.set()


def document(*keys: Mapping[str, Any], cache_control: str = "", age: str = "") -> KeyDocument:
    return KeyDocument(json.dumps({"keys": keys}).encode(), cache_control, age)


def jwk(**changes: Any) -> dict[str, Any]:
    public = RSAAlgorithm.to_jwk(rsa_key(1).public_key(), as_dict=True)
    said = {"kty": "RSA", "n": public["n"], "e": public["e"], "kid": "a", "use": "sig", "alg": "RS256", **changes}
    return {name: value for name, value in said.items() if value is not ...}


@pytest.mark.parametrize("changes", [{}, {"use": ...}, {"alg": ...}, {"x5t": "extra"}])
def test_a_key_for_signatures_is_taken(changes: dict[str, Any]) -> None:
    assert set(keys_of(document(jwk(**changes)))) == {"a"}


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC"},
        {"kty": ...},
        {"kid": ...},
        {"kid": ""},
        {"kid": 7},
        {"kid": "k" * 256},
        {"use": "enc"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"n": ...},
        {"n": 7},
        {"n": "AQAB"},
        {"n": SHORT_MODULUS},
        {"n": "!"},
        {"e": "AA"},
        {"e": ...},
    ],
)
def test_other_keys_are_left_out(changes: dict[str, Any]) -> None:
    assert set(keys_of(document(jwk(**changes), jwk(kid="good")))) == {"good"}
    with pytest.raises(KeysNotFetched):
        keys_of(document(jwk(**changes)))


def test_two_keys_of_one_id_are_none() -> None:
    with pytest.raises(KeysNotFetched):
        keys_of(document(jwk(), jwk()))


def test_only_so_many_keys_are_read() -> None:
    assert len(keys_of(document(*(jwk(kid=f"key-{number}") for number in range(100))))) == 32


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("public, max-age=19000, must-revalidate", "", 19_000),
        ("max-age=19000", "9000", 10_000),
        ("max-age=19000", "-9000", 19_000),
        ("max-age=19000", "soon", 19_000),
        ('MAX-AGE="19000"', "", 19_000),
        ("s-maxage=5,max-age=400", "", 400),
        ("max-age=0", "", 300),
        ("max-age=1", "", 300),
        ("max-age=400", "399", 300),
        ("max-age=999999999", "", DAY_SECONDS),
        ("max-age=9999999999999999", "", HOUR_SECONDS),
        ("max-age=-1", "", HOUR_SECONDS),
        ("max-age=soon", "", HOUR_SECONDS),
        ("no-cache", "", HOUR_SECONDS),
        ("", "", HOUR_SECONDS),
    ],
)
def test_how_long_keys_are_kept_is_bounded(cache_control: str, age: str, seconds: float) -> None:
    assert kept_seconds_of(document(cache_control=cache_control, age=age)) == seconds
