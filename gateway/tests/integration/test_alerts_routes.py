"""Alerts: changing, deleting, proving and explaining them over a real server and real gRPC."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from bourse.alerts.v1 import alerts_pb2 as pb
from bourse.alerts.v1 import events_pb2
from bourse.market.v1 import quotes_pb2
from chassis.errors import Code

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL, ONE = "/api/alerts/42", "/api/alerts/42/buy/AAPL"
HISTORY, EXPLAIN = f"{ALL}/history", f"{ONE}/explain"
NEW = {"type": "buy", "symbol": "AAPL", "price": 150.00}
LATER = "2026-12-31T23:59:59+05:30"
OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", ALL, None),
    ("POST", ALL, NEW),
    ("DELETE", ALL, None),
    ("GET", HISTORY, None),
    ("PUT", ONE, {"price": 155.00}),
    ("DELETE", ONE, None),
    ("GET", EXPLAIN, None),
]
UNSAFE = [operation for operation in OPERATIONS if operation[0] != "GET"]
OF_ONE = [operation for operation in OPERATIONS if operation[1].startswith(ONE)]


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
    one_for_all.alerts.failure = None
    for kept in ("alerts", "fires", "explanations", "calls"):
        getattr(one_for_all.alerts, kept).clear()
    return one_for_all


async def make(world: Any, **changes: Any) -> Any:
    response = await world.http.post(ALL, json={**NEW, **changes}, headers=world.sign_in("42"))
    assert response.status_code == 200, response.text
    return response.json()


def kept(world: Any) -> list[tuple[int, str, str]]:
    return [(alert.type, alert.instrument, alert.price) for alert in world.alerts.alerts["42"]]


# --- the documents' examples --------------------------------------------------------------------------------------


async def test_a_new_alert_is_bare(running: Any) -> None:
    made = await make(running)

    assert made == {
        "id": made["id"],
        "type": "buy",
        "symbol": "AAPL",
        "instrument": "NASDAQ:AAPL",
        "price": 150,
        "created_at": "2026-04-07T09:00:00Z",
        "updated_at": None,
        "fired_at": None,
        "fired_price": None,
        "source": None,
        "as_of": None,
        "freshness": None,
        "note": None,
        "expires_at": None,
        "is_expired": False,
    }


async def test_alerts_are_listed_by_type(running: Any) -> None:
    buy = await make(running)
    sell = await make(running, type="sell", symbol="MSFT", price=450.00)

    response = await running.http.get(ALL, headers=running.sign_in("42"))

    assert response.json() == {"buy": [buy], "sell": [sell]}
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


async def test_an_update_answers_the_alert_itself(running: Any) -> None:
    made = await make(running)

    response = await running.http.put(ONE, json={"price": 155.00}, headers=running.sign_in("42"))

    assert response.json() == {**made, "price": 155, "updated_at": "2026-04-07T09:00:00Z"}
    assert '"price":155.0,' in response.text


async def test_a_deleted_alert_is_gone(running: Any) -> None:
    await make(running)
    headers = running.sign_in("42")

    first, second = [await running.http.delete(ONE, headers=headers) for _ in range(2)]

    assert first.content == b'{"message":"Alert for AAPL deleted successfully"}'
    assert second.status_code == 404
    assert running.error_of(second)["message"] == "Alert not found"


@pytest.mark.parametrize(("query", "deleted", "left"), [("", 3, []), ("?type=buy", 2, [2]), ("?type=sell", 1, [1, 1])])
async def test_all_or_all_of_a_type_are_deleted(running: Any, query: str, deleted: int, left: list[int]) -> None:
    await make(running)
    await make(running, symbol="MSFT")
    await make(running, type="sell")

    response = await running.http.delete(ALL + query, headers=running.sign_in("42"))

    assert response.json() == {"message": "All alerts deleted successfully", "deleted": deleted}
    assert [each[0] for each in kept(running)] == left


@pytest.mark.parametrize(
    "query", ["symbol=NSE:RELIANCE", "Type=sell", "type[]=sell", "_=1", "type=buy&symbol=AAPL", "symbol=A&symbol=B"]
)
async def test_a_name_that_it_does_not_know_deletes_nothing(running: Any, query: str) -> None:
    await make(running)
    unknown = next(name for name in ("symbol", "Type", "type[]", "_") if f"{name}=" in query)

    response = await running.http.delete(f"{ALL}?{query}", headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"] == f"Unknown parameter: {unknown} (known: type)"
    assert len(kept(running)) == 1


# --- symbols and types in paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        ("AAPL", "aapl"),
        ("AAPL", "NASDAQ:AAPL"),
        ("AAPL", "NASDAQ%3Aaapl"),
        ("NSE:TCS", "NSE:TCS"),
        ("NSE:M&M", "NSE:M%26M"),
        ("NSE:M&M", "nse%3Am%26m"),
        ("NSE:M&M", "NSE:M&M"),
        ("NSE:BAJAJ-AUTO", "NSE:BAJAJ-AUTO/"),
    ],
)
async def test_any_form_of_a_symbol_finds_its_alert(running: Any, symbol: str, path: str) -> None:
    await make(running, symbol=symbol)
    headers, address = running.sign_in("42"), f"{ALL}/buy/{path}"

    explained = await running.http.get(f"{address.rstrip('/')}/explain", headers=headers)
    updated = await running.http.put(address, json={"price": 1}, headers=headers)
    deleted = await running.http.delete(address, headers=headers)

    assert explained.json()["alert"]["symbol"] == updated.json()["symbol"] == symbol
    assert deleted.json() == {"message": f"Alert for {symbol} deleted successfully"}


@pytest.mark.parametrize("alert_type", ["hold", "BUY", "Buy", "buy,sell", "1", "%20buy"])
@pytest.mark.parametrize("operation", OF_ONE)
async def test_another_type_is_400(running: Any, alert_type: str, operation: tuple[str, str, Any]) -> None:
    method, path, body = operation
    address = path.replace("/buy/", f"/{alert_type}/")

    response = await running.http.request(method, address, json=body, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"] == "alert_type: must be 'buy' or 'sell'"
    assert running.alerts.calls == []


@pytest.mark.parametrize("query", ["?type=hold", "?type=", "?type=BUY", "?type=buy,sell", "?type=sell&type=buy"])
async def test_alerts_of_no_type_are_not_deleted(running: Any, query: str) -> None:
    await make(running)

    response = await running.http.delete(ALL + query, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("type: ")
    assert len(kept(running)) == 1


@pytest.mark.parametrize("symbol", ["A%20B", "A" * 40, "%3Cb%3E", "A:B:C"])
@pytest.mark.parametrize("operation", OF_ONE)
async def test_what_can_be_no_symbol_is_400(running: Any, symbol: str, operation: tuple[str, str, Any]) -> None:
    method, path, body = operation
    address = path.replace("/AAPL", f"/{symbol}")

    response = await running.http.request(method, address, json=body, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("symbol: ")


# --- notes and ends -----------------------------------------------------------------------------------------------


async def test_a_note_and_an_end_are_kept_until_they_are_changed(running: Any) -> None:
    made = await make(running, note="for the car", expires_at=LATER)
    headers = running.sign_in("42")

    told = [
        (await running.http.put(ONE, json={"price": 1, **changes}, headers=headers)).json()
        for changes in ({}, {"note": "for a boat", "expires_at": "2027-01-01t00:00:00.5z"}, {"note": None})
    ]
    await make(running, note="again")
    again = await running.http.put(ONE, json={"price": 1, "note": ""}, headers=headers)

    assert (made["note"], made["expires_at"]) == ("for the car", "2026-12-31T18:29:59Z")
    assert [(each["note"], each["expires_at"]) for each in told] == [
        ("for the car", "2026-12-31T18:29:59Z"),
        ("for a boat", "2027-01-01T00:00:00.500000Z"),
        (None, "2027-01-01T00:00:00.500000Z"),
    ]
    assert (again.json()["note"], again.json()["expires_at"]) == (None, None)


async def test_setting_an_alert_again_replaces_its_note_and_end(running: Any) -> None:
    await make(running, note="for the car", expires_at=LATER)

    again = await make(running, note=None, expires_at=None)

    assert (again["note"], again["expires_at"]) == (None, None)


@pytest.mark.parametrize("note", ["x", "x" * 500, "é" * 500, "🚗" * 500, " for the car "])
async def test_a_note_may_be_any_line(running: Any, note: str) -> None:
    assert (await make(running, note=note))["note"] == note


@pytest.mark.parametrize(
    "changes",
    [
        {"note": "x" * 501},
        {"note": 5},
        {"note": ["x"]},
        {"expires_at": "tomorrow"},
        {"expires_at": ""},
        {"expires_at": 1893456000},
        {"expires_at": "2030-01-01"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"expires_at": "2030-01-01 00:00:00Z"},
        {"expires_at": "2030-01-01T00:00Z"},
        {"expires_at": "2030-02-30T00:00:00Z"},
        {"expires_at": "2030-01-01T00:00:00+25:00"},
        {"expires_at": "2030-01-01T00:00:60Z"},
        {"expires_at": "0001-01-01T00:00:00+23:59"},
        {"expires_at": "9999-12-31T23:59:59-23:59"},
        {"expires_at": "٢٠٣٠-01-01T00:00:00Z"},
        {"end": LATER},
    ],
)
async def test_a_bad_note_or_end_is_named(running: Any, changes: dict[str, Any]) -> None:
    await make(running, price=1)
    headers = running.sign_in("42")

    made = await running.http.post(ALL, json={**NEW, **changes}, headers=headers)
    changed = await running.http.put(ONE, json={"price": 155, **changes}, headers=headers)

    for response in (made, changed):
        assert response.status_code == 400
        assert next(iter(changes)) in running.error_of(response)["message"]
    assert [each[2] for each in kept(running)] == ["1"]


async def test_an_end_in_the_past_is_refused(running: Any) -> None:
    past = {"expires_at": "2026-04-07T09:00:00Z"}

    response = await running.http.post(ALL, json={**NEW, **past}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"] == "An alert expires later than now"


async def test_an_empty_note_is_none_to_set_and_an_end_cannot_be_removed(running: Any) -> None:
    await make(running, expires_at=LATER)
    headers = running.sign_in("42")

    made = await running.http.post(ALL, json={**NEW, "note": ""}, headers=headers)
    changed = await running.http.put(ONE, json={"price": 1, "expires_at": None}, headers=headers)

    assert running.error_of(made)["message"] == "note: must have at least 1 character"
    assert running.error_of(changed)["message"].startswith("expires_at: must be a moment")


@pytest.mark.parametrize("price", [0, -1, "155", True, None, 10**13, 1e-9, [155]])
async def test_a_bad_price_changes_nothing(running: Any, price: Any) -> None:
    await make(running, price=1)

    response = await running.http.put(ONE, json={"price": price}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("price: must be")
    assert [each[2] for each in kept(running)] == ["1"]


@pytest.mark.parametrize(
    ("body", "message"), [({}, "Missing required field: price"), ({"price": 1, "symbol": "X"}, "Unknown field: symbol")]
)
async def test_a_change_needs_a_price_and_moves_nothing(running: Any, body: dict[str, Any], message: str) -> None:
    response = await running.http.put(ONE, json=body, headers=running.sign_in("42"))

    assert running.error_of(response)["message"] == message


async def test_one_alert_too_many_is_400(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.alerts, "max_alerts", 1)
    await make(running)

    response = await running.http.post(ALL, json={**NEW, "symbol": "MSFT"}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["code"] == "INVALID_REQUEST"


# --- history ------------------------------------------------------------------------------------------------------


def tick(
    price: float, sequence: int, freshness: quotes_pb2.Freshness.ValueType | None = quotes_pb2.FRESHNESS_LIVE
) -> pb.EvaluatedTick:
    made = pb.EvaluatedTick(
        price=price,
        source="zerodha",
        publisher_id="kite",
        epoch=1_775_552_400_000_000,
        shard=3,
        sequence=sequence,
        freshness=freshness,
    )
    made.at.FromDatetime(datetime(2026, 4, 7, 9, 0, sequence, 250_000, tzinfo=UTC))
    return made


def fire(world: Any, **fields: Any) -> pb.Fire:
    known = {
        "alert_id": "7529857229966972436",
        "generation": 1,
        "type": pb.ALERT_TYPE_BUY,
        "instrument": "NASDAQ:AAPL",
        "symbol": "AAPL",
        "price": "150.10",
        "tick": tick(150.05, 8),
        "latency_milliseconds": 12.345678,
    }
    fired = pb.Fire(**{**known, **fields})
    fired.fired_at.CopyFrom(fired.tick.at)
    fired.committed_at.FromDatetime(datetime(2026, 4, 7, 9, 0, 8, 262_345, tzinfo=UTC))
    world.alerts.fires.setdefault("42", []).append(fired)
    return fired


async def test_a_fire_comes_with_its_receipt(running: Any) -> None:
    fired = fire(running, note="for the car", before=tick(150.2, 7, None))
    event = fired.deliveries.add(channel="event", state="sent", attempts=1, message_id="7529857229966972436:1")
    event.sent_at.FromDatetime(datetime(2026, 4, 7, 9, 0, 9, tzinfo=UTC))
    fired.deliveries.add(channel="email", state="skipped", reason="unsubscribed", message_id="<alert-7-1@x.example>")

    response = await running.http.get(HISTORY, headers=running.sign_in("42"))

    provenance = {"source": "zerodha", "publisher_id": "kite", "epoch": 1_775_552_400_000_000, "shard": 3}
    assert response.json() == {
        "fires": [
            {
                "alert_id": "7529857229966972436",
                "generation": 1,
                "type": "buy",
                "symbol": "AAPL",
                "instrument": "NASDAQ:AAPL",
                "price": 150.1,
                "fired_at": "2026-04-07T09:00:08.250000Z",
                "committed_at": "2026-04-07T09:00:08.262345Z",
                "latency_ms": 12.346,
                "crossed_during_gap": False,
                "note": "for the car",
                "tick": {
                    "price": 150.05,
                    "at": "2026-04-07T09:00:08.250000Z",
                    "freshness": "live",
                    **provenance,
                    "sequence": 8,
                },
                "before": {
                    "price": 150.2,
                    "at": "2026-04-07T09:00:07.250000Z",
                    "freshness": None,
                    **provenance,
                    "sequence": 7,
                },
                "deliveries": [
                    {
                        "channel": "event",
                        "state": "sent",
                        "reason": None,
                        "attempts": 1,
                        "sent_at": "2026-04-07T09:00:09Z",
                        "message_id": "7529857229966972436:1",
                    },
                    {
                        "channel": "email",
                        "state": "skipped",
                        "reason": "unsubscribed",
                        "attempts": 0,
                        "sent_at": None,
                        "message_id": "<alert-7-1@x.example>",
                    },
                ],
            }
        ],
        "next_cursor": None,
    }
    assert response.headers["cache-control"] == "no-store"


async def test_what_a_fire_lacks_is_null(running: Any) -> None:
    fire(running, crossed_during_gap=True)

    (fired,) = (await running.http.get(HISTORY, headers=running.sign_in("42"))).json()["fires"]

    assert (fired["note"], fired["before"], fired["deliveries"], fired["crossed_during_gap"]) == (None, None, [], True)


async def test_who_has_no_fires_has_an_empty_list(running: Any) -> None:
    response = await running.http.get(HISTORY, headers=running.sign_in("42"))

    assert response.content == b'{"fires":[],"next_cursor":null}'


async def test_the_history_is_read_in_portions(running: Any) -> None:
    for generation in range(1, 26):
        fire(running, generation=generation)
    headers = running.sign_in("42")

    usual = (await running.http.get(HISTORY, headers=headers)).json()
    rest = await running.http.get(HISTORY, params={"limit": 50, "cursor": usual["next_cursor"]}, headers=headers)

    assert [each["generation"] for each in usual["fires"]] == list(range(1, 21))
    assert [each["generation"] for each in rest.json()["fires"]] == list(range(21, 26))
    assert rest.json()["next_cursor"] is None


@pytest.mark.parametrize("limit", ["0", "51", "-1", "1.0", "1e1", "", " 5", "+5", "05", "five", "\u0665", "9" * 400])
async def test_a_limit_outside_1_to_50_is_400(running: Any, limit: str) -> None:
    response = await running.http.get(HISTORY, params={"limit": limit}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("limit: ")
    assert running.alerts.calls == []


@pytest.mark.parametrize("cursor", ["", "nonsense", "x" * 65])
async def test_a_cursor_of_nobody_is_400(running: Any, cursor: str) -> None:
    response = await running.http.get(HISTORY, params={"cursor": cursor}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert "cursor" in running.error_of(response)["message"]


# --- explaining ---------------------------------------------------------------------------------------------------


async def test_an_explanation_says_what_was_evaluated_and_what_was_not(running: Any) -> None:
    made = await make(running)
    told = pb.ExplainAlertResponse(state="armed", closest=tick(150.2, 7), sentence="Nothing came near enough.")
    for stretches, reason in ((told.evaluated, ""), (told.not_evaluated, "stopped")):
        stretch = stretches.add(reason=reason)
        stretch.from_at.FromDatetime(datetime(2026, 4, 7, 9, 0, tzinfo=UTC))
        stretch.to_at.FromDatetime(datetime(2026, 4, 7, 9, 1, tzinfo=UTC))
    running.alerts.explanations[made["id"]] = told

    response = await running.http.get(EXPLAIN, headers=running.sign_in("42"))

    stretch_told = {"from": "2026-04-07T09:00:00Z", "to": "2026-04-07T09:01:00Z"}
    assert response.json() == {
        "alert": made,
        "state": "armed",
        "evaluated": [stretch_told],
        "not_evaluated": [{**stretch_told, "reason": "stopped"}],
        "closest": {
            "price": 150.2,
            "at": "2026-04-07T09:00:07.250000Z",
            "source": "zerodha",
            "freshness": "live",
            "publisher_id": "kite",
            "epoch": 1_775_552_400_000_000,
            "shard": 3,
            "sequence": 7,
        },
        "sentence": "Nothing came near enough.",
    }
    assert response.headers["cache-control"] == "no-store"


async def test_an_alert_that_has_seen_no_tick_is_explained(running: Any) -> None:
    await make(running)

    body = (await running.http.get(EXPLAIN, headers=running.sign_in("42"))).json()

    assert (body["evaluated"], body["not_evaluated"], body["closest"]) == ([], [], None)
    assert body["sentence"]


# --- whose they are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_without_a_token_there_is_nothing(running: Any, method: str, path: str, body: Any) -> None:
    response = await running.http.request(method, path, json=body)

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "AUTH_REQUIRED"
    assert running.alerts.calls == []


@pytest.mark.parametrize(
    ("method", "path", "body"), [*OPERATIONS, ("DELETE", f"{ALL}/hold/AAPL", None), ("GET", f"{HISTORY}?limit=0", None)]
)
async def test_under_anothers_id_everything_is_403(running: Any, method: str, path: str, body: Any) -> None:
    await make(running)
    running.alerts.calls.clear()

    response = await running.http.request(method, path, json=body, headers=running.sign_in("43"))

    assert response.status_code == 403
    assert running.error_of(response)["message"] == "You can only access your own data"
    assert running.alerts.calls == []


@pytest.mark.parametrize(("method", "path", "body"), OF_ONE)
async def test_anothers_alert_is_unknown_under_ones_own_id(running: Any, method: str, path: str, body: Any) -> None:
    await make(running)

    response = await running.http.request(
        method, path.replace("/42/", "/me/"), json=body, headers=running.sign_in("43")
    )

    assert response.status_code == 404
    assert running.error_of(response)["code"] == "NOT_FOUND"
    assert running.error_of(response)["message"] == "Alert not found"
    assert len(kept(running)) == 1


async def test_nobody_deletes_or_reads_anybody_elses(running: Any) -> None:
    await make(running)
    fire(running)
    other = running.sign_in("43")

    deleted = await running.http.delete("/api/alerts/me", headers=other)
    history = await running.http.get("/api/alerts/me/history", headers=other)
    saying_whose = await running.http.delete("/api/alerts/me?user_id=42", headers=other)

    assert (deleted.json()["deleted"], history.json()["fires"]) == (0, [])
    assert saying_whose.status_code == 400
    assert len(kept(running)) == 1


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
async def test_a_cookie_alone_needs_the_csrf_token(running: Any, method: str, path: str, body: Any) -> None:
    await make(running)
    await running.http.post("/api/auth/register", json={"email": "user@example.com", "password": "correct horse"})

    without, right = await running.by_cookie(method, path, body)

    assert (without.status_code, right.status_code) == (403, 200)
    assert "X-CSRF-Token" in running.error_of(without)["message"]


# --- services that are away, and the stream -----------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_only_reads_are_tried_again(running: Any, make_refusal: Any, operation: tuple[str, str, Any]) -> None:
    method, path, body = operation
    running.alerts.failure = make_refusal(Code.UNAVAILABLE, "INSTRUMENTS_UNAVAILABLE", "try again shortly")

    response = await running.http.request(method, path, json=body, headers=running.sign_in("42"))

    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert len(running.alerts.calls) == (3 if method == "GET" else 1)


async def test_a_change_that_others_made_at_the_same_moment_is_503(running: Any, make_refusal: Any) -> None:
    running.alerts.failure = make_refusal(Code.ABORTED, "ALERT_CHANGED", "the alert was changed; try again")

    response = await running.http.put(ONE, json={"price": 1}, headers=running.sign_in("42"))

    assert response.status_code == 503
    assert running.alerts.calls == ["UpdateAlert"]


async def test_a_stream_tells_of_a_fire_as_the_list_does_but_for_the_note(running: Any) -> None:
    made = await make(running, note="for the car", expires_at=LATER)
    (alert,) = running.alerts.alerts["42"]
    alert.fired_at.FromDatetime(datetime(2026, 4, 7, 9, 1, tzinfo=UTC))
    alert.fired_price = 149.5
    headers = running.sign_in("42")
    listed = await running.http.get(ALL, headers=headers)

    address = "/api/stream?symbols=NSE:TCS"
    async with asyncio.timeout(5), running.http.stream("GET", address, headers=headers) as response:
        lines = response.aiter_lines()
        while not (await anext(lines)).startswith("event: snapshot"):
            pass
        event = events_pb2.AlertFired(alert=alert)
        event.alert.ClearField("note")
        await running.publish("events.alerts.fired", event.SerializeToString())
        while await anext(lines) != "event: alert":
            pass
        told = await anext(lines)

    (fired,) = listed.json()["buy"]
    assert {**json.loads(told.removeprefix("data: ")), "note": "for the car"} == fired
    assert '"note"' not in told
    assert (fired["note"], fired["fired_price"], fired["id"]) == ("for the car", 149.5, made["id"])
