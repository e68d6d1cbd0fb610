"""What holds of every operation: headers, envelope, methods, paths, compression, caching, limits."""

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from contract.documents import (
    FORGOT_PASSWORD,
    LIVE_PRICES,
    LOG_IN,
    LOG_OUT,
    PROFILE,
    REFRESH,
    REGISTER,
    SEND_VERIFICATION,
    SET_ALERT,
    SNAPSHOT,
    SYNC_ZERODHA,
    Operation,
    read_error,
)
from contract.documents import OPERATIONS as OTHER_OPERATIONS
from contract.market_documents import MARKET_OPERATIONS
from harness.clients import PASSWORD, Account, gateway_client, new_email, register
from harness.processes import START_SECONDS, Process, RunningSuite
from suite.ports import HOST, choose_ports, is_port_free

OPERATIONS = (*OTHER_OPERATIONS, *MARKET_OPERATIONS)
ENDING = [operation for operation in OPERATIONS if not operation.is_endless]
CACHED = [SNAPSHOT, LIVE_PRICES, *MARKET_OPERATIONS]
DESCRIBED = json.loads((Path(__file__).parent / "openapi.json").read_text())["paths"]
FOR_BROWSERS = {"/api/email/unsubscribe": {"GET"}}
MIN_COMPRESSED_BYTES = 1024
KEPT_SECONDS_TRIES = 10
KEPT_WITHIN_SECONDS, PAUSE_SECONDS = 10.0, 0.02


async def send(
    client: httpx.AsyncClient, operation: Operation, account: Account, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Send an operation's request and read its answer's head; its body too, unless it never ends."""
    # Logging out would end the session that the next request needs.
    credentials = {} if operation.path.startswith(LOG_OUT.path) else account.bearer
    request = client.build_request(
        operation.method, operation.path, json=operation.body, headers={**credentials, **(headers or {})}
    )
    answer = await client.send(request, stream=True)
    if not operation.is_endless:
        await answer.aread()
    await answer.aclose()
    return answer


# --- every answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_every_answer_says_how_the_caller_stands_against_the_limit(
    client: httpx.AsyncClient, account: Account, operation: Operation
) -> None:
    answer = await send(client, operation, account)

    assert answer.status_code == operation.status
    limit, remaining, reset = (int(answer.headers[f"RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
    assert 0 <= remaining < limit
    assert 0 < reset <= 61


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_every_answer_carries_the_callers_request_id_or_a_fresh_one(
    client: httpx.AsyncClient, account: Account, operation: Operation
) -> None:
    own = await send(client, operation, account, {"X-Request-ID": "contract-42"})
    first = await send(client, operation, account)
    second = await send(client, operation, account)

    assert own.headers["X-Request-ID"] == "contract-42"
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_every_answer_is_safe_to_show_in_a_browser(
    client: httpx.AsyncClient, account: Account, operation: Operation
) -> None:
    answer = await send(client, operation, account)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Server" not in answer.headers


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each not in CACHED], ids=str)
async def test_only_public_data_is_kept_by_anybody(
    client: httpx.AsyncClient, account: Account, operation: Operation
) -> None:
    assert (await send(client, operation, account)).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("operation", ENDING, ids=str)
async def test_a_trailing_slash_is_tolerated(client: httpx.AsyncClient, account: Account, operation: Operation) -> None:
    path, mark, query = operation.path.partition("?")

    answer = await send(client, replace(operation, path=f"{path}/{mark}{query}"), account)

    assert answer.status_code == operation.status


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.is_protected], ids=str)
async def test_a_protected_operation_without_a_token_is_401_before_anything_else(
    client: httpx.AsyncClient, operation: Operation
) -> None:
    read_error(await client.request(operation.method, operation.path, json=operation.body), 401, "AUTH_REQUIRED")
    read_error(await client.request(operation.method, operation.path), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_a_method_that_is_not_there_is_405_and_names_those_that_are(
    client: httpx.AsyncClient, account: Account, operation: Operation
) -> None:
    there = methods_at(operation.path.partition("?")[0])

    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"} - there:
        answer = await client.request(method, operation.path, headers=account.bearer)

        read_error(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == there


def methods_at(path: str) -> set[str]:
    """Return the methods that the agreed description has for a path, and what is there for browsers beside it."""
    for template, described in DESCRIBED.items():
        if re.fullmatch(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template)), path):
            return {method.upper() for method in described} | FOR_BROWSERS.get(template, set())
    raise AssertionError(path)


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/api/nope",
        "/api/alerts",
        "/api/auth",
        "/api/auth/user",
        "/api/auth/user/1/2",
        "//api/health",
        "/%2e%2e",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_path_is_404_with_the_envelope(client: httpx.AsyncClient, method: str, path: str) -> None:
    read_error(await client.request(method, path), 404)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.method == "GET"], ids=str)
async def test_head_answers_as_get_does_without_the_body(
    client: httpx.AsyncClient, account: Account, operation: Operation
) -> None:
    by_get = await send(client, operation, account)
    by_head = await client.head(operation.path, headers=account.bearer)

    assert by_head.status_code == by_get.status_code
    assert by_head.content == b""
    assert by_head.headers["Content-Type"] == by_get.headers["Content-Type"]


# --- compression --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ENDING, ids=str)
async def test_answers_over_a_kilobyte_are_compressed_when_asked(
    client: httpx.AsyncClient, account: Account, operation: Operation
) -> None:
    plain = await send(client, operation, account, {"Accept-Encoding": "identity"})
    asked = await send(client, operation, account, {"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert ("Content-Encoding" in asked.headers) == (len(asked.content) >= MIN_COMPRESSED_BYTES)
    assert shape_of(asked) == shape_of(plain)


async def test_a_large_answer_is_a_fraction_of_itself_compressed(client: httpx.AsyncClient) -> None:
    plain = await client.get(SNAPSHOT.path, headers={"Accept-Encoding": "identity"})
    asked = await client.get(SNAPSHOT.path, headers={"Accept-Encoding": "gzip"})

    assert len(plain.content) > MIN_COMPRESSED_BYTES
    assert int(asked.headers["Content-Length"]) < len(plain.content) / 2
    assert "accept-encoding" in asked.headers["Vary"].lower()
    assert asked.headers["ETag"] != plain.headers["ETag"]


async def test_a_fresh_session_is_compressed_too(client: httpx.AsyncClient) -> None:
    body = {"email": new_email(), "password": PASSWORD}
    answer = await client.post("/api/auth/register", json=body, headers={"Accept-Encoding": "gzip"})

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json()["success"] is True


def shape_of(answer: httpx.Response) -> object:
    """Return what stays as prices move: an object's keys, or how many there are of an array."""
    body = answer.json()
    return len(body) if isinstance(body, list) else body.keys()


# --- caching ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", CACHED, ids=str)
async def test_public_data_says_how_long_it_may_be_kept(client: httpx.AsyncClient, operation: Operation) -> None:
    answer = await client.get(operation.path)

    directives = answer.headers["Cache-Control"].split(", ")
    assert directives[0] == "public"
    assert directives[1].startswith("max-age=")
    assert int(answer.headers["Age"]) >= 0
    assert answer.headers["X-Cache"] in {"HIT", "MISS", "STALE"}
    assert answer.headers["ETag"].startswith('"')


@pytest.mark.parametrize("operation", CACHED, ids=str)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_who_has_an_answer_already_is_told_304(
    client: httpx.AsyncClient, operation: Operation, encoding: str
) -> None:
    # The prices move: between two requests the answer may have become another, but not every time.
    for _ in range(KEPT_SECONDS_TRIES):
        answer = await client.get(operation.path, headers={"Accept-Encoding": encoding})
        known = f'"other", W/{answer.headers["ETag"]}'
        again = await client.get(operation.path, headers={"Accept-Encoding": encoding, "If-None-Match": known})
        if again.status_code == 304:
            break

    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["ETag"] == answer.headers["ETag"]
    assert again.headers["Cache-Control"] == answer.headers["Cache-Control"]


@pytest.mark.parametrize("operation", CACHED, ids=str)
async def test_who_has_another_answer_is_told_this_one(client: httpx.AsyncClient, operation: Operation) -> None:
    answer = await client.get(operation.path, headers={"If-None-Match": '"another"'})

    assert answer.status_code == 200


@pytest.mark.parametrize("operation", CACHED, ids=str)
async def test_an_answer_is_kept_and_says_so(client: httpx.AsyncClient, operation: Operation) -> None:
    states: list[str] = []
    deadline = time.monotonic() + KEPT_WITHIN_SECONDS
    # While it is made anew the old answer is served, however often one asks.
    while "HIT" not in states:
        assert time.monotonic() < deadline, states
        states.append((await client.get(operation.path)).headers["X-Cache"])
        await asyncio.sleep(PAUSE_SECONDS)


async def test_a_kept_answer_is_the_same_with_and_without_a_token(client: httpx.AsyncClient, account: Account) -> None:
    for _ in range(KEPT_SECONDS_TRIES):
        anonymous = await client.get(SNAPSHOT.path)
        signed_in = await client.get(SNAPSHOT.path, headers=account.bearer)
        if anonymous.headers["ETag"] == signed_in.headers["ETag"]:
            break

    assert anonymous.content == signed_in.content
    assert "Set-Cookie" not in signed_in.headers


async def test_errors_of_public_data_are_not_kept(client: httpx.AsyncClient) -> None:
    for path in ("/api/portfolio/live-prices", "/api/portfolio/live-prices?symbols=NSE:NOSUCH"):
        assert (await client.get(path)).headers["Cache-Control"] == "no-store"


# --- limits -------------------------------------------------------------------------------------------------------

LIMIT = 3
LIMITED = {
    "REGISTER": REGISTER,
    "LOGIN": LOG_IN,
    "REFRESH": REFRESH,
    "WRITE": SET_ALERT,
    "READ": PROFILE,
    "CACHED": SNAPSHOT,
    "SYNC": SYNC_ZERODHA,
    "RECOVERY": FORGOT_PASSWORD,
    "MAIL": SEND_VERIFICATION,
}


@pytest.fixture(scope="module")
def strict_gateway(suite: RunningSuite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one more gateway on the same services, which limits hard."""
    folder = tmp_path_factory.mktemp("strict")
    (port,) = choose_ports(folder, 1, is_free=is_port_free)
    planned = suite.processes["gateway"].plan
    limits = {f"GATEWAY_LIMIT_{name}": f"{LIMIT}/minute" for name in LIMITED}
    # Operators ask the first one at its address.
    inherited = {name: value for name, value in planned.environment.items() if name != "METRICS_ADDRESS"}
    environment = {**inherited, **limits, "GATEWAY_PORT": str(port)}
    gateway = Process(replace(planned, environment=environment, address=f"{HOST}:{port}"), folder / "gateway.log")
    gateway.start()
    try:
        _wait_until_ready(gateway)
        yield f"http://{gateway.plan.address}"
    finally:
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0


def _wait_until_ready(gateway: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert gateway.is_running, gateway.log.read_text()
        assert time.monotonic() < deadline, gateway.log.read_text()
        with suppress(httpx.TransportError):
            if httpx.get(f"http://{gateway.plan.address}/readyz", trust_env=False, verify=False).status_code == 200:
                return
        time.sleep(0.05)


@pytest.mark.parametrize("name", LIMITED)
async def test_over_a_limit_it_is_429_with_a_time_to_try_again(
    strict_gateway: str, account: Account, name: str
) -> None:
    async with gateway_client(strict_gateway) as client:
        # A window may end in between; then the next one ends before twice as many and one more are through.
        answers = [await send(client, LIMITED[name], account) for _ in range(2 * LIMIT + 1)]

    refused = next(answer for answer in answers if answer.status_code == 429)
    read_error(refused, 429)
    assert int(refused.headers["RateLimit-Limit"]) == LIMIT
    assert int(refused.headers["RateLimit-Remaining"]) == 0
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    allowed = [answer for answer in answers if answer.status_code == LIMITED[name].status]
    assert LIMIT <= len(allowed) <= 2 * LIMIT


async def test_one_users_limit_is_nobody_elses(strict_gateway: str, client: httpx.AsyncClient) -> None:
    greedy, modest = await register(client), await register(client)
    async with gateway_client(strict_gateway) as strict_client:
        statuses = [(await send(strict_client, PROFILE, greedy)).status_code for _ in range(2 * LIMIT + 1)]

        assert 429 in statuses
        assert (await send(strict_client, PROFILE, modest)).status_code == 200
