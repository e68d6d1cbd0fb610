"""`GET /api`: the InvestAgent document's groups and names, and every operation once."""

import json
import re
from typing import Any

import pytest

from gateway.app import create_api
from gateway.pages.listing import list_endpoints
from gateway.pages.operations import Field, Operation, read_operations

API = create_api()
OPERATIONS = read_operations(json.loads(API.state.openapi_text))
LISTED: dict[str, Any] = json.loads(API.state.documents.information.text)
# What the document lists.
DOCUMENTED = {
    "stocks": {
        "price": "/api/stock/price/<>",
        "price_bulk": "/api/stock/price/bulk",
        "aftermarket_prices": "/api/stock/after-market-price",
        "historical": "/api/stock/historical/<>",
        "historical_light": "/api/stock/historical-light/<>",
        "historical_chart_5min": "/api/stock/historical-chart/5min/<>",
        "profile": "/api/stock/profile/<>",
        "financials": "/api/stock/financials/<>",
        "aftermarket_quote": "/api/stock/aftermarket-quote/<>",
        "price_change": "/api/stock/price-change/<>",
        "ratings": "/api/stock/ratings/<>",
        "list": "/api/stock/list/<>",
    },
    "earnings": {"calendar": "/api/earnings"},
    "forex": {
        "quote": "/api/forex/quote/<>",
        "quotes": "/api/forex/quotes",
        "historical": "/api/forex/historical/<>",
    },
    "news": {
        "latest": "/api/news/latest",
        "stock_news": "/api/news/stock/<>",
        "press_releases": "/api/news/press-releases",
    },
    "exchanges": {
        "hours": "/api/exchange/hours/<>",
        "all_hours": "/api/exchange/hours",
        "list": "/api/exchanges",
        "exchanges_list": "/api/exchanges/list",
    },
    "indices": {"constituents": "/api/index/constituents/<>"},
    "treasury": {"rates": "/api/treasury/rates"},
    "auth": {
        "login": "/api/auth/login (POST)",
        "user": "/api/auth/user/<>",
        "logout": "/api/auth/logout (POST)",
    },
    "watchlists": {
        "get_all_watchlists": "/api/watchlists/<>",
        "create_watchlist": "/api/watchlists/<> (POST)",
        "get_watchlist": "/api/watchlist/<>/<>",
        "update_watchlist": "/api/watchlist/<>/<> (POST)",
        "delete_watchlist": "/api/watchlist/<>/<> (DELETE)",
    },
    "portfolios": {
        "get_all_portfolios": "/api/portfolios/<>",
        "create_portfolio": "/api/portfolios/<> (POST)",
        "edit_portfolio": "/api/portfolios/<>/<> (PUT)",
        "delete_portfolio": "/api/portfolios/<>/<> (DELETE)",
        "add_update_stock": "/api/portfolios/<>/<>/stock (POST)",
        "remove_stock": "/api/portfolios/<>/<>/stock/<> (DELETE)",
    },
    "alerts": {
        "get_alerts": "/api/alerts/<>",
        "add_alert": "/api/alerts/<> (POST)",
        "update_alert": "/api/alerts/<>/<>/<> (PUT)",
        "delete_alert": "/api/alerts/<>/<>/<> (DELETE)",
        "delete_all_alerts": "/api/alerts/<> (DELETE)",
    },
    "email": {"send_portfolio_summary": "/api/email/portfolio-summary/<> (POST)"},
    "dividends": {"stock_dividends": "/api/stock/dividend/<>"},
}
QUERIES = {
    ("stocks", "financials"): ["type", "limit", "period"],
    ("stocks", "price"): ["symbols", "long"],
    ("indices", "constituents"): ["format", "include_metadata"],
    ("treasury", "rates"): ["from_date", "to_date"],
}


def plain(address: str) -> str:
    """Leave the query and the parameters' names out."""
    path, _, method = address.partition(" ")
    return " ".join(part for part in (re.sub(r"<[^>]*>", "<>", path.partition("?")[0]), method) if part)


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, names in DOCUMENTED.items() for name in names])
def test_each_entry_of_the_document_is_there(group: str, name: str) -> None:
    assert plain(LISTED["endpoints"][group][name]) == DOCUMENTED[group][name]


@pytest.mark.parametrize(("entry", "names"), QUERIES.items())
def test_an_entry_shows_its_query(entry: tuple[str, str], names: list[str]) -> None:
    query = LISTED["endpoints"][entry[0]][entry[1]].partition("?")[2]
    assert sorted(part.partition("=")[0] for part in query.split("&")) == sorted(names)


def test_every_operation_is_listed_exactly_once() -> None:
    listed = [plain(address) for members in LISTED["endpoints"].values() for address in members.values()]
    expected = [
        plain(operation.path.replace("{", "<").replace("}", ">"))
        + ("" if operation.method == "GET" else f" ({operation.method})")
        for operation in OPERATIONS
    ]
    assert sorted(listed) == sorted(expected)


def test_the_fields_are_the_documents() -> None:
    assert list(LISTED) == ["status", "message", "version", "documentation", "endpoints", "example"]
    assert LISTED["status"] == "success"
    assert LISTED["message"] == "Bourse server is running"
    assert LISTED["version"] == "0.1.0"


def operation(method: str, path: str, *parameters: Field) -> Operation:
    return Operation(method, path, "things", "", "", "open", parameters, (), "200", "application/json", None, ())


def test_what_comes_to_the_same_name_is_told_apart() -> None:
    listed = list_endpoints([operation(method, "/api/things/{id}") for method in ("GET", "PUT", "DELETE")])

    assert listed == {
        "things": {
            "things": "/api/things/<id>",
            "things_put": "/api/things/<id> (PUT)",
            "things_delete": "/api/things/<id> (DELETE)",
        }
    }


def test_a_query_shows_what_may_be_sent() -> None:
    fields = (
        Field("long", "query", "boolean", False, "", ("true", "false")),
        Field("from_date", "query", "date", False, ""),
        Field("symbols", "query", "string", False, ""),
    )
    listed = list_endpoints([operation("GET", "/api/things/latest", *fields)])

    assert listed["things"]["latest"] == (
        "/api/things/latest?long=<true|false>&from_date=<YYYY-MM-DD>&symbols=<symbols>"
    )
