"""Changing, ending, proving and explaining alerts as I and the contract have them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from contract.documents import BUY_ALERT, SELL_ALERT, Alert, Alerts, ReplacedAlert, read, read_error
from contract.people_documents import NEW_PRICE, Explanation, Fire, History, Told
from harness.clients import Account, register

NEVER = {"buy": 0.01, "sell": 99_000_000}
ALREADY = {"buy": 99_000_000, "sell": 0.01}


async def set_alert(client: httpx.AsyncClient, account: Account, **alert: Any) -> Any:
    body = {"type": "buy", "symbol": "AAPL", "price": NEVER["buy"], **alert}
    answer = await client.post("/api/alerts/me", json=body, headers=account.bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def counts(client: httpx.AsyncClient, account: Account) -> tuple[int, int]:
    listed = read(Alerts, await client.get("/api/alerts/me", headers=account.bearer))
    return len(listed["buy"]), len(listed["sell"])


async def first_fire(client: httpx.AsyncClient, account: Account) -> Fire:
    async with asyncio.timeout(15):
        while not (fires := (await history(client, account))["fires"]):
            await asyncio.sleep(0.1)
    return fires[0]


async def history(client: httpx.AsyncClient, account: Account, query: str = "") -> History:
    return read(History, await client.get(f"/api/alerts/me/history{query}", headers=account.bearer))


# --- changing ----------------------------------------------------------------------------------------------------


async def test_an_update_replaces_the_price(client: httpx.AsyncClient, account: Account) -> None:
    made = await set_alert(client, account, **BUY_ALERT)

    answer = await client.put(f"/api/alerts/{account.user_id}/buy/AAPL", json=NEW_PRICE, headers=account.bearer)

    alert = read(ReplacedAlert, answer)
    assert (alert["symbol"], alert["price"], alert["created_at"]) == ("AAPL", 155, made["created_at"])


@pytest.mark.parametrize("symbol", ["aapl", "NASDAQ:AAPL", "nasdaq:aapl"])
async def test_any_name_of_the_instrument_finds_its_alert(
    client: httpx.AsyncClient, account: Account, symbol: str
) -> None:
    await set_alert(client, account)

    answer = await client.put(f"/api/alerts/me/buy/{symbol}", json={"price": 0.02}, headers=account.bearer)

    assert read(Alert, answer)["price"] == 0.02


async def test_what_is_not_there_cannot_be_changed(client: httpx.AsyncClient, account: Account) -> None:
    await set_alert(client, account)

    for path in ("sell/AAPL", "buy/MSFT", "buy/NOSUCH"):
        read_error(await client.put(f"/api/alerts/me/{path}", json=NEW_PRICE, headers=account.bearer), 404)
        read_error(await client.delete(f"/api/alerts/me/{path}", headers=account.bearer), 404)
        read_error(await client.get(f"/api/alerts/me/{path}/explain", headers=account.bearer), 404)
    read_error(await client.put("/api/alerts/me/hold/AAPL", json=NEW_PRICE, headers=account.bearer), 400)


@pytest.mark.parametrize("body", [{}, {"price": 0}, {"price": "155"}, {"price": -1}, {"price": 1, "symbol": "MSFT"}])
async def test_a_bad_price_changes_nothing(client: httpx.AsyncClient, account: Account, body: dict[str, Any]) -> None:
    await set_alert(client, account, price=0.03)

    read_error(await client.put("/api/alerts/me/buy/AAPL", json=body, headers=account.bearer), 400)

    listed = read(Alerts, await client.get("/api/alerts/me", headers=account.bearer))
    assert [alert["price"] for alert in listed["buy"]] == [0.03]


async def test_a_note_and_an_end_are_kept_until_they_are_changed(client: httpx.AsyncClient, account: Account) -> None:
    end = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)

    made = await set_alert(client, account, note="for the car", expires_at=end.isoformat())
    kept = await client.put("/api/alerts/me/buy/AAPL", json={"price": 0.02}, headers=account.bearer)
    removed = await client.put("/api/alerts/me/buy/AAPL", json={"price": 0.02, "note": ""}, headers=account.bearer)

    assert (made["note"], made["is_expired"]) == ("for the car", False)
    assert datetime.fromisoformat(made["expires_at"]) == end
    assert (kept.json()["note"], kept.json()["expires_at"]) == (made["note"], made["expires_at"])
    assert removed.json()["note"] is None


@pytest.mark.parametrize(
    "changed",
    [
        {"note": "x" * 501},
        {"note": 5},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "tomorrow"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"expires_at": 5},
    ],
)
async def test_a_bad_note_or_end_is_refused(
    client: httpx.AsyncClient, account: Account, changed: dict[str, Any]
) -> None:
    answer = await client.post("/api/alerts/me", json={**BUY_ALERT, **changed}, headers=account.bearer)

    read_error(answer, 400)
    assert await counts(client, account) == (0, 0)


# --- deleting ----------------------------------------------------------------------------------------------------


async def test_a_deleted_alert_is_gone(client: httpx.AsyncClient, account: Account) -> None:
    await set_alert(client, account)
    await set_alert(client, account, **SELL_ALERT)

    told = read(Told, await client.delete(f"/api/alerts/{account.user_id}/buy/AAPL", headers=account.bearer))

    assert told == {"message": "Alert for AAPL deleted successfully"}
    assert await counts(client, account) == (0, 1)


@pytest.mark.parametrize(("query", "left"), [("", (0, 0)), ("?type=buy", (0, 1)), ("?type=sell", (2, 0))])
async def test_all_alerts_or_all_of_a_type_are_deleted(
    client: httpx.AsyncClient, account: Account, query: str, left: tuple[int, int]
) -> None:
    await set_alert(client, account)
    await set_alert(client, account, symbol="MSFT")
    await set_alert(client, account, type="sell", price=NEVER["sell"])
    other = await register(client)
    await set_alert(client, other)

    answer = await client.delete(f"/api/alerts/{account.user_id}{query}", headers=account.bearer)

    assert read(Told, answer)["message"] == "All alerts deleted successfully"
    assert await counts(client, account) == left
    assert await counts(client, other) == (1, 0)


@pytest.mark.parametrize("query", ["type=hold", "symbol=NSE:RELIANCE", "Type=sell", "_=1", "type=buy&symbol=AAPL"])
async def test_nothing_else_is_deleted(client: httpx.AsyncClient, account: Account, query: str) -> None:
    await set_alert(client, account)

    read_error(await client.delete(f"/api/alerts/me?{query}", headers=account.bearer), 400)

    assert await counts(client, account) == (1, 0)


# --- proving and explaining --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["buy", "sell"])
async def test_a_fire_has_its_receipt(client: httpx.AsyncClient, account: Account, kind: str) -> None:
    made = await set_alert(client, account, type=kind, price=ALREADY[kind], note="told you")

    fire = await first_fire(client, account)

    assert (fire["alert_id"], fire["generation"], fire["type"]) == (made["id"], 1, kind)
    assert fire["tick"]["source"] == "sample"
    assert fire["fired_at"] == fire["tick"]["at"]
    assert fire["committed_at"] >= made["created_at"]
    async with asyncio.timeout(15):
        while {each["channel"]: each["state"] for each in fire["deliveries"]} != {"event": "sent", "email": "sent"}:
            await asyncio.sleep(0.1)
            fire = await first_fire(client, account)
    assert fire["deliveries"][0]["message_id"] == f"{made['id']}:1"


async def test_a_fire_stays_in_the_history_of_a_deleted_alert(client: httpx.AsyncClient, account: Account) -> None:
    await set_alert(client, account, price=ALREADY["buy"])
    fire = await first_fire(client, account)

    await client.delete("/api/alerts/me/buy/AAPL", headers=account.bearer)

    assert [each["alert_id"] for each in (await history(client, account))["fires"]] == [fire["alert_id"]]


async def test_the_history_is_read_in_portions(client: httpx.AsyncClient, account: Account) -> None:
    for symbol in ("AAPL", "MSFT", "GOOGL"):
        await set_alert(client, account, symbol=symbol, price=ALREADY["buy"])
    async with asyncio.timeout(20):
        while len((await history(client, account))["fires"]) < 3:
            await asyncio.sleep(0.1)

    first = await history(client, account, "?limit=2")
    second = await history(client, account, f"?limit=2&cursor={first['next_cursor']}")

    symbols = [fire["symbol"] for fire in [*first["fires"], *second["fires"]]]
    assert sorted(symbols) == ["AAPL", "GOOGL", "MSFT"]
    assert second["next_cursor"] is None
    for query in ("?limit=0", "?limit=51", "?limit=x", "?cursor=nonsense"):
        read_error(await client.get(f"/api/alerts/me/history{query}", headers=account.bearer), 400)


async def test_an_armed_alert_is_explained(client: httpx.AsyncClient, account: Account) -> None:
    await set_alert(client, account)
    path = f"/api/alerts/{account.user_id}/buy/AAPL/explain"

    async with asyncio.timeout(15):
        while True:
            explanation = read(Explanation, await client.get(path, headers=account.bearer))
            if explanation["closest"] is not None:
                break
            await asyncio.sleep(0.1)

    assert explanation["state"] == "armed"
    assert explanation["evaluated"]
    assert explanation["closest"]["price"] > 0.01


async def test_a_fired_alert_is_explained(client: httpx.AsyncClient, account: Account) -> None:
    await set_alert(client, account, price=ALREADY["buy"])
    await first_fire(client, account)

    answer = await client.get("/api/alerts/me/buy/AAPL/explain", headers=account.bearer)

    assert read(Explanation, answer)["state"] == "fired"
