"""Syncs with brokers and what is read of them, as the documents and the contract have them."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from contract.documents import (
    Deleted,
    Holdings,
    Pnl,
    Positions,
    Synced,
    read,
    read_error,
    strictly_parsed,
)
from contract.vendors import Vendors, checksum_body, icici_body, zerodha_body
from harness.clients import Account, register
from harness.processes import RunningSuite
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault, Faults
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.odd_accounts import odd_breeze_account, odd_kite_account
from upstreams.payloads import breeze_demat, breeze_holding, kite_closed_position, kite_holding, kite_position

ZERODHA, ICICI = "/api/portfolio/sync", "/api/portfolio/icici-sync"
HOLDINGS, POSITIONS, PNL = "/api/portfolio/holdings", "/api/portfolio/positions", "/api/portfolio/pnl"
DATA = "/api/portfolio/data"
INDIA = timedelta(hours=5, minutes=30)
TCS, SBIN, INFY = BY_KEY["NSE:TCS"], BY_KEY["NSE:SBIN"], BY_KEY["NSE:INFY"]
CALL = BY_KEY["NFO:NIFTY26NOV24000CE"]


@pytest.fixture(autouse=True)
def all_goes_well(vendors: Vendors) -> Iterator[None]:
    yield
    vendors.rest.kite.faults.clear()
    vendors.rest.breeze.faults.clear()


@pytest.fixture
def zerodha(vendors: Vendors) -> KiteAccount:
    """The account of the document's example, with two open positions and a closed one."""
    closed = kite_closed_position(INFY, 20, bought_at=1571.5, sold_at=1580.25)
    carried = kite_position(CALL, 75, 171.2, product="NRML", overnight_quantity=75, close_price=165.4)
    opened = kite_position(SBIN, 25, 790.1)
    documented = kite_holding(TCS, 10, 3600.0, last_price=3842.5, pnl=2425.0)
    return vendors.open_zerodha(holdings=[documented], net=[opened, carried, closed], day=[opened, closed])


@pytest.fixture
def icici(vendors: Vendors) -> BreezeAccount:
    return vendors.open_icici(holdings=[breeze_holding(SBIN, 4, 700)], demat=[breeze_demat(SBIN, 4)])


async def sync_zerodha(client: httpx.AsyncClient, account: Account, broker: KiteAccount) -> Synced:
    return read(Synced, await client.post(ZERODHA, json=zerodha_body(broker), headers=account.bearer))


async def sync_icici(client: httpx.AsyncClient, account: Account, broker: BreezeAccount) -> Synced:
    return read(Synced, await client.post(ICICI, json=icici_body(broker), headers=account.bearer))


async def holdings_of(client: httpx.AsyncClient, account: Account) -> Holdings:
    return read(Holdings, await client.get(HOLDINGS, headers=account.bearer))


# --- syncs --------------------------------------------------------------------------------------------------------


async def test_a_zerodha_sync_answers_its_counts(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount
) -> None:
    synced = await sync_zerodha(client, account, zerodha)

    assert synced["broker"] == "zerodha"
    assert synced["simulated"] is False
    counts = synced["holdings_count"], synced["positions_count"], synced["net_positions_count"]
    assert counts == (1, 5, 3)


async def test_an_icici_sync_answers_its_counts(
    client: httpx.AsyncClient, account: Account, icici: BreezeAccount
) -> None:
    synced = await sync_icici(client, account, icici)

    assert (synced["broker"], synced["holdings_count"], synced["positions_count"]) == ("icici", 1, 0)


async def test_a_checksum_stands_for_the_secret(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount
) -> None:
    answer = await client.post(ZERODHA, json=checksum_body(zerodha), headers=account.bearer)

    assert read(Synced, answer)["holdings_count"] == 1


async def test_a_request_token_works_once(client: httpx.AsyncClient, account: Account, zerodha: KiteAccount) -> None:
    body = zerodha_body(zerodha)
    read(Synced, await client.post(ZERODHA, json=body, headers=account.bearer))

    again = await client.post(ZERODHA, json=body, headers=account.bearer)

    read_error(again, 401, "BROKER_TOKEN_INVALID")
    assert not again.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await holdings_of(client, account))["synced"] is True


@pytest.mark.parametrize("field", ["api_key", "api_secret", "request_token"])
async def test_what_zerodha_refuses_is_401(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount, field: str
) -> None:
    body = {**zerodha_body(zerodha), field: "another"}

    read_error(await client.post(ZERODHA, json=body, headers=account.bearer), 401, "BROKER_TOKEN_INVALID")


@pytest.mark.parametrize("field", ["api_key", "api_secret", "api_session"])
async def test_what_icici_refuses_is_401(
    client: httpx.AsyncClient, account: Account, icici: BreezeAccount, field: str
) -> None:
    body = {**icici_body(icici), field: "another"}

    read_error(await client.post(ICICI, json=body, headers=account.bearer), 401, "BROKER_TOKEN_INVALID")


async def test_the_sandboxs_key_without_a_sandbox_is_400(client: httpx.AsyncClient, account: Account) -> None:
    body = {"api_key": "sandbox-zerodha", "api_secret": "demo", "request_token": "sandbox-1"}

    answer = await client.post(ZERODHA, json=body, headers=account.bearer)

    assert "sandbox" in read_error(answer, 400)["message"]


FAULTS = {
    "throttled": (Fault.throttled(), 429, "RATE_LIMITED"),
    "down": (Fault.server_error(), 503, "UPSTREAM_UNAVAILABLE"),
    "hung up": (Fault.reset(), 503, "UPSTREAM_UNAVAILABLE"),
    "cut": (Fault.drop(), 503, "UPSTREAM_UNAVAILABLE"),
    "a page": (Fault.html(), 503, "UPSTREAM_UNAVAILABLE"),
    "half an answer": (Fault.truncated(), 503, "UPSTREAM_UNAVAILABLE"),
    "other types": (Fault.wrong_types(), 503, "UPSTREAM_UNAVAILABLE"),
    "no envelope": (Fault.missing_keys(), 503, "UPSTREAM_UNAVAILABLE"),
    "silent": (Fault.hang(), 504, "UPSTREAM_TIMEOUT"),
    "half-open": (Fault.half_open(), 504, "UPSTREAM_TIMEOUT"),
}


@pytest.fixture(params=FAULTS)
def failure(request: pytest.FixtureRequest, vendors: Vendors) -> tuple[Faults, Fault, int, str]:
    """What goes wrong, where it is set, and what the client is told."""
    return vendors.rest.kite.faults, *FAULTS[request.param]


async def test_a_failed_sync_says_so_and_changes_nothing(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount, failure: tuple[Faults, Fault, int, str]
) -> None:
    faults, fault, status, code = failure
    await sync_zerodha(client, account, zerodha)
    before = await holdings_of(client, account)
    zerodha.holdings.append(kite_holding(INFY, 1, 1500))
    faults.always("/portfolio/holdings", fault, api_key=zerodha.api_key)

    answer = await client.post(ZERODHA, json=zerodha_body(zerodha), headers=account.bearer)

    read_error(answer, status, code)
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert await holdings_of(client, account) == before


async def test_a_silent_broker_holds_up_nobody_else(
    client: httpx.AsyncClient, zerodha: KiteAccount, icici: BreezeAccount, vendors: Vendors
) -> None:
    one, another = await register(client), await register(client)
    vendors.rest.kite.faults.always("/portfolio/holdings", Fault.hang(), api_key=zerodha.api_key)
    hanging = asyncio.create_task(client.post(ZERODHA, json=zerodha_body(zerodha), headers=one.bearer))

    await sync_icici(client, another, icici)

    assert not hanging.done()
    read_error(await hanging, 504, "UPSTREAM_TIMEOUT")


async def test_odd_accounts_sync_whole(client: httpx.AsyncClient, account: Account, vendors: Vendors) -> None:
    kite = vendors.rest.kite.accounts.add(odd_kite_account())
    breeze = vendors.rest.breeze.accounts.add(odd_breeze_account())

    by_zerodha, by_icici = await sync_zerodha(client, account, kite), await sync_icici(client, account, breeze)
    holdings = (await holdings_of(client, account))["holdings"]
    positions = read(Positions, await client.get(POSITIONS, headers=account.bearer))

    assert by_zerodha["holdings_count"] >= 1
    assert len(holdings) == by_zerodha["holdings_count"] + by_icici["holdings_count"]
    rows = len(positions["positions"]) + len(positions["closed"])
    assert rows == by_zerodha["positions_count"] + by_icici["positions_count"]


async def test_credentials_are_nowhere_in_the_logs(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount, suite: RunningSuite
) -> None:
    good = zerodha_body(zerodha)
    await client.post(ZERODHA, json=good, headers=account.bearer)
    await client.post(ZERODHA, json=good, headers=account.bearer)
    await client.post(ZERODHA, json={**good, good["api_secret"]: good["request_token"]}, headers=account.bearer)

    for name in suite.processes:
        log = suite.log_of(name)
        assert not [field for field, value in good.items() if value in log]


async def test_both_proofs_or_neither_are_400_naming_them(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount
) -> None:
    body = zerodha_body(zerodha)
    for changed in ({**body, "checksum": "0" * 64}, {name: body[name] for name in ("api_key", "request_token")}):
        message = read_error(await client.post(ZERODHA, json=changed, headers=account.bearer), 400)["message"]

        assert "api_secret" in message
        assert "checksum" in message


# --- holdings -----------------------------------------------------------------------------------------------------


async def test_the_documented_holding_is_answered_exactly(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount
) -> None:
    await sync_zerodha(client, account, zerodha)

    answer = await client.get(HOLDINGS, headers=account.bearer)

    (row,) = read(Holdings, answer)["holdings"]
    documented = ("tradingsymbol", "quantity", "average_price", "last_price", "pnl", "pnl_pct")
    assert [answer.json()["holdings"][0][name] for name in documented] == ["TCS", 10, 3600.0, 3842.5, 2425.0, 6.74]
    summary = answer.json()["summary"]
    sums = summary["total_invested"], summary["total_current_value"], summary["total_pnl"], summary["total_pnl_pct"]
    assert sums == (36000, 38425, 2425, 6.74)
    # A simulated price never stands in for a real one: it is the broker's, as old as the sync.
    assert (row["broker"], row["source"], row["freshness"]) == ("zerodha", "zerodha", "stale")
    assert row["as_of"] == answer.json()["brokers"][0]["synced_at"]


async def test_sums_equal_their_rows_to_the_paisa(
    client: httpx.AsyncClient, account: Account, vendors: Vendors
) -> None:
    await sync_zerodha(client, account, vendors.rest.kite.accounts.add(odd_kite_account()))

    text = (await client.get(HOLDINGS, headers=account.bearer)).text
    body: Any = json.loads(text, parse_float=Decimal, parse_int=Decimal)

    pairs = [("total_pnl", "pnl"), ("total_invested", "invested"), ("total_current_value", "current_value")]
    valued = [row for row in body["holdings"] if row["pnl"] is not None]
    for total, part in pairs:
        assert body["summary"][total] == sum(row[part] for row in valued)
    assert body["summary"]["unvalued_count"] == len(body["holdings"]) - len(valued)
    without_day = [row for row in body["holdings"] if row["day_change"] is None]
    assert body["summary"]["day_unvalued_count"] == len(without_day) > 0
    pnl = (await client.get(PNL, headers=account.bearer)).json()["summary"]
    assert pnl["day_unvalued_count"] == len(without_day)


async def test_a_sync_replaces_its_own_brokers_rows_alone(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount, icici: BreezeAccount
) -> None:
    await sync_zerodha(client, account, zerodha)
    await sync_icici(client, account, icici)
    zerodha.holdings[:] = [kite_holding(INFY, 3, 1500)]
    await sync_zerodha(client, account, zerodha)

    holdings = await holdings_of(client, account)

    assert [(row["broker"], row["tradingsymbol"]) for row in holdings["holdings"]] == [
        ("icici", "SBIN"),
        ("zerodha", "INFY"),
    ]
    assert [broker["broker"] for broker in holdings["brokers"]] == ["icici", "zerodha"]


async def test_who_never_synced_has_empty_lists_and_zeros(client: httpx.AsyncClient, account: Account) -> None:
    holdings = await holdings_of(client, account)
    positions = read(Positions, await client.get(POSITIONS, headers=account.bearer))
    pnl = read(Pnl, await client.get(PNL, headers=account.bearer))

    assert (holdings["holdings"], holdings["synced"], holdings["brokers"]) == ([], False, [])
    assert holdings["summary"]["total_invested"] == 0
    assert (positions["positions"], positions["closed"], positions["synced"]) == ([], [], False)
    assert (pnl["trend"], pnl["synced"], pnl["summary"]["total_pnl"], pnl["days"]) == ([], False, 0, 30)


async def test_nobody_sees_anybody_elses(client: httpx.AsyncClient, account: Account, zerodha: KiteAccount) -> None:
    await sync_zerodha(client, account, zerodha)
    other = await register(client)

    for path in (HOLDINGS, POSITIONS, PNL):
        assert (await client.get(path, headers=other.bearer)).json()["synced"] is False
        read_error(await client.get(path, params={"user_id": account.user_id}, headers=other.bearer), 400)
    read_error(await client.delete(DATA, params={"user_id": account.user_id}, headers=other.bearer), 400)
    deleted = read(Deleted, await client.delete(DATA, headers=other.bearer))

    assert deleted["deleted"] == {"holdings": 0, "positions": 0, "snapshots": 0}
    assert (await holdings_of(client, account))["synced"] is True


# --- positions ----------------------------------------------------------------------------------------------------


BY_TYPE = {
    "?type=net": (["NIFTY", "SBIN"], ["INFY"]),
    "?type=day": (["SBIN"], ["INFY"]),
    "": (["NIFTY", "SBIN", "SBIN"], ["INFY", "INFY"]),
}


@pytest.mark.parametrize("query", BY_TYPE)
async def test_a_type_keeps_its_positions(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount, query: str
) -> None:
    await sync_zerodha(client, account, zerodha)

    positions = read(Positions, await client.get(POSITIONS + query, headers=account.bearer))

    shares = {CALL.symbol: "NIFTY"}
    opened = sorted(shares.get(row["tradingsymbol"], row["tradingsymbol"]) for row in positions["positions"])
    assert (opened, [row["tradingsymbol"] for row in positions["closed"]]) == BY_TYPE[query]
    assert {row["quantity"] for row in positions["closed"]} == {0}


@pytest.mark.parametrize("value", ["", "all", "NET", "net,day", "1"])
async def test_any_other_type_is_400(client: httpx.AsyncClient, account: Account, value: str) -> None:
    answer = await client.get(POSITIONS, params={"type": value}, headers=account.bearer)

    assert "type" in read_error(answer, 400)["message"]


# --- P&L ----------------------------------------------------------------------------------------------------------


async def test_a_sync_writes_the_days_snapshot(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount
) -> None:
    before = (datetime.now(UTC) + INDIA).date().isoformat()
    await sync_zerodha(client, account, zerodha)

    pnl = read(Pnl, await client.get(PNL, params={"days": 365}, headers=account.bearer))

    (today,) = pnl["trend"]
    assert today["date"] in {before, (datetime.now(UTC) + INDIA).date().isoformat()}
    assert (today["total_pnl"], pnl["summary"]["total_pnl"], pnl["days"]) == (2425, 2425, 365)


@pytest.mark.parametrize("days", ["1", "30", "365"])
async def test_days_within_the_bounds_are_repeated(client: httpx.AsyncClient, account: Account, days: str) -> None:
    answer = await client.get(PNL, params={"days": days}, headers=account.bearer)

    assert read(Pnl, answer)["days"] == int(days)


@pytest.mark.parametrize("days", ["0", "366", "-1", "", "1.5", "30.0", "1e2", "3_0", " 30", "thirty", "9" * 400])
async def test_days_outside_the_bounds_are_400(client: httpx.AsyncClient, account: Account, days: str) -> None:
    answer = await client.get(PNL, params={"days": days}, headers=account.bearer)

    assert "days" in read_error(answer, 400)["message"]


# --- deletion -----------------------------------------------------------------------------------------------------


async def test_deletion_takes_synced_data_and_nothing_else(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount
) -> None:
    await sync_zerodha(client, account, zerodha)
    alert = {"type": "buy", "symbol": "MSFT", "price": 0.01}
    await client.post("/api/alerts/me", json=alert, headers=account.bearer)

    first = read(Deleted, await client.delete(DATA, headers=account.bearer))
    second = read(Deleted, await client.delete(DATA, headers=account.bearer))

    assert first["deleted"] == {"holdings": 1, "positions": 5, "snapshots": 1}
    assert second["deleted"] == {"holdings": 0, "positions": 0, "snapshots": 0}
    assert (await holdings_of(client, account))["synced"] is False
    assert read(Pnl, await client.get(PNL, headers=account.bearer))["trend"] == []
    assert len(strictly_parsed((await client.get("/api/alerts/me", headers=account.bearer)).text)["buy"]) == 1


async def test_after_a_deletion_a_sync_begins_anew(
    client: httpx.AsyncClient, account: Account, zerodha: KiteAccount
) -> None:
    await sync_zerodha(client, account, zerodha)
    await client.delete(DATA, headers=account.bearer)

    await sync_zerodha(client, account, zerodha)

    assert len((await holdings_of(client, account))["holdings"]) == 1
