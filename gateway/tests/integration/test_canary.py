"""No credential comes back: not in an answer, not in a log line, not in the description of the API."""

import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from chassis.errors import Code, ServiceError

SYNC, ICICI_SYNC, ACTIVATE = "/api/portfolio/sync", "/api/portfolio/icici-sync", "/icici/activate"
PATHS = [SYNC, ICICI_SYNC, ACTIVATE, "/zerodha/activate"]
NAMES = ["api_key", "api_secret", "request_token", "api_session", "checksum", "secret"]
PIECE = 8
Body = Callable[[str], bytes]


class TokenRefused(ServiceError):
    """A broker's refusal."""

    code = Code.UNAUTHENTICATED
    reason = "BROKER_TOKEN_INVALID"


def as_json(shape: Callable[[str], Any]) -> Body:
    return lambda canary: json.dumps(shape(canary)).encode()


def good(path: str, canary: str) -> dict[str, Any]:
    names = {
        SYNC: ["api_key", "api_secret", "request_token"],
        ICICI_SYNC: ["api_key", "api_secret", "api_session"],
        ACTIVATE: ["api_session", "secret", "api_key", "api_secret"],
    }
    return dict.fromkeys(names.get(path, ["api_key", "api_secret", "request_token", "secret"]), canary)


BODIES: dict[str, Body] = {
    "everywhere": as_json(lambda canary: dict.fromkeys(NAMES, canary)),
    "alone": as_json(lambda canary: {"api_key": canary}),
    "name": as_json(lambda canary: {canary: "x"}),
    "name beside good ones": as_json(
        lambda canary: {"api_key": "k", "api_secret": "s", "request_token": "t", "api_session": "a", canary: "x"}
    ),
    "name beside a checksum": as_json(
        lambda canary: {"api_key": "k", "checksum": "0" * 64, "request_token": "t", canary: canary}
    ),
    "nested": as_json(lambda canary: {name: {canary: {canary: [canary]}} for name in NAMES}),
    "in a list": as_json(lambda canary: {name: [canary, {canary: canary}] for name in NAMES}),
    "deep": as_json(lambda canary: {"api_key": json.loads("[" * 20 + json.dumps(canary) + "]" * 20)}),
    "not ASCII": as_json(lambda canary: dict.fromkeys(NAMES, f"{canary}é")),
    "control character": as_json(lambda canary: {"api_key": f"{canary}\x07", canary: 1}),
    "surrogate": lambda canary: b'{"api_key": "' + canary.encode() + b'\\ud800"}',
    "too long": as_json(lambda canary: dict.fromkeys(NAMES, canary * 20)),
    "number": lambda canary: b'{"api_key": ' + str(int(canary, 16)).encode() + b', "x": "' + canary.encode() + b'"}',
    "twice": lambda canary: b'{"api_key": "%b", "api_key": "%b"}' % (canary.encode(), canary.encode()),
    "name twice": lambda canary: b'{"%b": 1, "%b": 2}' % (canary.encode(), canary.encode()),
    "broken off": lambda canary: b'{"api_key": "' + canary.encode(),
    "no JSON": lambda canary: canary.encode(),
    "constant": lambda canary: b'{"api_key": NaN, "x": "%b"}' % canary.encode(),
    "text": lambda canary: json.dumps(canary).encode(),
    "list": lambda canary: json.dumps([canary]).encode(),
    "not UTF-8": lambda canary: b'{"api_key": "' + canary.encode() + b'\xff"}',
    "larger than any": lambda canary: canary.encode() * 40_000,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_for_all(make_world: Any) -> AsyncIterator[Any]:
    """One gateway for all wrong bodies, none of which gets further."""
    async with make_world() as world:
        await world.open()
        await world.until_ready()
        yield world


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All records of all loggers, as they are before any redaction."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def pieces_of(canary: str) -> list[str]:
    return [canary[start : start + PIECE] for start in range(len(canary) - PIECE + 1)]


def assert_unseen(canary: str, response: Any, log: pytest.LogCaptureFixture) -> None:
    shown = f"{response.text} {dict(response.headers)} {log.text}"
    records = " ".join(str(vars(record)) for record in log.records if record.name.split(".")[0] not in CLIENTS)
    for piece in [*pieces_of(canary), str(int(canary, 16))[:PIECE]]:
        assert piece not in shown
        assert piece not in records


# What the test's own side of the connection says.
CLIENTS = {"httpx", "httpcore"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_whatever_is_wrong_with_a_body_nothing_of_it_is_repeated(
    one_for_all: Any, everything_logged: pytest.LogCaptureFixture, body: Body, content_type: str
) -> None:
    headers = {**one_for_all.sign_in("1"), "Content-Type": content_type}
    for path in PATHS:
        canary = secrets.token_hex(24)

        response = await one_for_all.http.post(path, content=body(canary), headers=headers)

        assert response.status_code in {400, 413, 415}
        assert one_for_all.error_of(response)["message"]
        assert_unseen(canary, response, everything_logged)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("query", ["{}", "{}=x", "api_key={}", "x={0}&{0}"])
async def test_nothing_of_a_query_is_repeated(
    one_for_all: Any, everything_logged: pytest.LogCaptureFixture, query: str
) -> None:
    # The test's own client logs the address.
    everything_logged.set_level(logging.WARNING, "httpx")
    for path in PATHS:
        canary = secrets.token_hex(24)

        response = await one_for_all.http.post(
            f"{path}?{query.format(canary)}", json={}, headers=one_for_all.sign_in("1")
        )

        assert response.status_code == 400
        assert_unseen(canary, response, everything_logged)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("failure", ["none", "refusal", "bug", "away"])
async def test_neither_success_nor_failure_shows_a_credential(
    running: Any, everything_logged: pytest.LogCaptureFixture, path: str, failure: str
) -> None:
    canary = secrets.token_hex(24)
    if failure == "refusal":
        running.brokers.failure = TokenRefused("refused")
    if failure == "bug":
        running.brokers.failure = RuntimeError("a bug in brokers")
    if failure == "away":
        await running.stop_service("brokers")

    response = await running.http.post(path, json=good(path, canary), headers=running.sign_in("1", adm=True))

    assert response.status_code == {"none": 200, "refusal": 401, "bug": 500, "away": 503}[failure]
    assert_unseen(canary, response, everything_logged)


async def test_a_bug_of_the_gateway_shows_no_credential(
    running: Any, everything_logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr("gateway.models.credentials.Credentials.revealed", broken)
    canary = secrets.token_hex(24)

    response = await running.http.post(SYNC, json=good(SYNC, canary), headers=running.sign_in("1"))

    assert response.status_code == 500
    assert "planted" in everything_logged.text
    assert_unseen(canary, response, everything_logged)


async def test_a_leak_would_be_seen(running: Any, everything_logged: pytest.LogCaptureFixture) -> None:
    canary = secrets.token_hex(24)
    running.brokers.failure = None
    response = await running.http.post(SYNC, json=good(SYNC, canary), headers=running.sign_in("1"))
    logging.getLogger("gateway").debug("planted", extra={"planted": canary[3:20]})

    with pytest.raises(AssertionError):
        assert_unseen(canary, response, everything_logged)


async def test_the_description_has_no_example_of_a_credential(running: Any) -> None:
    schemas = (await running.http.get("/openapi.json")).json()["components"]["schemas"]

    for body in ("ZerodhaBySecret", "ZerodhaByChecksum", "IciciCredentials", "ZerodhaActivation", "IciciActivation"):
        for name, schema in schemas[body]["properties"].items():
            text = schema if "type" in schema else schema["anyOf"][0]
            assert text["writeOnly"] is True, name
            assert not {"example", "examples", "default", "const"} & (schema.keys() | text.keys())
