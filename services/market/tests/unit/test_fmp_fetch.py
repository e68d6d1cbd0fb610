"""What an answer of Financial Modeling Prep means, by its status and its words."""

import httpx
import pytest
from pydantic import SecretStr

from market.domain.capabilities import NothingKnown
from market.domain.source_failures import SourceRefused
from market.providers.fmp.fetch import (
    AWAY,
    NOT_SOLD,
    REFUSES_KEY,
    THROTTLED,
    UNREADABLE,
    FmpApi,
    KeyUnusable,
    read_rows,
)

PAGE = b"<html><body>Your subscription: invalid api key, limit reach</body></html>"


def test_rows_are_the_objects_of_a_list() -> None:
    assert read_rows(200, b'[{"symbol": "AAPL"}, null, 5, ["x"], {}]') == [{"symbol": "AAPL"}, {}]
    assert read_rows(200, b"[]") == []


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, b'{"Error Message": "Invalid API KEY."}', REFUSES_KEY),
        (403, b'{"Error Message": "Forbidden"}', REFUSES_KEY),
        (403, b'{"Error Message": "Legacy Endpoint : gone"}', NOT_SOLD),
        (403, b'{"Error Message": "Exclusive Endpoint : not available"}', NOT_SOLD),
        (402, b"Premium Query Parameter: 'Special Endpoint : This value set for 'limit' is", NOT_SOLD),
        (402, b"", NOT_SOLD),
        (429, b'{"Error Message": "Limit Reach . Please upgrade"}', THROTTLED),
        (429, PAGE, THROTTLED),
        (200, b'{"Error Message": "Limit Reach . Please upgrade"}', THROTTLED),
        (200, b'{"Error Message": "Invalid API KEY."}', REFUSES_KEY),
        (200, b'{"Error Message": "Something new"}', UNREADABLE),
        (200, b'{"Error Message": ["limit reach"]}', UNREADABLE),
        (200, b'{"historical": []}', UNREADABLE),
        (200, PAGE, UNREADABLE),
        (200, b'[{"description": "sells subscriptions to premium', UNREADABLE),
        (200, b"", UNREADABLE),
        (200, b"[" * 100_000, UNREADABLE),
        (200, b"\xff\xfe", UNREADABLE),
        (200, b"5", UNREADABLE),
        (302, b"", UNREADABLE),
        (404, b"[]", UNREADABLE),
        (500, b"[]", AWAY),
        (503, PAGE, AWAY),
    ],
)
def test_everything_else_is_a_refusal(status: int, body: bytes, problem: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        read_rows(status, body)
    assert refused.value.problem == problem


def test_a_plan_without_one_symbol_knows_nothing_of_it() -> None:
    with pytest.raises(NothingKnown):
        read_rows(402, b"Premium Query Parameter: 'Special Endpoint : This value set for 'symbol' is not available")


def test_a_rate_limit_leaves_the_whole_source_alone_for_a_minute() -> None:
    with pytest.raises(SourceRefused) as refused:
        read_rows(429, b"")
    refusal = refused.value
    assert (refusal.opens_at_once, refusal.is_of_capability, refusal.retry_after_seconds) == (True, False, 60.0)


def test_a_plan_without_a_call_leaves_that_capability_alone_for_an_hour() -> None:
    with pytest.raises(SourceRefused) as refused:
        read_rows(402, b"Restricted Endpoint: not available under your current subscription")
    refusal = refused.value
    assert (refusal.opens_at_once, refusal.is_of_capability, refusal.retry_after_seconds) == (True, True, 3_600.0)


def test_a_plan_without_one_value_may_answer_with_another() -> None:
    with pytest.raises(SourceRefused) as refused:
        read_rows(402, b"Premium Query Parameter: 'Special Endpoint : This value set for 'limit' is not available")
    assert (refused.value.opens_at_once, refused.value.is_of_capability) == (False, True)


def test_a_refused_key_is_of_the_whole_source() -> None:
    with pytest.raises(SourceRefused) as refused:
        read_rows(401, b"")
    assert not refused.value.is_of_capability


class NoBudget:
    async def take(self, calls: int = 1) -> None:
        raise AssertionError


@pytest.mark.parametrize("key", ["", " ", "loopback key", "loopback-key\n", "loopback-k\u00e9y"])
async def test_a_key_that_cannot_be_sent_is_not_shown(key: str) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        with pytest.raises(KeyUnusable) as refused:
            FmpApi(client, key=SecretStr(key), budget=NoBudget())
    assert "loopback" not in str(refused.value)
