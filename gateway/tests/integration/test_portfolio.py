"""The portfolio that is synced from brokers: every operation over a real server and real gRPC."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

from bourse.brokers.v1 import brokers_pb2
from bourse.portfolio.v1 import pnl_pb2
from bourse.portfolio.v1 import syncs_pb2 as synced_portfolios_pb2
from chassis.errors import Code

HOLDINGS, POSITIONS, PNL = "/api/portfolio/holdings", "/api/portfolio/positions", "/api/portfolio/pnl"
DATA = "/api/portfolio/data"
ZERODHA, ICICI = "/api/portfolio/sync", "/api/portfolio/icici-sync"
ZERODHA_BODY = {"api_key": "demo-key", "api_secret": "demo-secret", "request_token": "demo-token"}
ICICI_BODY = {"api_key": "demo-key", "api_secret": "demo-secret", "api_session": "demo-session"}
SYNCS = [(ZERODHA, ZERODHA_BODY), (ICICI, ICICI_BODY)]


# --- syncs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body", "broker"), [(*SYNCS[0], "zerodha"), (*SYNCS[1], "icici")])
async def test_a_sync_answers_its_counts(running: Any, path: str, body: dict[str, str], broker: str) -> None:
    response = await running.http.post(path, json=body, headers=running.sign_in("42"))

    assert response.status_code == 200
    assert response.json() == {
        "success": True,
        "message": "Portfolio synced",
        "broker": broker,
        "holdings_count": 1,
        "positions_count": 3,
        "net_positions_count": 2,
        "synced_at": "2026-04-07T09:00:00Z",
        "sync_id": "sync-1",
        "simulated": False,
    }
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("path", "body"), SYNCS)
async def test_the_credentials_arrive_and_the_user_is_the_tokens(running: Any, path: str, body: dict[str, str]) -> None:
    await running.http.post(path, json=body, headers=running.sign_in("42"))

    (request,) = running.brokers.requests
    assert request.user_id == "42"
    assert {name: getattr(request, name) for name in body} == body


async def test_a_checksum_stands_for_the_secret(running: Any) -> None:
    checksum = hashlib.sha256(b"demo").hexdigest()
    body = {"api_key": "demo-key", "request_token": "demo-token", "checksum": checksum}

    response = await running.http.post(ZERODHA, json=body, headers=running.sign_in())

    (request,) = running.brokers.requests
    assert response.status_code == 200
    assert (request.WhichOneof("proof"), request.checksum) == ("checksum", checksum)


@pytest.mark.parametrize("changes", [{"checksum": "0" * 64}, {"api_secret": None}])
async def test_both_proofs_or_neither_are_400_naming_them(running: Any, changes: dict[str, Any]) -> None:
    body = {name: value for name, value in {**ZERODHA_BODY, **changes}.items() if value is not None}

    response = await running.http.post(ZERODHA, json=body, headers=running.sign_in())

    message = "Send api_key, request_token and exactly one of api_secret and checksum"
    assert response.status_code == 400
    assert running.error_of(response)["message"] == message
    assert running.brokers.requests == []


@pytest.mark.parametrize(("path", "field"), [(path, field) for path, body in SYNCS for field in body])
async def test_a_missing_field_is_named(running: Any, path: str, field: str) -> None:
    body = {name: value for name, value in dict(SYNCS)[path].items() if name != field}

    response = await running.http.post(path, json=body, headers=running.sign_in())

    assert response.status_code == 400
    assert field in running.error_of(response)["message"]


async def test_a_checksum_is_64_hexadecimal_digits(running: Any) -> None:
    for checksum in ("0" * 63, "0" * 65, "g" * 64, 5):
        body = {"api_key": "demo-key", "request_token": "demo-token", "checksum": checksum}
        response = await running.http.post(ZERODHA, json=body, headers=running.sign_in())

        assert response.status_code == 400
        assert running.error_of(response)["message"] == "checksum: must be 64 hexadecimal digits"


@pytest.mark.parametrize("value", ["", "x" * 513, "é", "a\tb", "a b", " ", 5, None, ["a"], {"a": "b"}, True])
@pytest.mark.parametrize(("path", "body"), SYNCS)
async def test_a_credential_is_printable_and_bounded(running: Any, path: str, body: dict[str, str], value: Any) -> None:
    response = await running.http.post(path, json={**body, "api_key": value}, headers=running.sign_in())

    assert response.status_code == 400
    assert running.brokers.requests == []


async def test_a_credential_of_512_characters_is_taken(running: Any) -> None:
    body = {**ZERODHA_BODY, "api_key": "!~" * 256}

    assert (await running.http.post(ZERODHA, json=body, headers=running.sign_in())).status_code == 200


@pytest.mark.parametrize(("path", "body"), SYNCS)
async def test_a_stranger_is_401_before_his_body_is_read(running: Any, path: str, body: dict[str, str]) -> None:
    for content in (json.dumps(body).encode(), b"{"):
        response = await running.http.post(path, content=content, headers={"Content-Type": "application/json"})

        assert response.status_code == 401
        assert running.error_of(response)["code"] == "AUTH_REQUIRED"
    assert running.brokers.requests == []


REFUSALS = [
    ("INVALID_ARGUMENT", "CREDENTIALS_MALFORMED", 400, "INVALID_REQUEST"),
    ("FAILED_PRECONDITION", "BROKER_NOT_CONFIGURED", 400, "INVALID_REQUEST"),
    ("UNAUTHENTICATED", "BROKER_TOKEN_INVALID", 401, "BROKER_TOKEN_INVALID"),
    ("RESOURCE_EXHAUSTED", "BROKER_THROTTLED", 429, "RATE_LIMITED"),
    ("RESOURCE_EXHAUSTED", "SYNC_QUEUE_FULL", 429, "RATE_LIMITED"),
    ("RESOURCE_EXHAUSTED", "SYNC_RUNNING", 429, "RATE_LIMITED"),
    ("UNAVAILABLE", "BROKER_UNAVAILABLE", 503, "UPSTREAM_UNAVAILABLE"),
    ("UNAVAILABLE", "BROKER_ANSWER_INVALID", 503, "UPSTREAM_UNAVAILABLE"),
    ("UNAVAILABLE", "PORTFOLIO_UNAVAILABLE", 503, "UPSTREAM_UNAVAILABLE"),
    ("ABORTED", "SYNC_SUPERSEDED", 503, "UPSTREAM_UNAVAILABLE"),
    ("DEADLINE_EXCEEDED", "BROKER_TIMEOUT", 504, "UPSTREAM_TIMEOUT"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal[1])
async def test_each_failure_of_a_sync_has_its_answer(
    running: Any, make_refusal: Any, refusal: tuple[str, str, int, str]
) -> None:
    code, reason, status, name = refusal
    running.brokers.failure = make_refusal(Code(code), reason, "it is so", retry_after_seconds=7.0)

    response = await running.http.post(ZERODHA, json=ZERODHA_BODY, headers=running.sign_in())

    error = running.error_of(response)
    assert (response.status_code, error["code"], error["message"]) == (status, name, "It is so")
    assert response.headers.get("retry-after") == ("7" if status in {429, 503} else None)
    # It may have spent the one-time code: nobody tries it again behind the client's back.
    assert running.brokers.calls == ["Sync"]


async def test_a_brokers_401_does_not_ask_for_our_token(running: Any, make_refusal: Any) -> None:
    running.brokers.failure = make_refusal(Code.UNAUTHENTICATED, "BROKER_TOKEN_INVALID", "refused")

    response = await running.http.post(ZERODHA, json=ZERODHA_BODY, headers=running.sign_in())

    assert response.headers["www-authenticate"] == "Broker"
    assert "set-cookie" not in response.headers


async def test_a_sync_may_take_longer_than_other_calls(world: Any) -> None:
    await world.open(rpc_deadline_seconds=0.2, gateway_sync_deadline_seconds=5.0)
    await world.until_ready()
    world.brokers.delay_seconds = world.portfolio.delay_seconds = 0.5
    headers = world.sign_in()

    sync = await world.http.post(ZERODHA, json=ZERODHA_BODY, headers=headers)
    read = await world.http.get(HOLDINGS, headers=headers)
    status = await world.http.get("/zerodha/status")

    assert (sync.status_code, read.status_code, status.status_code) == (200, 504, 504)


async def test_a_sync_that_takes_too_long_is_504(world: Any) -> None:
    await world.open(gateway_sync_deadline_seconds=0.2)
    await world.until_ready()
    world.brokers.delay_seconds = 5

    response = await world.http.post(ICICI, json=ICICI_BODY, headers=world.sign_in())

    assert response.status_code == 504
    assert world.error_of(response)["code"] == "UPSTREAM_TIMEOUT"


@pytest.mark.parametrize(("path", "body"), SYNCS)
async def test_a_client_that_leaves_ends_its_sync(running: Any, path: str, body: dict[str, str]) -> None:
    running.brokers.delay_seconds = 60
    sync = asyncio.create_task(running.http.post(path, json=body, headers=running.sign_in()))
    async with asyncio.timeout(5):
        while not running.brokers.calls:
            await asyncio.sleep(0.01)
        sync.cancel()
        await running.brokers.was_cancelled.wait()

    assert (await running.http.get("/livez")).status_code == 200


async def test_a_gateway_that_stops_does_not_wait_for_a_sync(running: Any) -> None:
    running.brokers.delay_seconds = 60
    sync = asyncio.create_task(running.http.post(ZERODHA, json=ZERODHA_BODY, headers=running.sign_in()))
    async with asyncio.timeout(10):
        while not running.brokers.calls:
            await asyncio.sleep(0.01)
        await running.gateway_stack.aclose()
        await asyncio.gather(sync, return_exceptions=True)
        await running.brokers.was_cancelled.wait()


async def test_brokers_that_are_gone_are_503(running: Any) -> None:
    await running.stop_service("brokers")

    response = await running.http.post(ZERODHA, json=ZERODHA_BODY, headers=running.sign_in())

    assert response.status_code == 503
    assert running.error_of(response)["code"] == "UPSTREAM_UNAVAILABLE"


async def test_a_cookie_alone_needs_the_csrf_token(running: Any) -> None:
    await running.http.post("/api/auth/register", json={"email": "user@example.com", "password": "correct horse"})
    header = {"X-CSRF-Token": running.http.cookies["csrf_token"]}

    sync = [await running.http.post(ZERODHA, json=ZERODHA_BODY, headers=headers) for headers in ({}, header)]
    deletion = [await running.http.delete(DATA, headers=headers) for headers in ({}, header)]

    assert [answer.status_code for answer in sync] == [403, 200]
    assert [answer.status_code for answer in deletion] == [403, 200]


# --- holdings -----------------------------------------------------------------------------------------------------


async def test_the_documented_holding_is_answered_exactly(running: Any) -> None:
    running.portfolio.sync("42")

    response = await running.http.get(HOLDINGS, headers=running.sign_in("42"))

    (row,) = response.json()["holdings"]
    assert response.json() == {
        "holdings": [row],
        "summary": {
            "total_invested": 36000,
            "total_current_value": 38425,
            "total_pnl": 2425,
            "total_pnl_pct": 6.74,
            "total_day_change": None,
            "unvalued_count": 0,
            "day_unvalued_count": 1,
            "simulated": False,
        },
        "synced": True,
        "brokers": [{"broker": "zerodha", "synced_at": "2026-04-07T09:00:00Z", "simulated": False}],
    }
    assert row == {
        "broker": "zerodha",
        "exchange": "NSE",
        "tradingsymbol": "TCS",
        "instrument": "NSE:TCS",
        "isin": None,
        "product": None,
        "quantity": 10,
        "t1_quantity": 0,
        "average_price": 3600.0,
        "last_price": 3842.5,
        "invested": 36000.0,
        "current_value": 38425.0,
        "pnl": 2425.0,
        "pnl_pct": 6.74,
        "day_change": None,
        "day_change_pct": None,
        "broker_pnl": None,
        "pnl_difference": None,
        "pnl_differences": [],
        "split_factor": 1,
        "source": "zerodha",
        "as_of": "2026-04-07T09:00:00Z",
        "freshness": "live",
        "synced_at": "2026-04-07T09:00:00Z",
        "simulated": False,
    }
    assert '"quantity":10,' in response.text
    assert response.headers["cache-control"] == "no-store"


async def test_money_is_the_number_that_was_meant(running: Any) -> None:
    (row,) = running.portfolio.sync("42").holdings
    row.quantity, row.last_price, row.pnl, row.broker_pnl = "0.3", "0.10", "-0.30", "9999999999999.99"
    row.pnl_differences.add(reason="rounding", amount="-0.01")

    text = (await running.http.get(HOLDINGS, headers=running.sign_in("42"))).text

    for part in ('"quantity":0.3,', '"last_price":0.1,', '"pnl":-0.3,', '"broker_pnl":9999999999999.99,'):
        assert part in text
    assert '"pnl_differences":[{"reason":"rounding","amount":-0.01}]' in text


async def test_simulated_rows_say_so(running: Any) -> None:
    running.portfolio.sync("42", is_simulated=True)

    body = (await running.http.get(HOLDINGS, headers=running.sign_in("42"))).json()

    assert (body["holdings"][0]["freshness"], body["holdings"][0]["simulated"]) == ("simulated", True)
    assert body["brokers"][0]["simulated"] is True


async def test_a_row_without_a_price_has_none(running: Any) -> None:
    (row,) = running.portfolio.sync("42").holdings
    for name in ("last_price", "current_value", "pnl", "pnl_percent", "provenance"):
        row.ClearField(name)

    (found,) = (await running.http.get(HOLDINGS, headers=running.sign_in("42"))).json()["holdings"]

    for name in ("last_price", "current_value", "pnl", "pnl_pct", "source", "as_of", "freshness"):
        assert found[name] is None


async def test_who_never_synced_has_empty_lists_and_zeros(running: Any) -> None:
    headers = running.sign_in("42")
    holdings, positions, pnl = [
        (await running.http.get(path, headers=headers)).json() for path in (HOLDINGS, POSITIONS, PNL)
    ]

    assert (holdings["holdings"], holdings["synced"], holdings["brokers"]) == ([], False, [])
    assert holdings["summary"]["total_invested"] == holdings["summary"]["total_pnl"] == 0
    assert (positions["positions"], positions["closed"], positions["synced"]) == ([], [], False)
    assert (pnl["trend"], pnl["synced"], pnl["summary"]["total_pnl"]) == ([], False, 0)


async def test_nobody_sees_anybody_elses(running: Any) -> None:
    running.portfolio.sync("42")
    running.portfolio.open_position("42")
    other = {**running.sign_in("43"), "X-User-Id": "42"}

    for path, name in ((HOLDINGS, "holdings"), (POSITIONS, "positions"), (PNL, "trend")):
        assert (await running.http.get(path, headers=other)).json()[name] == []
        assert (await running.http.get(f"{path}?user_id=42", headers=other)).status_code == 400
    assert (await running.http.delete(DATA, headers=other)).json()["deleted"]["holdings"] == 0
    assert (await running.http.delete(f"{DATA}?user=42", headers=other)).status_code == 400
    assert "42" in running.portfolio.holdings


@pytest.mark.parametrize("path", [HOLDINGS, POSITIONS, PNL])
async def test_reads_need_a_token(running: Any, path: str) -> None:
    response = await running.http.get(path)

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "AUTH_REQUIRED"
    assert running.portfolio.calls == []


# --- positions ----------------------------------------------------------------------------------------------------


async def test_a_position_has_all_that_its_message_has(running: Any) -> None:
    running.portfolio.open_position(
        "42",
        average_price="22000.05",
        last_price="21999.95",
        value="-1649996.25",
        pnl="7.50",
        m2m="7.50",
        expiry="2026-04-28",
        strike="22000",
        option_type="CE",
        is_simulated=True,
    )

    (row,) = (await running.http.get(POSITIONS, headers=running.sign_in("42"))).json()["positions"]

    assert row == {
        "broker": "icici",
        "type": "net",
        "exchange": "NFO",
        "tradingsymbol": "NIFTY26APRFUT",
        "instrument": "NFO:NIFTY26APRFUT",
        "product": None,
        "quantity": -75,
        "overnight_quantity": None,
        "multiplier": 1,
        "average_price": 22000.05,
        "last_price": 21999.95,
        "value": -1649996.25,
        "pnl": 7.5,
        "broker_pnl": None,
        "pnl_difference": None,
        "pnl_differences": [],
        "m2m": 7.5,
        "expiry": "2026-04-28",
        "strike": 22000,
        "option_type": "CE",
        "source": None,
        "as_of": None,
        "freshness": None,
        "synced_at": "2026-04-07T09:00:00Z",
        "simulated": True,
    }


async def test_closed_positions_are_listed_apart(running: Any) -> None:
    running.portfolio.open_position("42", tradingsymbol="OPEN")
    running.portfolio.open_position("42", tradingsymbol="CLOSED", quantity="0")

    body = (await running.http.get(POSITIONS, headers=running.sign_in("42"))).json()

    assert [row["tradingsymbol"] for row in body["positions"]] == ["OPEN"]
    assert [row["tradingsymbol"] for row in body["closed"]] == ["CLOSED"]
    assert body["summary"] == {"total_pnl": 0, "day_pnl": 0, "unvalued_count": 0, "simulated": False}


@pytest.mark.parametrize(("query", "types"), [("", ["net", "day"]), ("?type=net", ["net"]), ("?type=day", ["day"])])
async def test_a_type_keeps_one_of_them(running: Any, query: str, types: list[str]) -> None:
    running.portfolio.open_position("42")
    running.portfolio.open_position("42", type=synced_portfolios_pb2.POSITION_TYPE_DAY)

    body = (await running.http.get(POSITIONS + query, headers=running.sign_in("42"))).json()

    assert [row["type"] for row in body["positions"]] == types


@pytest.mark.parametrize("value", ["", "all", "NET", "net,day", "1", "null"])
async def test_any_other_type_is_400(running: Any, value: str) -> None:
    response = await running.http.get(POSITIONS, params={"type": value}, headers=running.sign_in())

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("type: ")
    assert running.portfolio.calls == []


# --- P&L ----------------------------------------------------------------------------------------------------------


async def test_the_trend_has_the_days_that_have_a_snapshot(running: Any) -> None:
    for day in ("2026-04-02", "2026-04-06"):
        point = pnl_pb2.PnlPoint(
            date=day,
            total_invested="36000.00",
            total_current_value="38425.00",
            total_pnl="2425.00",
            total_pnl_percent="6.74",
            positions_pnl="-12.50",
            brokers=[brokers_pb2.BROKER_ZERODHA, brokers_pb2.BROKER_ICICI],
        )
        point.taken_at.FromJsonString(f"{day}T12:00:00Z")
        running.portfolio.points.setdefault("42", []).append(point)

    body = (await running.http.get(PNL, headers=running.sign_in("42"))).json()

    assert [point["date"] for point in body["trend"]] == ["2026-04-02", "2026-04-06"]
    assert body["trend"][1] == {
        "date": "2026-04-06",
        "total_invested": 36000,
        "total_current_value": 38425,
        "total_pnl": 2425,
        "total_pnl_pct": 6.74,
        "positions_pnl": -12.5,
        "brokers": ["zerodha", "icici"],
        "taken_at": "2026-04-06T12:00:00Z",
        "simulated": False,
    }
    assert body["summary"] == {
        "total_invested": 0,
        "total_current_value": 0,
        "total_pnl": 0,
        "total_pnl_pct": None,
        "total_day_change": None,
        "day_unvalued_count": 0,
        "positions_pnl": 0,
        "simulated": False,
    }


@pytest.mark.parametrize(("query", "days"), [("", 30), ("?days=1", 1), ("?days=365", 365)])
async def test_the_trend_reaches_back_as_asked(running: Any, query: str, days: int) -> None:
    assert (await running.http.get(PNL + query, headers=running.sign_in())).json()["days"] == days


@pytest.mark.parametrize(
    "days", ["0", "366", "-1", "", "1.5", "30.0", "1e2", "3_0", " 30", "+30", "030", "thirty", "٣٠", "9" * 400]
)
async def test_days_outside_1_to_365_are_400(running: Any, days: str) -> None:
    response = await running.http.get(PNL, params={"days": days}, headers=running.sign_in())

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("days: ")
    assert running.portfolio.calls == []


# --- deletion -----------------------------------------------------------------------------------------------------


async def test_deleting_says_how_much_is_gone(running: Any) -> None:
    running.portfolio.sync("42")
    running.portfolio.open_position("42")
    headers = running.sign_in("42")

    first, second = [(await running.http.delete(DATA, headers=headers)).json() for _ in range(2)]

    assert first == {
        "success": True,
        "message": "Synced portfolio data deleted",
        "deleted": {"holdings": 1, "positions": 1, "snapshots": 0},
    }
    assert second["deleted"] == {"holdings": 0, "positions": 0, "snapshots": 0}
    assert (await running.http.get(HOLDINGS, headers=headers)).json()["synced"] is False


async def test_a_deletion_is_never_tried_twice(running: Any, make_refusal: Any) -> None:
    running.portfolio.failure = make_refusal(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", "away")

    response = await running.http.delete(DATA, headers=running.sign_in("42"))

    assert response.status_code == 503
    assert running.portfolio.calls == ["DeleteSyncedData"]


async def test_a_read_is_tried_again(running: Any, make_refusal: Any) -> None:
    running.portfolio.failure = make_refusal(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", "away")

    await running.http.get(HOLDINGS, headers=running.sign_in("42"))

    assert running.portfolio.calls == ["ListHoldings"] * 3
