"""Alerts as the documents and the contract have them."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from contract.documents import BUY_ALERT, SELL_ALERT, Alert, Alerts, ReplacedAlert, read, read_error
from harness.clients import Account, register

# No price is ever there, so that an alert stays armed.
NEVER = {"buy": 0.01, "sell": 99_000_000}
ALREADY = {"buy": 99_000_000, "sell": 0.01}


async def set_alert(client: httpx.AsyncClient, account: Account, **alert: Any) -> httpx.Response:
    return await client.post("/api/alerts/me", json={"symbol": "AAPL", **alert}, headers=account.bearer)


async def alerts_of(client: httpx.AsyncClient, account: Account) -> Any:
    """Return a user's alerts, all fields of them."""
    answer = await client.get("/api/alerts/me", headers=account.bearer)
    read(Alerts, answer)
    return answer.json()


async def test_without_alerts_both_lists_are_there(client: httpx.AsyncClient, account: Account) -> None:
    assert await alerts_of(client, account) == {"buy": [], "sell": []}


@pytest.mark.parametrize("wanted", [BUY_ALERT, SELL_ALERT], ids=["buy", "sell"])
async def test_a_new_alert_is_answered_bare_and_listed_under_its_type(
    client: httpx.AsyncClient, account: Account, wanted: dict[str, Any]
) -> None:
    answer = await client.post(f"/api/alerts/{account.user_id}", json=wanted, headers=account.bearer)

    alert = read(Alert, answer)
    listed = await alerts_of(client, account)
    assert (alert["symbol"], alert["price"]) == (wanted["symbol"], wanted["price"])
    other_type = "sell" if wanted["type"] == "buy" else "buy"
    assert [each["created_at"] for each in listed[wanted["type"]]] == [alert["created_at"]]
    assert listed[other_type] == []


async def test_a_write_is_read_at_once(client: httpx.AsyncClient, account: Account) -> None:
    for price in range(1, 6):
        await set_alert(client, account, type="buy", price=price / 1000)

        assert [alert["price"] for alert in (await alerts_of(client, account))["buy"]] == [price / 1000]


async def test_posting_a_pair_again_replaces_its_price_and_keeps_its_birth(
    client: httpx.AsyncClient, account: Account
) -> None:
    first = read(Alert, await set_alert(client, account, type="buy", price=0.01))

    second = read(ReplacedAlert, await set_alert(client, account, type="buy", price=0.02))

    assert second["price"] == 0.02
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["created_at"]
    assert len((await alerts_of(client, account))["buy"]) == 1


async def test_buy_and_sell_of_one_symbol_are_two_alerts(client: httpx.AsyncClient, account: Account) -> None:
    for kind, price in NEVER.items():
        await set_alert(client, account, type=kind, price=price)

    listed = await alerts_of(client, account)
    assert [len(listed["buy"]), len(listed["sell"])] == [1, 1]


async def fired(client: httpx.AsyncClient, account: Account, kind: str) -> Any:
    deadline = time.monotonic() + 10
    while not (alert := (await alerts_of(client, account))[kind][0])["fired_at"]:
        assert time.monotonic() < deadline, alert
        await asyncio.sleep(0.05)
    return alert


@pytest.mark.parametrize("kind", ["buy", "sell"])
async def test_an_alert_that_is_true_fires_once_stays_listed_and_is_armed_again(
    client: httpx.AsyncClient, account: Account, kind: str
) -> None:
    await set_alert(client, account, type=kind, price=ALREADY[kind])

    alert = await fired(client, account, kind)
    again = (await set_alert(client, account, type=kind, price=NEVER[kind])).json()

    assert alert["source"] == "sample"
    assert alert["freshness"] == "simulated"
    assert alert["fired_price"] > 0
    assert again["id"] == alert["id"]
    assert again["fired_at"] is None
    assert again["created_at"] == alert["created_at"]


@pytest.mark.parametrize(
    ("symbol", "instrument"),
    [("AAPL", "NASDAQ:AAPL"), ("NSE:TCS", "NSE:TCS"), ("aapl", "NASDAQ:AAPL"), ("NSE:M&M", "NSE:M&M")],
)
async def test_a_bare_symbol_means_the_us_listing(
    client: httpx.AsyncClient, account: Account, symbol: str, instrument: str
) -> None:
    answer = await set_alert(client, account, type="buy", symbol=symbol, price=0.01)

    assert read(Alert, answer)["symbol"] == symbol.upper()
    assert answer.json()["instrument"] == instrument


@pytest.mark.parametrize("symbol", ["NOSUCH", "TCS", "NSE:NOSUCH", "NOWHERE:TCS"])
async def test_an_unknown_symbol_is_404(client: httpx.AsyncClient, account: Account, symbol: str) -> None:
    read_error(await set_alert(client, account, type="buy", symbol=symbol, price=1), 404)

    assert await alerts_of(client, account) == {"buy": [], "sell": []}


@pytest.mark.parametrize("field", ["type", "symbol", "price"])
async def test_a_missing_field_is_named_in_the_documented_words(
    client: httpx.AsyncClient, account: Account, field: str
) -> None:
    body = {name: value for name, value in BUY_ALERT.items() if name != field}

    answer = await client.post("/api/alerts/me", json=body, headers=account.bearer)

    assert read_error(answer, 400)["message"] == f"Missing required field: {field}"


@pytest.mark.parametrize("price", [150, 150.00, 0.0001, 1234.5678, 157.50000000000003])
async def test_a_price_comes_back_without_binary_artefacts(
    client: httpx.AsyncClient, account: Account, price: float
) -> None:
    answer = await set_alert(client, account, type="buy", price=price)

    assert read(Alert, answer)["price"] == round(price, 8)


async def test_two_users_do_not_see_each_other(client: httpx.AsyncClient, account: Account) -> None:
    other = await register(client)
    await set_alert(client, account, type="buy", price=0.01)

    assert await alerts_of(client, other) == {"buy": [], "sell": []}
