"""The documented operations over a real server, real gRPC and a real NATS."""

from typing import Any

import httpx
import pytest

CREDENTIALS = {"email": "user@example.com", "password": "correct horse"}
SNAPSHOT_FIELDS = {
    "nifty_price",
    "nifty_change",
    "banknifty_price",
    "banknifty_change",
    "sensex_price",
    "sensex_change",
    "signals",
    "sectors",
    "market",
    "source",
    "as_of",
    "freshness",
    "notice",
}


async def register(world: Any) -> dict[str, Any]:
    response = await world.http.post("/api/auth/register", json={**CREDENTIALS, "name": "A User"})
    assert response.status_code == 201
    world.http.cookies.clear()
    body: dict[str, Any] = response.json()
    return body


async def test_registering_opens_a_session(running: Any) -> None:
    body = await register(running)

    assert body["success"] is True
    assert body["user"] == {
        "id": 42,
        "email": "user@example.com",
        "email_verified": False,
        "name": "A User",
        "picture": None,
        "created_at": "2026-04-07T09:00:00Z",
    }
    assert body["tokens"]["access_token"] == body["access_token"]
    assert body["tokens"]["expires_in"] == 604800


async def test_a_name_is_optional(running: Any) -> None:
    response = await running.http.post("/api/auth/register", json=CREDENTIALS)

    assert response.json()["user"]["name"] is None


async def test_a_taken_address_is_400(running: Any) -> None:
    await register(running)

    response = await running.http.post("/api/auth/register", json=CREDENTIALS)

    assert response.status_code == 400
    assert running.error_of(response)["code"] == "INVALID_REQUEST"


async def test_logging_in_answers_the_superset_of_both_documents(running: Any) -> None:
    await register(running)

    response = await running.http.post("/api/auth/login", json=CREDENTIALS)

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"success", "message", "access_token", "user", "tokens"}
    assert set(body["tokens"]) == {"access_token", "refresh_token", "expires_in"}
    assert body["message"] == "Login successful"


async def test_wrong_credentials_are_401(running: Any) -> None:
    response = await running.http.post("/api/auth/login", json=CREDENTIALS)

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "INVALID_CREDENTIALS"


async def test_google_is_clearly_not_configured(running: Any) -> None:
    body = {"token": "eyJ", "user": {"id": "1", "email": "user@gmail.com", "name": "J", "picture": "https://x"}}

    response = await running.http.post("/api/auth/login", json=body)

    assert response.status_code == 503
    error = running.error_of(response)
    assert error["code"] == "UPSTREAM_UNAVAILABLE"
    assert error["message"] == "Google sign-in is not configured on this server"


@pytest.mark.parametrize("body", [{}, {**CREDENTIALS, "token": "t"}, {"user": {"id": "1"}}])
async def test_both_ways_or_neither_are_400(running: Any, body: dict[str, Any]) -> None:
    response = await running.http.post("/api/auth/login", json=body)

    assert response.status_code == 400
    assert running.error_of(response)["message"] == "Send either email and password, or Google's token"


async def test_refreshing_rotates(running: Any) -> None:
    tokens = (await register(running))["tokens"]

    first = await running.http.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    again = await running.http.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})

    assert first.json()["tokens"]["refresh_token"] != tokens["refresh_token"]
    assert again.status_code == 401
    assert running.error_of(again)["code"] == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("user_id", ["42", "me"])
async def test_ones_own_profile_is_read(running: Any, user_id: str) -> None:
    await register(running)

    response = await running.http.get(f"/api/auth/user/{user_id}", headers=running.sign_in("42"))

    assert response.json()["success"] is True
    assert response.json()["user"]["id"] == 42


async def test_anybody_elses_is_403_whether_or_not_they_exist(running: Any) -> None:
    for user_id in ("43", "nobody", "4_2"):
        response = await running.http.get(f"/api/auth/user/{user_id}", headers=running.sign_in("42"))

        assert response.status_code == 403
        assert running.error_of(response)["message"] == "You can only access your own data"


async def test_a_deleted_account_is_404(running: Any) -> None:
    response = await running.http.get("/api/auth/user/me", headers=running.sign_in("99"))

    assert response.status_code == 404


async def test_alerts_always_have_both_keys(running: Any) -> None:
    response = await running.http.get("/api/alerts/me", headers=running.sign_in())

    assert response.json() == {"buy": [], "sell": []}


async def test_an_alert_is_set_and_listed(running: Any) -> None:
    headers = running.sign_in("42")
    made = await running.http.post(
        "/api/alerts/42", headers=headers, json={"type": "buy", "symbol": "AAPL", "price": 150.10}
    )
    listed = await running.http.get("/api/alerts/me", headers=headers)

    alert = made.json()
    assert made.status_code == 200
    assert (alert["symbol"], alert["price"], alert["created_at"]) == ("AAPL", 150.1, "2026-04-07T09:00:00Z")
    assert alert["fired_at"] is None
    assert listed.json() == {"buy": [alert], "sell": []}
    assert running.alerts.alerts["42"][0].price == "150.1"


async def test_a_price_computed_in_binary_is_what_was_meant(running: Any) -> None:
    body = b'{"type": "buy", "symbol": "AAPL", "price": 157.50000000000003}'
    headers = {**running.sign_in("42"), "Content-Type": "application/json"}

    await running.http.post("/api/alerts/42", headers=headers, content=body)

    assert running.alerts.alerts["42"][0].price == "157.5"


async def test_an_alert_on_an_unknown_symbol_is_404(running: Any) -> None:
    body = {"type": "sell", "symbol": "NOPE", "price": 1}

    response = await running.http.post("/api/alerts/me", headers=running.sign_in(), json=body)

    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/api/alerts/42", "/api/auth/user/42", "/api/alerts/me"])
async def test_protected_routes_need_a_token(running: Any, path: str) -> None:
    response = await running.http.get(path)

    assert response.status_code == 401
    assert running.error_of(response)["message"] == "Valid JWT token is required"
    assert running.error_of(response)["code"] == "AUTH_REQUIRED"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_snapshot_has_every_documented_field(running: Any) -> None:
    body = (await running.http.get("/api/index/snapshot")).json()

    assert set(body) == SNAPSHOT_FIELDS
    assert body["nifty_change"] == 0.12
    assert body["sensex_price"] is None
    assert body["market"]["is_open"] is True
    assert body["market"]["as_of_ist"] == "2026-04-07T14:30:00+05:30"
    assert body["signals"][0]["direction"] == "bullish"
    assert body["signals"][1]["confidence"] is None
    assert body["sectors"][0]["change_pct"] == -1.23
    assert "not registered with SEBI" in body["notice"]


async def test_live_prices_list_what_is_unknown(running: Any) -> None:
    response = await running.http.get("/api/portfolio/live-prices?symbols=NSE:TCS,nse:infy,NOPE,NSE:TCS")

    body = response.json()
    assert [quote["symbol"] for quote in body["quotes"]] == ["NSE:TCS", "nse:infy"]
    assert body["quotes"][0]["change"] == 12.3
    assert body["quotes"][0]["change_pct"] == 0.32
    assert body["errors"] == [{"symbol": "NOPE", "code": "SYMBOL_UNKNOWN"}]


async def test_live_prices_of_nothing_known_are_404(running: Any) -> None:
    for symbols in ("NOPE", "NOPE,NADA"):
        response = await running.http.get("/api/portfolio/live-prices", params={"symbols": symbols})

        assert response.status_code == 404


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "Missing required field: symbols"),
        ("symbols=", "symbols: must have at least 1 character"),
        ("symbols=,", "Missing required field: symbols"),
        ("symbols=" + ",".join(f"S{number}" for number in range(51)), "At most 50 symbols"),
        ("symbols=%00", "Not a symbol"),
        ("symbols=<script>", "Not a symbol: <script>"),
        ("symbols=%FF", "Not a symbol"),
        ("symbols=" + "A" * 10_001, "at most 10,000 characters"),
    ],
)
async def test_bad_symbol_lists_are_400(running: Any, query: str, message: str) -> None:
    response = await running.http.get(f"/api/portfolio/live-prices?{query}")

    assert response.status_code == 400
    assert message in running.error_of(response)["message"]


async def test_live_prices_come_from_the_board_when_it_has_them(running: Any) -> None:
    await running.tick({"NSE:TCS": 4000.5}, previous_close=3990.0)

    response = await running.http.get("/api/portfolio/live-prices?symbols=tcs")

    (quote,) = response.json()["quotes"]
    assert (quote["symbol"], quote["last_price"], quote["change"]) == ("tcs", 4000.5, 10.5)
    assert quote["freshness"] == "simulated"
    assert response.headers["x-cache"] == "HIT"
    assert response.headers["cache-control"] == "public, max-age=1"
    assert "GetQuotes" not in running.market.calls


async def test_both_ways_to_a_price_answer_the_same_fields(running: Any) -> None:
    from_market = (await running.http.get("/api/portfolio/live-prices?symbols=NSE:TCS")).json()
    await running.tick({"NSE:TCS": 4000.5})
    from_board = (await running.http.get("/api/portfolio/live-prices?symbols=NSE:TCS")).json()

    assert set(from_market) == set(from_board)
    assert list(from_market["quotes"][0]) == list(from_board["quotes"][0])


async def test_a_slash_at_the_end_is_tolerated(running: Any) -> None:
    assert (await running.http.get("/api/index/snapshot/")).status_code == 200
    assert (await running.http.post("/api/auth/register/", json=CREDENTIALS)).status_code == 201
    assert (await running.http.get("/api/alerts/me/", headers=running.sign_in())).status_code == 200


async def test_head_is_get_without_a_body(running: Any) -> None:
    for path in ("/api/index/snapshot", "/api/health", "/livez", "/docs"):
        got = await running.http.get(path)
        head = await running.http.head(path)

        assert head.status_code == got.status_code
        assert head.content == b""
        assert head.headers["content-type"] == got.headers["content-type"]


async def test_request_ids_are_echoed_and_passed_on(running: Any) -> None:
    response = await running.http.get("/api/alerts/me", headers={**running.sign_in(), "X-Request-ID": "trace-1"})

    assert response.headers["x-request-id"] == "trace-1"
    assert running.alerts.request_ids[-1] == "trace-1"


async def test_insane_request_ids_are_replaced(running: Any) -> None:
    response = await running.http.get("/livez", headers={"X-Request-ID": "a b"})

    assert response.headers["x-request-id"] != "a b"


async def test_security_headers_stand_on_every_answer(running: Any) -> None:
    for path in ("/api/index/snapshot", "/api/health", "/nope", "/docs"):
        headers: httpx.Headers = (await running.http.get(path)).headers

        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


async def test_large_answers_are_compressed_when_asked_for(running: Any) -> None:
    response = await running.http.get("/openapi.json", headers={"Accept-Encoding": "gzip"})

    assert response.headers["content-encoding"] == "gzip"
    assert response.json()["info"]["title"] == "Bourse"


async def test_the_docs_page_asks_no_other_host(running: Any) -> None:
    response = await running.http.get("/docs")

    assert response.status_code == 200
    assert "http://" not in response.text
    assert "https://" not in response.text
    assert "script-src 'sha256-" in response.headers["content-security-policy"]
