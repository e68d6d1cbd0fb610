"""Whatever arrives, the answer is 4xx with the envelope, and nothing is lost."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.app import create_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER = "/api/auth/register"
GOOD = {"email": "user@example.com", "password": "correct horse"}
JSON_TYPE = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_for_all(make_world: Any) -> AsyncIterator[Any]:
    """One gateway for the whole file: what it refuses must leave no trace."""
    async with make_world() as world:
        await world.open()
        await world.until_ready()
        yield world


@pytest.fixture
def running(one_for_all: Any) -> Any:
    one_for_all.auth.users.clear()
    one_for_all.alerts.alerts.clear()
    return one_for_all


async def refused(world: Any, response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    message: str = world.error_of(response)["message"]
    assert message
    return message


async def test_an_unknown_path_is_404(running: Any) -> None:
    for path in ("/nope", "/ap", "/api/alerts", "/api/auth/user/a/b", "/%2e%2e/etc/passwd"):
        await refused(running, await running.http.get(path), 404)


async def test_a_wrong_method_names_the_right_ones(running: Any) -> None:
    response = await running.http.put("/api/alerts/42")

    await refused(running, response, 405)
    assert response.headers["allow"] == "DELETE, GET, HEAD, POST"
    assert (await running.http.post("/api/index/snapshot")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "changes",
    [
        {"email": None},
        {"email": 5},
        {"email": "a" * 255},
        {"email": {"a": 1}},
        {"password": None},
        {"password": "short"},
        {"password": "x" * 1025},
        {"password": ["a"]},
        {"name": ""},
        {"name": "x" * 101},
        {"name": 1},
        {"colour": "red"},
    ],
)
async def test_a_wrong_field_is_named(running: Any, changes: dict[str, Any]) -> None:
    body = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}

    message = await refused(running, await running.http.post(REGISTER, json=body), 400)

    assert next(iter(changes)) in message
    assert running.auth.users == {}


@pytest.mark.parametrize(
    "alert",
    [
        {"type": "hold"},
        {"type": 1},
        {"symbol": ""},
        {"symbol": "A" * 60},
        {"symbol": "<b>"},
        {"symbol": 5},
        {"price": 0},
        {"price": -1},
        {"price": "150"},
        {"price": True},
        {"price": 10**13},
        {"price": 1e-9},
        {"price": None},
        {"price": [1]},
    ],
)
async def test_a_wrong_alert_is_refused(running: Any, alert: dict[str, Any]) -> None:
    body = {"type": "buy", "symbol": "AAPL", "price": 1.5, **alert}

    response = await running.http.post("/api/alerts/me", headers=running.sign_in(), json=body)

    assert next(iter(alert)) in await refused(running, response, 400)
    assert running.alerts.alerts == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"\xff\xfe",
        b'{"email": "a@b.example", "password": NaN}',
        b'{"email": "a@b.example", "email": "a@b.example", "password": "correct horse"}',
        b'{"email": "a@b.example\\u0000", "password": "correct horse"}',
        b'{"email": "\\ud800@b.example", "password": "correct horse"}',
        b'{"email": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"email": ' + b"9" * 5_000 + b"}",
    ],
)
async def test_hostile_json_is_400(running: Any, body: bytes) -> None:
    await refused(running, await running.http.post(REGISTER, content=body, headers=JSON_TYPE), 400)


async def test_ten_megabytes_are_413_declared_or_not(running: Any) -> None:
    async def chunks() -> Any:
        for _ in range(160):
            yield b"x" * 65536

    declared = await running.http.post(REGISTER, content=b"x" * 10_000_000, headers=JSON_TYPE)
    undeclared = await running.http.post(REGISTER, content=chunks(), headers=JSON_TYPE)

    await refused(running, declared, 413)
    await refused(running, undeclared, 413)


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/x+jsonp",
        "application/a/b+json",
        "application/+json",
        "application/jsonp",
        "",
    ],
)
async def test_a_body_that_is_not_json_is_415(running: Any, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}

    response = await running.http.post(REGISTER, content=json.dumps(GOOD).encode(), headers=headers)

    await refused(running, response, 415)


@pytest.mark.parametrize(
    "media_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/ld+json", "application/vnd.a.b+json ; v=1"],
)
async def test_json_by_any_of_its_names_is_taken(running: Any, media_type: str) -> None:
    response = await running.http.post(
        REGISTER, content=json.dumps(GOOD).encode(), headers={"Content-Type": media_type}
    )

    assert response.status_code == 201


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "x"])
async def test_a_body_with_an_encoding_is_415(running: Any, encoding: str) -> None:
    headers = {**JSON_TYPE, "Content-Encoding": encoding}

    response = await running.http.post(REGISTER, content=gzip.compress(json.dumps(GOOD).encode()), headers=headers)

    assert await refused(running, response, 415) == "Send the body without Content-Encoding"
    assert response.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_a_body_that_says_it_is_plain_is_taken(running: Any, encoding: str) -> None:
    response = await running.http.post(REGISTER, json=GOOD, headers={"Content-Encoding": encoding})

    assert response.status_code == 201


# --- queries ------------------------------------------------------------------------------------------------------

DOCUMENT = json.loads(create_api().state.openapi_text)
# What takes any names: pages and probes, and what mail programs call.
TAKES_ANY = {"GET /", "GET /livez", "GET /readyz", "POST /api/email/unsubscribe"}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, described in DOCUMENT["paths"].items()
        for method, operation in described.items()
    ]


async def test_no_operation_takes_a_name_that_it_does_not_document(running: Any) -> None:
    walked = set()
    for method, path, operation in operations():
        names = sorted(each["name"] for each in operation.get("parameters", []) if each["in"] == "query")
        address = re.sub(r"\{[^}]*\}", "1", path.replace("{user_id}", "me"))

        response = await running.http.request(method, f"{address}?nonesuch=1", headers=running.sign_in())

        if f"{method} {path}" in TAKES_ANY:
            assert "Unknown parameter" not in response.text, path
            continue
        possible = f"known: {', '.join(names)}" if names else "none is known here"
        assert await refused(running, response, 400) == f"Unknown parameter: nonesuch ({possible})", path
        walked.add(f"{method} {path}")
    assert len(walked) == len(operations()) - len(TAKES_ANY)
    assert running.auth.users == running.alerts.alerts == {}


async def test_each_operation_that_refuses_unknown_names_documents_it() -> None:
    silent = {f"{method} {path}" for method, path, operation in operations() if "400" not in operation["responses"]}
    assert silent <= TAKES_ANY


async def test_who_asks_comes_before_what_is_asked(running: Any) -> None:
    running.http.cookies.clear()
    for method, path, operation in operations():
        address = f"{re.sub(r'{[^}]*}', '43', path)}?nonesuch=1"
        if {} not in operation.get("security", [{}]):
            await refused(running, await running.http.request(method, address), 401)
            if "{user_id}" in path:
                await refused(running, await running.http.request(method, address, headers=running.sign_in()), 403)


async def test_an_unknown_path_and_method_stay_what_they_are(running: Any) -> None:
    await refused(running, await running.http.get("/api/nope?nonesuch=1"), 404)
    await refused(running, await running.http.put("/api/alerts/42?nonesuch=1"), 405)


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/account", "/livez", "/readyz"])
async def test_pages_and_probes_take_any_names(running: Any, path: str) -> None:
    assert (await running.http.get(f"{path}?_=1&utm_source=a&utm_source=b")).status_code == 200


@pytest.mark.parametrize("name", ["x" * 25, "a%20b", "%00", "%3Cb%3E", "%F0%9F%92%A5", "", "%7F"])
async def test_what_can_be_no_name_is_refused_and_not_repeated(running: Any, name: str) -> None:
    response = await running.http.get(f"/api/index/snapshot?{name}=1")

    assert await refused(running, response, 400) == "Unknown parameter (none is known here)"


# --- paths, tokens, bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", ["43", "a" * 256, "a" * 20_000, "%00", "%F0%9F%92%A5"])
async def test_a_path_of_anybody_else_is_403_whatever_else_is_wrong(running: Any, user_id: str) -> None:
    path, headers = f"/api/alerts/{user_id}", {**running.sign_in(), **JSON_TYPE}

    await refused(running, await running.http.get(path, headers=headers), 403)
    await refused(running, await running.http.delete(f"{path}?type=buy&type=sell", headers=headers), 403)
    await refused(running, await running.http.delete(f"{path}?type=none", headers=headers), 403)
    await refused(running, await running.http.post(path, headers=headers, content=b"{"), 403)
    await refused(running, await running.http.post(path, headers={**headers, "Content-Type": "text/plain"}), 403)


async def test_a_hostile_token_is_401(running: Any) -> None:
    for token in ("x", "a.b.c", "x" * 6000, "..", "é"):
        response = await running.http.get("/api/alerts/me", headers={"Authorization": f"Bearer {token}".encode()})

        await refused(running, response, 401)


async def exchange(world: Any, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    writer.write(request)
    await writer.drain()
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"not http at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad\x00Name: y\r\n\r\n", 400),
        (b"GET /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 80_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(12_000)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000, 431),
    ],
)
async def test_what_is_not_a_request_gets_the_envelope_too(running: Any, request_bytes: bytes, status: int) -> None:
    answer = await exchange(running, request_bytes)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert set(json.loads(body)) == {"error", "message", "code", "request_id"}
    assert b"connection: close" in head


async def test_a_length_behind_thousands_of_zeros_is_that_length(running: Any) -> None:
    path = b"/api/email/unsubscribe?token=none&list=alerts"
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %b2\r\n\r\n" % (path, b"0" * 5_000)

    answer = await exchange(running, head + b"xx")

    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_head_that_never_ends_is_hung_up_on(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.protocol.HEAD_TIMEOUT_SECONDS", 0.1)

    assert await exchange(running, b"GET / HTTP/1.1\r\nHost: x\r\nX: y") == b""
    assert await exchange(running, b"") == b""


async def test_injected_headers_do_not_come_back(running: Any) -> None:
    response = await running.http.get("/api/portfolio/live-prices?symbols=A%0d%0aSet-Cookie:%20x=y")

    await refused(running, response, 400)
    assert "set-cookie" not in response.headers


async def test_pipelined_requests_are_answered_in_order(running: Any) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: one\r\n\r\n"
    two = b"GET /api/index/snapshot HTTP/1.1\r\nHost: x\r\nX-Request-ID: two\r\nConnection: close\r\n\r\n"

    answer = await exchange(running, one + two)

    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"x-request-id: one") < answer.index(b"x-request-id: two")
