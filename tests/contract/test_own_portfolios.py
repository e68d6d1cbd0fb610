"""Portfolios entered by hand as I and the contract have them."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from contract.documents import OWN_DATA_ONLY, read, read_error, strictly_parsed
from contract.people_documents import (
    NEW_PORTFOLIO,
    ONE_STOCK,
    THREE_STOCKS,
    Portfolio,
    PortfolioDeleted,
    StocksProcessed,
    Told,
)
from harness.clients import Account, register


async def create(client: httpx.AsyncClient, account: Account) -> int:
    answer = await client.post("/api/portfolios/me", json=NEW_PORTFOLIO, headers=account.bearer)
    return read(Portfolio, answer)["id"]


async def put(client: httpx.AsyncClient, account: Account, portfolio_id: int, body: Any) -> httpx.Response:
    return await client.post(f"/api/portfolios/me/{portfolio_id}/stock", json=body, headers=account.bearer)


async def portfolios_of(client: httpx.AsyncClient, account: Account) -> list[Portfolio]:
    answer = await client.get(f"/api/portfolios/{account.user_id}", headers=account.bearer)
    assert answer.status_code == 200
    return TypeAdapter(list[Portfolio]).validate_python(strictly_parsed(answer.text), strict=True)


async def stocks_of(client: httpx.AsyncClient, account: Account) -> list[tuple[str, float, float]]:
    [portfolio] = await portfolios_of(client, account)
    return [(stock["symbol"], stock["quantity"], stock["total_cost"]) for stock in portfolio["stocks"]]


async def test_the_list_is_a_bare_array(client: httpx.AsyncClient, account: Account) -> None:
    assert await portfolios_of(client, account) == []


async def test_a_new_portfolio_is_bare_empty_and_listed(client: httpx.AsyncClient, account: Account) -> None:
    answer = await client.post(f"/api/portfolios/{account.user_id}", json=NEW_PORTFOLIO, headers=account.bearer)

    portfolio = read(Portfolio, answer)
    assert (portfolio["name"], portfolio["stocks"]) == ("Tech Portfolio", [])
    assert [each["id"] for each in await portfolios_of(client, account)] == [portfolio["id"]]


async def test_a_portfolio_gets_another_name(client: httpx.AsyncClient, account: Account) -> None:
    portfolio_id = await create(client, account)
    await put(client, account, portfolio_id, ONE_STOCK)

    answer = await client.put(
        f"/api/portfolios/{account.user_id}/{portfolio_id}",
        json={"name": "Updated Portfolio Name"},
        headers=account.bearer,
    )

    portfolio = read(Portfolio, answer)
    assert (portfolio["id"], portfolio["name"]) == (portfolio_id, "Updated Portfolio Name")
    assert [stock["symbol"] for stock in portfolio["stocks"]] == ["AAPL"]


async def test_one_stock_is_added(client: httpx.AsyncClient, account: Account) -> None:
    portfolio_id = await create(client, account)

    processed = read(StocksProcessed, await put(client, account, portfolio_id, ONE_STOCK))

    assert processed["message"] == "Successfully processed 1 stock(s)"
    assert await stocks_of(client, account) == [("AAPL", 10, 1500)]


async def test_many_stocks_are_added_at_once(client: httpx.AsyncClient, account: Account) -> None:
    portfolio_id = await create(client, account)

    processed = read(StocksProcessed, await put(client, account, portfolio_id, THREE_STOCKS))

    assert processed["message"] == "Successfully processed 3 stock(s)"
    assert await stocks_of(client, account) == [("AAPL", 10, 1500), ("MSFT", 5, 1200), ("GOOGL", 2, 800)]


async def test_a_stock_that_is_there_is_replaced(client: httpx.AsyncClient, account: Account) -> None:
    portfolio_id = await create(client, account)
    await put(client, account, portfolio_id, THREE_STOCKS)

    await put(client, account, portfolio_id, {"symbol": "msft", "quantity": 0.5, "total_cost": 0})

    assert await stocks_of(client, account) == [("AAPL", 10, 1500), ("MSFT", 0.5, 0), ("GOOGL", 2, 800)]


@pytest.mark.parametrize("written", ["0.1", "1.10", "123456789.12345678", "0.00000001", "3"])
async def test_numbers_come_back_as_they_were_meant(client: httpx.AsyncClient, account: Account, written: str) -> None:
    portfolio_id = await create(client, account)
    body = f'{{"symbol": "AAPL", "quantity": {written}, "total_cost": {written}}}'

    answer = await client.post(
        f"/api/portfolios/me/{portfolio_id}/stock",
        content=body,
        headers={**account.bearer, "Content-Type": "application/json"},
    )

    read(StocksProcessed, answer)
    shown = answer.text.partition('"quantity":')[2].partition(",")[0].strip(" }]")
    assert Decimal(shown) == Decimal(written)


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"total_cost": -0.01},
        {"quantity": "10"},
        {"quantity": True},
        {"quantity": None},
        {"quantity": 1e300},
        {"total_cost": "1500"},
        {"symbol": ""},
        {"symbol": "NOSUCH"},
        {"symbol": 5},
    ],
)
async def test_a_bad_row_of_many_is_named_and_nothing_changes(
    client: httpx.AsyncClient, account: Account, changed: dict[str, Any]
) -> None:
    portfolio_id = await create(client, account)
    await put(client, account, portfolio_id, ONE_STOCK)
    rows = [{"symbol": "GOOGL", "quantity": 1, "total_cost": 1}, {**ONE_STOCK, "symbol": "MSFT", **changed}]

    answer = await put(client, account, portfolio_id, {"stocks": rows})

    message = read_error(answer, 400)["message"]
    assert any(name in message for name in ("1", "2", "NOSUCH")), message
    assert await stocks_of(client, account) == [("AAPL", 10, 1500)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stocks": []},
        {"stocks": [ONE_STOCK, {**ONE_STOCK, "symbol": "aapl"}]},
        {"stocks": [ONE_STOCK], **ONE_STOCK},
        {"symbol": "AAPL"},
        {"stocks": "AAPL"},
        {"stocks": [5]},
        {"stocks": [{**ONE_STOCK, "price": 5}]},
    ],
)
async def test_what_is_no_stock_is_refused(client: httpx.AsyncClient, account: Account, body: Any) -> None:
    portfolio_id = await create(client, account)

    read_error(await put(client, account, portfolio_id, body), 400)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400"])
async def test_numbers_that_are_none_are_refused(client: httpx.AsyncClient, account: Account, literal: str) -> None:
    portfolio_id = await create(client, account)

    answer = await client.post(
        f"/api/portfolios/me/{portfolio_id}/stock",
        content=f'{{"symbol": "AAPL", "quantity": {literal}, "total_cost": 1}}',
        headers={**account.bearer, "Content-Type": "application/json"},
    )

    read_error(answer, 400)


async def test_a_removed_stock_is_gone(client: httpx.AsyncClient, account: Account) -> None:
    portfolio_id = await create(client, account)
    await put(client, account, portfolio_id, THREE_STOCKS)
    path = f"/api/portfolios/{account.user_id}/{portfolio_id}/stock/AAPL"

    told = read(Told, await client.delete(path, headers=account.bearer))

    assert told == {"message": "Stock AAPL removed from portfolio"}
    assert [symbol for symbol, *_ in await stocks_of(client, account)] == ["MSFT", "GOOGL"]
    read_error(await client.delete(path, headers=account.bearer), 404)


async def test_a_deleted_portfolio_is_gone(client: httpx.AsyncClient, account: Account) -> None:
    portfolio_id = await create(client, account)
    path = f"/api/portfolios/{account.user_id}/{portfolio_id}"

    read(PortfolioDeleted, await client.delete(path, headers=account.bearer))

    assert await portfolios_of(client, account) == []
    answers = [
        await client.delete(path, headers=account.bearer),
        await client.put(path, json={"name": "x"}, headers=account.bearer),
        await put(client, account, portfolio_id, ONE_STOCK),
    ]
    assert {read_error(answer, 404)["message"] for answer in answers} == {"Portfolio not found"}


async def test_anothers_portfolio_is_out_of_reach(client: httpx.AsyncClient, account: Account) -> None:
    portfolio_id = await create(client, account)
    other = await register(client)

    theirs = await client.put(
        f"/api/portfolios/{account.user_id}/{portfolio_id}", json={"name": "mine"}, headers=other.bearer
    )
    as_own = await put(client, other, portfolio_id, ONE_STOCK)

    assert read_error(theirs, 403)["message"] == OWN_DATA_ONLY
    assert read_error(as_own, 404)["message"] == "Portfolio not found"
