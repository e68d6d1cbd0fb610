"""Watchlists: every operation over a real server and real gRPC."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bourse.portfolio.v1 import watchlists_pb2 as pb
from chassis.errors import Code

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTS, LIST = "/api/watchlists/42", "/api/watchlist/42/1"
OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", LISTS, None),
    ("POST", LISTS, {"name": "New Watchlist"}),
    ("GET", LIST, None),
    ("POST", LIST, {"tickers": ["AAPL"]}),
    ("DELETE", LIST, None),
]
UNSAFE = [operation for operation in OPERATIONS if operation[0] != "GET"]
OF_ONE = [operation for operation in OPERATIONS if operation[1] == LIST]
NO_IDS = ["0", "-1", "+1", "01", "1.0", "1e0", "1_0", "abc", "٣", "%201", "99999999999999999999", "9223372036854775808"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_for_all(make_world: Any) -> AsyncIterator[Any]:
    async with make_world() as world:
        await world.open()
        await world.until_ready()
        yield world


@pytest.fixture
def running(one_for_all: Any) -> Any:
    one_for_all.http.cookies.clear()
    one_for_all.auth.users.clear()
    one_for_all.portfolio.failure = None
    one_for_all.portfolio.calls.clear()
    one_for_all.portfolio.watching.watchlists.clear()
    return one_for_all


def watch(world: Any, user_id: str = "42", *, watchlist_id: int = 1, name: str = "Tech Stocks") -> pb.Watchlist:
    watchlist = pb.Watchlist(id=watchlist_id, name=name)
    world.portfolio.watching.watchlists.setdefault(user_id, []).append(watchlist)
    return watchlist


def symbols(response: Any) -> list[str]:
    return [ticker["symbol"] for ticker in response.json()["watchlist"]["tickers"]]


# --- the documents' examples --------------------------------------------------------------------------------------


async def test_the_documented_list_is_answered_exactly(running: Any) -> None:
    watch(running)
    watch(running, watchlist_id=2, name="Dividend Stocks")

    response = await running.http.get(LISTS, headers=running.sign_in("42"))

    expected = b'{"success":true,"watchlists":[{"id":1,"name":"Tech Stocks"},{"id":2,"name":"Dividend Stocks"}]}'
    assert response.content == expected
    assert response.headers["cache-control"] == "no-store"


async def test_a_new_watchlist_is_empty(running: Any) -> None:
    response = await running.http.post(LISTS, json={"name": "New Watchlist"}, headers=running.sign_in("42"))

    (made,) = running.portfolio.watching.watchlists["42"]
    assert response.status_code == 200
    assert response.json() == {
        "success": True,
        "watchlist": {"id": made.id, "name": "New Watchlist", "tickers": []},
    }


async def test_the_documented_watchlist_is_answered_exactly(running: Any) -> None:
    watch(running)
    headers = running.sign_in("42")
    await running.http.post(LIST, json={"tickers": ["AAPL", "MSFT"]}, headers=headers)

    response = await running.http.get(LIST, headers=headers)

    told = {"source": "zerodha", "as_of": "2026-04-07T09:00:00Z", "freshness": "live"}
    assert response.json() == {
        "success": True,
        "watchlist": {
            "id": 1,
            "name": "Tech Stocks",
            "tickers": [
                {
                    "symbol": "AAPL",
                    "name": "Apple Inc.",
                    "price": 201.28,
                    "change": 2.15,
                    "changePercent": 1.08,
                    "instrument": "NASDAQ:AAPL",
                    **told,
                },
                {
                    "symbol": "MSFT",
                    "name": "Microsoft Corporation",
                    "price": 415.5,
                    "change": -1.2,
                    "changePercent": -0.29,
                    "instrument": "NASDAQ:MSFT",
                    **told,
                },
            ],
        },
    }
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


async def test_tickers_replace_those_there_are(running: Any) -> None:
    watch(running)
    headers = running.sign_in("42")
    await running.http.post(LIST, json={"tickers": ["NSE:TCS"]}, headers=headers)

    tickers = ["AAPL", "msft", "GOOGL", "TSLA", "aapl"]
    replaced = await running.http.post(LIST, json={"tickers": tickers}, headers=headers)
    emptied = await running.http.post(LIST, json={"tickers": []}, headers=headers)

    assert symbols(replaced) == ["AAPL", "MSFT", "GOOGL", "TSLA"]
    assert symbols(emptied) == []


async def test_a_deleted_watchlist_is_gone(running: Any) -> None:
    watch(running)
    headers = running.sign_in("42")

    first, second = [await running.http.delete(LIST, headers=headers) for _ in range(2)]

    assert first.content == b'{"success":true,"message":"Watchlist deleted successfully"}'
    assert second.status_code == 404
    assert running.error_of(second)["message"] == "Watchlist not found"


# --- prices -------------------------------------------------------------------------------------------------------


async def test_a_ticker_without_a_price_has_none(running: Any) -> None:
    watch(running)

    response = await running.http.post(LIST, json={"tickers": ["NSE:M&M"]}, headers=running.sign_in("42"))

    (row,) = response.json()["watchlist"]["tickers"]
    assert row == {
        "symbol": "NSE:M&M",
        "name": "Mahindra & Mahindra",
        "price": None,
        "change": None,
        "changePercent": None,
        "instrument": "NSE:M&M",
        "source": None,
        "as_of": None,
        "freshness": None,
    }


async def test_changes_have_no_binary_artefacts(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(running)
    price = (201.28, 201.28 - 199.13, (201.28 - 199.13) / 199.13 * 100)
    monkeypatch.setitem(running.portfolio.watching.prices, "NASDAQ:AAPL", price)

    response = await running.http.post(LIST, json={"tickers": ["AAPL"]}, headers=running.sign_in("42"))

    assert '"price":201.28,"change":2.15,"changePercent":1.08,' in response.text


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": None},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 101},
        {"name": 5},
        {"name": ["x"]},
        {"name": "x", "tickers": []},
    ],
)
async def test_a_watchlist_needs_a_name(running: Any, body: dict[str, Any]) -> None:
    response = await running.http.post(LISTS, json=body, headers=running.sign_in("42"))

    assert response.status_code == 400
    message = running.error_of(response)["message"]
    assert "name" in message or "tickers" in message
    assert not running.portfolio.watching.watchlists.get("42")


async def test_a_missing_name_is_told_in_the_documented_words(running: Any) -> None:
    response = await running.http.post(LISTS, json={}, headers=running.sign_in("42"))

    assert running.error_of(response)["message"] == "Missing required field: name"


async def test_unknown_symbols_are_named_and_nothing_changes(running: Any) -> None:
    watch(running)
    headers = running.sign_in("42")
    await running.http.post(LIST, json={"tickers": ["AAPL"]}, headers=headers)

    refused = await running.http.post(LIST, json={"tickers": ["MSFT", "NOSUCH", "no such"]}, headers=headers)

    assert refused.status_code == 400
    assert running.error_of(refused)["code"] == "INVALID_REQUEST"
    assert running.error_of(refused)["message"].startswith("NOSUCH, NO SUCH name no known instrument")
    assert symbols(await running.http.get(LIST, headers=headers)) == ["AAPL"]


@pytest.mark.parametrize(
    "tickers", [None, "AAPL", {"AAPL": 1}, ["AAPL", 5], [None], [True], [""], ["A" * 33], [["AAPL"]], ["AAPL"] * 201]
)
async def test_what_is_no_list_of_symbols_is_400(running: Any, tickers: Any) -> None:
    watch(running)

    response = await running.http.post(LIST, json={"tickers": tickers}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("tickers")
    assert running.portfolio.calls == []


async def test_a_bad_ticker_is_named_by_its_place(running: Any) -> None:
    response = await running.http.post(LIST, json={"tickers": ["AAPL", 5]}, headers=running.sign_in("42"))

    assert running.error_of(response)["message"] == "tickers.1: must be a text"


async def test_two_hundred_tickers_are_taken(running: Any) -> None:
    watch(running)

    response = await running.http.post(LIST, json={"tickers": ["AAPL"] * 200}, headers=running.sign_in("42"))

    assert response.status_code == 200


async def test_one_watchlist_too_many_is_400(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.portfolio.watching, "max_watchlists", 1)
    watch(running)

    response = await running.http.post(LISTS, json={"name": "x"}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["code"] == "INVALID_REQUEST"
    assert running.error_of(response)["message"].startswith("There are 1 watchlists")
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("text", NO_IDS)
@pytest.mark.parametrize(("method", "_", "body"), OF_ONE)
async def test_what_can_be_no_id_is_404(running: Any, method: str, _: str, body: Any, text: str) -> None:
    response = await running.http.request(method, f"/api/watchlist/42/{text}", json=body, headers=running.sign_in("42"))

    assert response.status_code == 404
    assert running.error_of(response)["code"] == "NOT_FOUND"
    assert running.error_of(response)["message"] == "Watchlist not found"
    assert running.portfolio.calls == []


async def test_the_greatest_id_is_asked_for(running: Any) -> None:
    watch(running, watchlist_id=2**63 - 1)

    response = await running.http.get(f"/api/watchlist/me/{2**63 - 1}/", headers=running.sign_in("42"))

    assert response.json()["watchlist"]["id"] == 2**63 - 1


# --- whose they are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_without_a_token_there_is_nothing(running: Any, method: str, path: str, body: Any) -> None:
    response = await running.http.request(method, path, json=body)

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "AUTH_REQUIRED"
    assert running.portfolio.calls == []


@pytest.mark.parametrize(("method", "path", "body"), [*OPERATIONS, ("GET", "/api/watchlist/42/abc", None)])
async def test_under_anothers_id_everything_is_403(running: Any, method: str, path: str, body: Any) -> None:
    watch(running)

    response = await running.http.request(method, path, json=body, headers=running.sign_in("43"))

    assert response.status_code == 403
    assert running.error_of(response)["message"] == "You can only access your own data"
    assert running.portfolio.calls == []


@pytest.mark.parametrize(("method", "_", "body"), OF_ONE)
async def test_anothers_watchlist_is_unknown_under_ones_own_id(running: Any, method: str, _: str, body: Any) -> None:
    watch(running)

    response = await running.http.request(method, "/api/watchlist/me/1", json=body, headers=running.sign_in("43"))

    assert response.status_code == 404
    assert [each.name for each in running.portfolio.watching.watchlists["42"]] == ["Tech Stocks"]


async def test_nobody_lists_anybody_elses(running: Any) -> None:
    watch(running)

    plain = await running.http.get("/api/watchlists/me", headers=running.sign_in("43"))
    saying_whose = await running.http.get("/api/watchlists/me?user_id=42", headers=running.sign_in("43"))

    assert plain.json() == {"success": True, "watchlists": []}
    assert saying_whose.status_code == 400


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
async def test_a_cookie_alone_needs_the_csrf_token(running: Any, method: str, path: str, body: Any) -> None:
    await running.http.post("/api/auth/register", json={"email": "user@example.com", "password": "correct horse"})
    watch(running)

    without, right = await running.by_cookie(method, path, body)

    assert (without.status_code, right.status_code) == (403, 200)
    assert "X-CSRF-Token" in running.error_of(without)["message"]


# --- services that are away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_only_reads_are_tried_again(running: Any, make_refusal: Any, operation: tuple[str, str, Any]) -> None:
    method, path, body = operation
    running.portfolio.failure = make_refusal(Code.UNAVAILABLE, "INSTRUMENTS_UNAVAILABLE", "try again shortly")

    response = await running.http.request(method, path, json=body, headers=running.sign_in("42"))

    assert response.status_code == 503
    assert running.error_of(response)["code"] == "UPSTREAM_UNAVAILABLE"
    assert "retry-after" in response.headers
    assert len(running.portfolio.calls) == (3 if method == "GET" else 1)
