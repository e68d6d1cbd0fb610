"""The attack corpus against the verification of Google's ID tokens: none is accepted, and none is told of."""

import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from auth.domain.google_identities import GoogleIdentity, IdTokenInvalid
from auth.providers.google.fetch import KeyAddress
from auth.providers.google.id_tokens import GoogleIdTokens
from auth.providers.google.keys import GoogleKeys
from chassis.clock import ManualClock
from upstreams.google import SUBJECT, RunningGoogle, google_server
from upstreams.google_attacks import ATTACKS, Attack

HOUR_SECONDS = 3_600


@pytest.fixture(scope="module")
def running() -> Iterator[RunningGoogle]:
    with google_server() as server:
        yield server


@pytest.fixture
def google(running: RunningGoogle) -> RunningGoogle:
    running.journal.clear()
    return running


@pytest.fixture
def clock() -> ManualClock:
    # The library reads the machine's clock; only the keys' age is this one's.
    return ManualClock(datetime.now(UTC))


@pytest.fixture
async def id_tokens(google: RunningGoogle, clock: ManualClock) -> AsyncIterator[GoogleIdTokens]:
    async with GoogleKeys.open(KeyAddress(google.jwks_url).fetch, clock=clock) as keys:
        yield GoogleIdTokens(keys, client_id=google.client_id)


async def verify(id_tokens: GoogleIdTokens, token: str) -> GoogleIdentity:
    return await id_tokens.verify(SecretStr(token))


async def test_a_good_token_names_whom_google_vouches_for(google: RunningGoogle, id_tokens: GoogleIdTokens) -> None:
    identity = await verify(id_tokens, google.upstream.id_token())
    assert identity == GoogleIdentity(SUBJECT, "asha@example.com", "Asha Rao", "https://lh3.example.com/a/asha=s96-c")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "accounts.google.com"},
        {"azp": "another-client.apps.googleusercontent.com"},
        {"name": ..., "picture": ..., "azp": ...},
        {"nonce": "n-1", "hd": "example.com", "at_hash": "h"},
        {"sub": "1" * 255},
        {"iat": 1},
    ],
)
async def test_what_google_may_say_differently_is_taken(
    google: RunningGoogle, id_tokens: GoogleIdTokens, changes: dict[str, Any]
) -> None:
    identity = await verify(id_tokens, google.upstream.id_token(**changes))
    assert identity.subject == changes.get("sub", SUBJECT)


@pytest.mark.parametrize(("seconds", "claim"), [(5, "iat"), (5, "nbf"), (-5, "exp")])
async def test_clocks_may_differ_by_a_few_seconds(
    google: RunningGoogle, id_tokens: GoogleIdTokens, seconds: int, claim: str
) -> None:
    now = google.upstream.claims()["iat"]
    assert await verify(id_tokens, google.upstream.id_token(**{claim: now + seconds}))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_no_attack_is_accepted_or_told_of(
    google: RunningGoogle,
    id_tokens: GoogleIdTokens,
    clock: ManualClock,
    *,
    attack: Attack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    assert await verify(id_tokens, google.upstream.id_token())
    token = attack(google.upstream)
    await clock.advance(HOUR_SECONDS)
    with pytest.raises(IdTokenInvalid) as refused:
        await verify(id_tokens, token)
    assert await verify(id_tokens, google.upstream.id_token())
    told = caplog.text + "".join(traceback.format_exception(refused.value)) + refused.value.cause
    pieces = [piece for piece in token.split(".") if len(piece) > 8]
    assert not [piece for piece in pieces if piece in told]
    assert SUBJECT not in told
    assert "asha" not in told
    assert {request.path for request in google.journal.requests} == {"/oauth2/v3/certs"}
    assert google.journal.count() <= 2


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(ATTACKS) >= 115
