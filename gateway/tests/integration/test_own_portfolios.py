"""Portfolios entered by hand: every operation over a real server and real gRPC."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bourse.portfolio.v1 import manual_portfolios_pb2 as pb
from chassis.errors import Code

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL, ONE, STOCK = "/api/portfolios/42", "/api/portfolios/42/1", "/api/portfolios/42/1/stock"
AAPL = {"symbol": "AAPL", "quantity": 10, "total_cost": 1500.00}
THREE = {
    "stocks": [
        AAPL,
        {"symbol": "MSFT", "quantity": 5, "total_cost": 1200.00},
        {"symbol": "GOOGL", "quantity": 2, "total_cost": 800.00},
    ]
}
OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", ALL, None),
    ("POST", ALL, {"name": "Tech Portfolio"}),
    ("PUT", ONE, {"name": "Updated Portfolio Name"}),
    ("DELETE", ONE, None),
    ("POST", STOCK, AAPL),
    ("DELETE", f"{STOCK}/AAPL", None),
]
UNSAFE = [operation for operation in OPERATIONS if operation[0] != "GET"]
OF_ONE = [operation for operation in OPERATIONS if operation[1] != ALL]
NO_IDS = ["0", "-1", "+1", "01", "1.0", "1e0", "1_0", "abc", "٣", "%201", "99999999999999999999", "9223372036854775808"]
JSON_TYPE = {"Content-Type": "application/json"}


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
    one_for_all.portfolio.own.portfolios.clear()
    one_for_all.portfolio.own.puts.clear()
    return one_for_all


def own(world: Any, user_id: str = "42", *, portfolio_id: int = 1, name: str = "Growth Portfolio") -> Any:
    portfolio = pb.ManualPortfolio(id=portfolio_id, name=name)
    portfolio.stocks.add(symbol="AAPL", instrument="NASDAQ:AAPL", quantity="10", total_cost="1500.00")
    world.portfolio.own.portfolios.setdefault(user_id, []).append(portfolio)
    return portfolio


def rows(world: Any) -> list[tuple[str, str, str]]:
    (portfolio,) = world.portfolio.own.portfolios["42"]
    return [(stock.symbol, stock.quantity, stock.total_cost) for stock in portfolio.stocks]


# --- the documents' examples --------------------------------------------------------------------------------------


async def test_the_documented_list_is_a_bare_array(running: Any) -> None:
    own(running)

    response = await running.http.get(ALL, headers=running.sign_in("42"))

    assert response.content == (
        b'[{"id":1,"name":"Growth Portfolio","stocks":'
        b'[{"symbol":"AAPL","quantity":10,"total_cost":1500.0,"instrument":"NASDAQ:AAPL"}]}]'
    )
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


async def test_without_portfolios_the_array_is_empty(running: Any) -> None:
    assert (await running.http.get(ALL, headers=running.sign_in("42"))).content == b"[]"


async def test_a_new_portfolio_is_bare_and_empty(running: Any) -> None:
    response = await running.http.post(ALL, json={"name": "Tech Portfolio"}, headers=running.sign_in("42"))

    (made,) = running.portfolio.own.portfolios["42"]
    assert response.status_code == 200
    assert response.json() == {"id": made.id, "name": "Tech Portfolio", "stocks": []}


async def test_a_portfolio_is_renamed(running: Any) -> None:
    own(running)

    response = await running.http.put(ONE, json={"name": "Updated Portfolio Name"}, headers=running.sign_in("42"))

    assert response.json() == {
        "id": 1,
        "name": "Updated Portfolio Name",
        "stocks": [{"symbol": "AAPL", "quantity": 10, "total_cost": 1500, "instrument": "NASDAQ:AAPL"}],
    }


async def test_a_deleted_portfolio_is_gone(running: Any) -> None:
    own(running)
    headers = running.sign_in("42")

    first, second = [await running.http.delete(ONE, headers=headers) for _ in range(2)]

    assert first.content == b'{"success":true}'
    assert second.status_code == 404
    assert running.error_of(second) | {"request_id": ""} == {
        "error": "Resource not found",
        "message": "Portfolio not found",
        "code": "NOT_FOUND",
        "request_id": "",
    }


async def test_one_stock_is_put(running: Any) -> None:
    own(running).ClearField("stocks")

    response = await running.http.post(STOCK, json=AAPL, headers=running.sign_in("42"))

    assert response.content == (
        b'{"success":true,"message":"Successfully processed 1 stock(s)","portfolio":'
        b'{"id":1,"name":"Growth Portfolio","stocks":'
        b'[{"symbol":"AAPL","quantity":10,"total_cost":1500.0,"instrument":"NASDAQ:AAPL"}]}}'
    )


async def test_the_documented_stocks_are_put_at_once(running: Any) -> None:
    own(running)

    response = await running.http.post(STOCK, json=THREE, headers=running.sign_in("42"))

    body = response.json()
    assert body["message"] == "Successfully processed 3 stock(s)"
    assert body["portfolio"] == {
        "id": 1,
        "name": "Growth Portfolio",
        "stocks": [{**row, "instrument": f"NASDAQ:{row['symbol']}"} for row in THREE["stocks"]],
    }


async def test_a_stock_is_removed(running: Any) -> None:
    own(running)
    headers = running.sign_in("42")

    first, second = [await running.http.delete(f"{STOCK}/aapl", headers=headers) for _ in range(2)]

    assert first.content == b'{"message":"Stock AAPL removed from portfolio"}'
    assert second.status_code == 404
    assert running.error_of(second)["message"] == "There is no AAPL in portfolio 1"


@pytest.mark.parametrize("symbol", ["NSE:M%26M", "nse:m%26m", "NSE%3AM&M"])
async def test_a_symbol_in_the_path_may_be_escaped_and_have_its_exchange(running: Any, symbol: str) -> None:
    own(running)
    headers = running.sign_in("42")
    await running.http.post(STOCK, json={**AAPL, "symbol": "NSE:M&M"}, headers=headers)

    response = await running.http.delete(f"{STOCK}/{symbol}", headers=headers)

    assert response.json() == {"message": "Stock NSE:M&M removed from portfolio"}
    assert [symbol for symbol, *_ in rows(running)] == ["AAPL"]


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kept", "shown"),
    [
        ("10", "10", "10"),
        ("1500.00", "1500.00", "1500"),
        ("0.1", "0.1", "0.1"),
        ("0.00000001", "1E-8", "1e-8"),
        ("1e3", "1E+3", "1000"),
        ("123456789.12345678", "123456789.12345678", "123456789.12345678"),
        ("999999999999", "999999999999", "999999999999"),
        # What clients compute in binary: seventeen digits, and digits that are rounded away.
        ("999999999999.9999", "999999999999.9999", "999999999999.9999"),
        ("33333333.333333332", "33333333.33333333", "33333333.33333333"),
        ("0.30000000000000004", "0.30000000", "0.3"),
    ],
)
async def test_numbers_travel_as_they_were_written(running: Any, written: str, kept: str, shown: str) -> None:
    own(running)
    body = f'{{"symbol": "AAPL", "quantity": {written}, "total_cost": {written}}}'

    response = await running.http.post(STOCK, content=body, headers={**running.sign_in("42"), **JSON_TYPE})

    assert response.status_code == 200, response.text
    assert rows(running) == [("AAPL", kept, kept)]
    assert f'"quantity":{shown},' in response.text


@pytest.mark.parametrize("exponent", ["999999", "999999999", "999999999999999999"])
async def test_what_is_no_amount_is_judged_by_its_service(running: Any, exponent: str) -> None:
    own(running)
    body = f'{{"symbol": "AAPL", "quantity": -1e{exponent}, "total_cost": 0}}'

    response = await running.http.post(STOCK, content=body, headers={**running.sign_in("42"), **JSON_TYPE})

    assert response.status_code == 400
    assert running.error_of(response)["message"] == (
        f"Nothing was changed: row 1 (AAPL): quantity '-1E+{exponent}' is not above 0"
    )


@pytest.mark.parametrize("field", ["quantity", "total_cost"])
@pytest.mark.parametrize("written", ["999999999999.99999999", "100000000000.00000001", "123456789012.12345678"])
async def test_what_could_not_be_told_back_is_refused(running: Any, field: str, written: str) -> None:
    own(running)
    amounts = {"quantity": "1", "total_cost": "1", field: written}
    body = f'{{"symbol": "AAPL", "quantity": {amounts["quantity"]}, "total_cost": {amounts["total_cost"]}}}'

    response = await running.http.post(STOCK, content=body, headers={**running.sign_in("42"), **JSON_TYPE})

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith(f"{field}: must have at most 15 significant digits")
    assert running.portfolio.calls == []


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["quantity", "total_cost"])
@pytest.mark.parametrize("value", ["10", True, False, None, [10], {"units": 10}, ""])
async def test_what_is_no_number_is_named_with_its_row(running: Any, field: str, value: Any) -> None:
    own(running)
    headers = running.sign_in("42")
    bulk = {"stocks": [THREE["stocks"][1], THREE["stocks"][2], {**AAPL, field: value}]}

    one = await running.http.post(STOCK, json={**AAPL, field: value}, headers=headers)
    many = await running.http.post(STOCK, json=bulk, headers=headers)

    assert (one.status_code, many.status_code) == (400, 400)
    assert running.error_of(one)["message"] == f"{field}: must be a number"
    assert running.error_of(many)["message"] == f"stocks.2.{field}: must be a number"
    assert running.portfolio.calls == []


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e99999999999999999999", "9" * 65, "01", ".5"])
async def test_what_json_has_no_number_for_is_400(running: Any, literal: str) -> None:
    body = f'{{"symbol": "AAPL", "quantity": {literal}, "total_cost": 1}}'

    response = await running.http.post(STOCK, content=body, headers={**running.sign_in("42"), **JSON_TYPE})

    assert response.status_code == 400
    assert running.error_of(response)["code"] == "INVALID_REQUEST"
    assert running.portfolio.calls == []


async def test_every_bad_row_is_told(running: Any) -> None:
    own(running)
    bad = [{"symbol": "AAPL", "quantity": "1"}, AAPL, "MSFT", {**AAPL, "price": 1}, {**AAPL, "symbol": 5}]

    response = await running.http.post(STOCK, json={"stocks": bad}, headers=running.sign_in("42"))

    assert running.error_of(response)["message"].split("; ") == [
        "stocks.0.quantity: must be a number",
        "Missing required field: stocks.0.total_cost",
        "stocks.2: must be an object",
        "Unknown field: stocks.3.price",
        "stocks.4.symbol: must be a text",
    ]
    assert rows(running) == [("AAPL", "10", "1500.00")]


async def test_many_bad_rows_are_counted(running: Any) -> None:
    bad = [{**AAPL, "quantity": None}] * 500

    response = await running.http.post(STOCK, json={"stocks": bad}, headers=running.sign_in("42"))

    message = running.error_of(response)["message"]
    assert message.startswith("stocks.0.quantity: must be a number; stocks.1.quantity")
    assert message.endswith("; stocks.19.quantity: must be a number; and 480 more")


async def test_rows_that_the_service_refuses_are_named_and_nothing_changes(running: Any) -> None:
    own(running)
    bad = [AAPL, {**AAPL, "symbol": "aapl"}, {**AAPL, "symbol": "NOSUCH", "quantity": 0}]

    response = await running.http.post(STOCK, json={"stocks": bad}, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"] == (
        "Nothing was changed: row 2 (AAPL): it is the same stock as an earlier row; "
        "row 3 (NOSUCH): it names no known instrument, quantity '0' is not above 0"
    )
    assert rows(running) == [("AAPL", "10", "1500.00")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**THREE, **AAPL}, "Send either symbol, quantity and total_cost, or stocks, a list of them"),
        ({**THREE, "symbol": "AAPL"}, "Send either symbol, quantity and total_cost, or stocks, a list of them"),
        ({**THREE, "note": "x"}, "Unknown field: note"),
        (
            {},
            "Missing required field: symbol; Missing required field: quantity; Missing required field: total_cost",
        ),
        ({"symbol": "AAPL", "quantity": 1}, "Missing required field: total_cost"),
        ({"stocks": []}, "stocks: must have at least 1 entry"),
        ({"stocks": [AAPL] * 501}, "stocks: must have at most 500 entries"),
        ({"stocks": None}, "stocks: must be a list"),
        ({"stocks": AAPL}, "stocks: must be a list"),
        ({**AAPL, "symbol": ""}, "symbol: must have at least 1 character"),
    ],
)
async def test_a_body_of_neither_form_is_400(running: Any, body: dict[str, Any], message: str) -> None:
    response = await running.http.post(STOCK, json=body, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"] == message
    assert running.portfolio.calls == []


@pytest.mark.parametrize("body", [{}, {"name": None}, {"name": ""}, {"name": " "}, {"name": "x" * 101}, {"name": 5}])
@pytest.mark.parametrize(("method", "path"), [("POST", ALL), ("PUT", ONE)])
async def test_a_portfolio_needs_a_name(running: Any, method: str, path: str, body: dict[str, Any]) -> None:
    own(running)

    response = await running.http.request(method, path, json=body, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert "name" in running.error_of(response)["message"]
    assert [each.name for each in running.portfolio.own.portfolios["42"]] == ["Growth Portfolio"]


async def test_one_portfolio_or_stock_too_many_is_400(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.portfolio.own, "max_portfolios", 1)
    monkeypatch.setattr(running.portfolio.own, "max_stocks", 2)
    own(running)
    headers = running.sign_in("42")

    portfolio = await running.http.post(ALL, json={"name": "x"}, headers=headers)
    stocks = await running.http.post(STOCK, json=THREE, headers=headers)

    assert (portfolio.status_code, stocks.status_code) == (400, 400)
    assert running.error_of(portfolio)["message"].startswith("There are 1 portfolios")
    assert running.error_of(stocks)["message"].startswith("That makes 3 stocks")
    assert rows(running) == [("AAPL", "10", "1500.00")]


@pytest.mark.parametrize("text", NO_IDS)
@pytest.mark.parametrize("operation", OF_ONE)
async def test_what_can_be_no_id_is_404(running: Any, operation: tuple[str, str, Any], text: str) -> None:
    method, path, body = operation
    wrong = path.replace("/42/1", f"/42/{text}")

    response = await running.http.request(method, wrong, json=body, headers=running.sign_in("42"))

    assert response.status_code == 404
    assert running.error_of(response)["message"] == "Portfolio not found"
    assert running.portfolio.calls == []


async def test_the_greatest_id_is_asked_for(running: Any) -> None:
    own(running, portfolio_id=2**63 - 1)

    response = await running.http.put(
        f"/api/portfolios/me/{2**63 - 1}/", json={"name": "x"}, headers=running.sign_in("42")
    )

    assert response.json()["id"] == 2**63 - 1


@pytest.mark.parametrize("symbol", ["A%20B", "A" * 40, "%3Cb%3E", ":AAPL", "A:B:C"])
async def test_what_can_be_no_symbol_is_400(running: Any, symbol: str) -> None:
    response = await running.http.delete(f"{STOCK}/{symbol}", headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("symbol: ")


# --- whose they are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_without_a_token_there_is_nothing(running: Any, method: str, path: str, body: Any) -> None:
    response = await running.http.request(method, path, json=body)

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "AUTH_REQUIRED"
    assert running.portfolio.calls == []


@pytest.mark.parametrize(("method", "path", "body"), [*OPERATIONS, ("DELETE", "/api/portfolios/42/abc", None)])
async def test_under_anothers_id_everything_is_403(running: Any, method: str, path: str, body: Any) -> None:
    own(running)

    response = await running.http.request(method, path, json=body, headers=running.sign_in("43"))

    assert response.status_code == 403
    assert running.error_of(response)["message"] == "You can only access your own data"
    assert running.portfolio.calls == []


@pytest.mark.parametrize(("method", "path", "body"), OF_ONE)
async def test_anothers_portfolio_is_unknown_under_ones_own_id(running: Any, method: str, path: str, body: Any) -> None:
    own(running)

    response = await running.http.request(
        method, path.replace("/42/", "/me/"), json=body, headers=running.sign_in("43")
    )

    assert response.status_code == 404
    assert running.error_of(response)["message"] == "Portfolio not found"
    assert rows(running) == [("AAPL", "10", "1500.00")]


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
async def test_a_cookie_alone_needs_the_csrf_token(running: Any, method: str, path: str, body: Any) -> None:
    await running.http.post("/api/auth/register", json={"email": "user@example.com", "password": "correct horse"})
    own(running)

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
    assert "retry-after" in response.headers
    assert len(running.portfolio.calls) == (3 if method == "GET" else 1)
