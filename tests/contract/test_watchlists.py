"""Watchlists as I and the contract have them."""

from typing import Any

import httpx
import pytest

from contract.documents import OWN_DATA_ONLY, read, read_error
from contract.people_documents import (
    NEW_WATCHLIST,
    TICKERS,
    WatchlistAnswer,
    WatchlistDeleted,
    Watchlists,
)
from harness.clients import Account, register


async def create(client: httpx.AsyncClient, account: Account, name: str = "New Watchlist") -> int:
    answer = await client.post("/api/watchlists/me", json={"name": name}, headers=account.bearer)
    return read(WatchlistAnswer, answer)["watchlist"]["id"]


def path_of(watchlist_id: int) -> str:
    return f"/api/watchlist/me/{watchlist_id}"


async def symbols_of(client: httpx.AsyncClient, account: Account, watchlist_id: int) -> list[str]:
    answer = await client.get(path_of(watchlist_id), headers=account.bearer)
    return [ticker["symbol"] for ticker in read(WatchlistAnswer, answer)["watchlist"]["tickers"]]


async def replace(client: httpx.AsyncClient, account: Account, watchlist_id: int, tickers: list[Any]) -> httpx.Response:
    return await client.post(path_of(watchlist_id), json={"tickers": tickers}, headers=account.bearer)


async def test_without_watchlists_the_list_is_there(client: httpx.AsyncClient, account: Account) -> None:
    answer = await client.get(f"/api/watchlists/{account.user_id}", headers=account.bearer)

    assert read(Watchlists, answer)["watchlists"] == []


async def test_a_new_watchlist_is_empty_and_listed(client: httpx.AsyncClient, account: Account) -> None:
    answer = await client.post(f"/api/watchlists/{account.user_id}", json=NEW_WATCHLIST, headers=account.bearer)

    watchlist = read(WatchlistAnswer, answer)["watchlist"]
    listed = read(Watchlists, await client.get("/api/watchlists/me", headers=account.bearer))
    assert (watchlist["name"], watchlist["tickers"]) == ("New Watchlist", [])
    assert listed["watchlists"] == [{"id": watchlist["id"], "name": "New Watchlist"}]


async def test_tickers_are_answered_with_current_prices(client: httpx.AsyncClient, account: Account) -> None:
    watchlist_id = await create(client, account)

    answer = await client.post(f"/api/watchlist/{account.user_id}/{watchlist_id}", json=TICKERS, headers=account.bearer)

    tickers = read(WatchlistAnswer, answer)["watchlist"]["tickers"]
    assert [ticker["symbol"] for ticker in tickers] == TICKERS["tickers"]
    assert all(ticker["price"] is not None and ticker["freshness"] == "simulated" for ticker in tickers)
    assert all(ticker["name"] for ticker in tickers)
    assert await symbols_of(client, account, watchlist_id) == TICKERS["tickers"]


async def test_tickers_replace_the_list_in_their_order_folded_and_upper_case(
    client: httpx.AsyncClient, account: Account
) -> None:
    watchlist_id = await create(client, account)
    await replace(client, account, watchlist_id, ["AAPL", "MSFT"])

    answer = await replace(client, account, watchlist_id, ["nse:tcs", "GOOGL", "msft", "GOOGL"])

    read(WatchlistAnswer, answer)
    assert await symbols_of(client, account, watchlist_id) == ["NSE:TCS", "GOOGL", "MSFT"]


async def test_an_empty_list_is_a_list(client: httpx.AsyncClient, account: Account) -> None:
    watchlist_id = await create(client, account)
    await replace(client, account, watchlist_id, ["AAPL"])

    read(WatchlistAnswer, await replace(client, account, watchlist_id, []))

    assert await symbols_of(client, account, watchlist_id) == []


async def test_unknown_symbols_are_named_and_nothing_changes(client: httpx.AsyncClient, account: Account) -> None:
    watchlist_id = await create(client, account)
    await replace(client, account, watchlist_id, ["AAPL"])

    answer = await replace(client, account, watchlist_id, ["MSFT", "NOSUCH1", "NOSUCH2"])

    message = read_error(answer, 400)["message"]
    assert "NOSUCH1" in message
    assert "NOSUCH2" in message
    assert await symbols_of(client, account, watchlist_id) == ["AAPL"]


@pytest.mark.parametrize("tickers", [["AAPL", 5], "AAPL", None, [None], [""], ["A" * 400], ["AAPL"] * 10_000 + ["?"]])
async def test_what_is_no_list_of_symbols_is_refused(client: httpx.AsyncClient, account: Account, tickers: Any) -> None:
    watchlist_id = await create(client, account)

    read_error(await replace(client, account, watchlist_id, tickers), 400)


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 101}, {"name": 5}, {"name": "x", "more": 1}])
async def test_a_watchlist_needs_a_name(client: httpx.AsyncClient, account: Account, body: dict[str, Any]) -> None:
    read_error(await client.post("/api/watchlists/me", json=body, headers=account.bearer), 400)


async def test_a_deleted_watchlist_is_gone(client: httpx.AsyncClient, account: Account) -> None:
    kept, watchlist_id = await create(client, account, "kept"), await create(client, account)

    read(WatchlistDeleted, await client.delete(path_of(watchlist_id), headers=account.bearer))

    listed = read(Watchlists, await client.get("/api/watchlists/me", headers=account.bearer))
    assert [each["id"] for each in listed["watchlists"]] == [kept]
    for method in ("GET", "DELETE"):
        answer = await client.request(method, path_of(watchlist_id), headers=account.bearer)
        assert read_error(answer, 404)["message"] == "Watchlist not found"


@pytest.mark.parametrize("unknown", ["0", "-1", "1.5", "abc", "99999999999999999999999", "9223372036854775807"])
async def test_what_is_no_watchlist_is_not_found(client: httpx.AsyncClient, account: Account, unknown: str) -> None:
    answer = await client.get(f"/api/watchlist/me/{unknown}", headers=account.bearer)

    assert read_error(answer, 404)["message"] == "Watchlist not found"


async def test_anothers_watchlist_is_out_of_reach(client: httpx.AsyncClient, account: Account) -> None:
    watchlist_id = await create(client, account)
    other = await register(client)

    theirs = await client.get(f"/api/watchlist/{account.user_id}/{watchlist_id}", headers=other.bearer)
    as_own = await client.get(path_of(watchlist_id), headers=other.bearer)

    assert read_error(theirs, 403)["message"] == OWN_DATA_ONLY
    read_error(as_own, 404)


async def test_answers_are_private(client: httpx.AsyncClient, account: Account) -> None:
    answer = await client.get("/api/watchlists/me", headers=account.bearer)

    assert "no-store" in answer.headers["Cache-Control"]
