"""The public API's description against the one that was agreed.

After a wanted change: `python -m gateway openapi > tests/contract/openapi.json`, and read the difference.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_api

GOLDEN = Path(__file__).parent / "openapi.json"
TEXT: str = create_api().state.openapi_text
DOCUMENT: dict[str, Any] = json.loads(TEXT)
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
DOCUMENTED = {
    "GET /",
    "GET /api",
    "POST /api/auth/register",
    "POST /api/auth/login",
    "POST /api/auth/refresh",
    "POST /api/auth/logout",
    "GET /api/auth/user/{user_id}",
    "GET /api/alerts/{user_id}",
    "POST /api/alerts/{user_id}",
    "GET /api/index/snapshot",
    "GET /api/portfolio/live-prices",
    "GET /api/stream",
    "GET /api/health",
    "POST /api/portfolio/sync",
    "POST /api/portfolio/icici-sync",
    "GET /api/portfolio/holdings",
    "GET /api/portfolio/positions",
    "GET /api/portfolio/pnl",
    "DELETE /api/portfolio/data",
    "GET /zerodha/status",
    "GET /icici/status",
    "POST /zerodha/activate",
    "POST /icici/activate",
    "GET /api/stock/price/{symbols}",
    "GET /api/stock/price/bulk",
    "GET /api/stock/historical/{symbol}",
    "GET /api/stock/historical-light/{symbol}",
    "GET /api/stock/historical-chart/5min/{symbol}",
    "GET /api/stock/profile/{symbol}",
    "GET /api/stock/financials/{symbol}",
    "GET /api/stock/aftermarket-quote/{symbol}",
    "GET /api/stock/after-market-price",
    "GET /api/stock/price-change/{symbol}",
    "GET /api/stock/dividend/{symbol}",
    "GET /api/stock/list/{exchanges}",
    "GET /api/stock/ratings/{symbol}",
    "GET /api/earnings",
    "GET /api/forex/quote/{symbol}",
    "GET /api/forex/quotes",
    "GET /api/forex/historical/{symbol}",
    "GET /api/news/latest",
    "GET /api/news/press-releases",
    "GET /api/news/stock/{symbols}",
    "GET /api/exchange/hours/{exchange}",
    "GET /api/exchange/hours",
    "GET /api/exchanges",
    "GET /api/exchanges/list",
    "GET /api/index/constituents/{index_name}",
    "GET /api/index/stock-prices/{index_name}",
    "GET /api/treasury/rates",
    "GET /api/instruments/search",
    "GET /api/instruments/{instrument_id}",
    "DELETE /api/alerts/{user_id}",
    "PUT /api/alerts/{user_id}/{alert_type}/{symbol}",
    "DELETE /api/alerts/{user_id}/{alert_type}/{symbol}",
    "GET /api/alerts/{user_id}/history",
    "GET /api/alerts/{user_id}/{alert_type}/{symbol}/explain",
    "GET /api/watchlists/{user_id}",
    "POST /api/watchlists/{user_id}",
    "GET /api/watchlist/{user_id}/{watchlist_id}",
    "POST /api/watchlist/{user_id}/{watchlist_id}",
    "DELETE /api/watchlist/{user_id}/{watchlist_id}",
    "GET /api/portfolios/{user_id}",
    "POST /api/portfolios/{user_id}",
    "PUT /api/portfolios/{user_id}/{portfolio_id}",
    "DELETE /api/portfolios/{user_id}/{portfolio_id}",
    "POST /api/portfolios/{user_id}/{portfolio_id}/stock",
    "DELETE /api/portfolios/{user_id}/{portfolio_id}/stock/{symbol}",
    "POST /api/email/portfolio-summary/{user_id}",
    "GET /api/auth/sessions",
    "DELETE /api/auth/sessions/{session_id}",
    "DELETE /api/auth/user/{user_id}",
}


def test_the_description_is_the_agreed_one() -> None:
    assert GOLDEN.read_text(encoding="utf-8") == TEXT, "run: python -m gateway openapi > tests/contract/openapi.json"


def test_every_documented_operation_is_there() -> None:
    assert {name for name, _ in OPERATIONS} >= DOCUMENTED


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_errors_are_the_envelope_and_validation_is_400(name: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"], name
    assert "422" not in operation["responses"]
    for status, response in operation["responses"].items():
        schema = next(iter(response["content"].values()))["schema"]
        assert (schema.get("$ref") == "#/components/schemas/ErrorReply") == (status >= "400")


def test_every_answer_is_exact() -> None:
    with_options = {
        "AlertChange",
        "EarningsReport",
        "GoogleLogIn",
        "GoogleUser",
        "IciciActivation",
        "NewAlert",
        "WantedPreferences",
        "Registration",
        "ZerodhaActivation",
    }
    for name, schema in DOCUMENT["components"]["schemas"].items():
        # What Google's library tells a client is its own affair.
        assert schema.get("additionalProperties") is (None if name == "GoogleUser" else False), name
        if name not in with_options:
            assert set(schema["required"]) == set(schema["properties"]), name


def test_every_example_of_an_answer_has_its_fields_and_no_others() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for example in schema.get("examples", []):
            assert set(schema["required"]) <= set(example) <= set(schema["properties"]), name


def properties_of(schema: str) -> dict[str, Any]:
    properties: dict[str, Any] = DOCUMENT["components"]["schemas"][schema].get("properties", {})
    return properties


def test_what_a_confidence_measures_is_said_where_it_is() -> None:
    signal = {name: each.get("description", "") for name, each in properties_of("Signal").items()}

    for words in ("five sessions later", "under 30 cases", "measures the simulation", "nothing of a real market"):
        assert words in " ".join(signal["confidence"].split())
    assert "too narrow" in signal["confidence_low"]
    order = " ".join(properties_of("Snapshot")["signals"]["description"].split())
    assert "by how far `confidence_low` exceeds `base_rate`" in order


@pytest.mark.parametrize("name", ["source", "as_of", "freshness"])
def test_every_price_says_what_its_provenance_means(name: str) -> None:
    # A member of an index has a source and a day of its own, and no price.
    told = {
        schema: fields[name].get("description")
        for schema in DOCUMENT["components"]["schemas"]
        if "freshness" in (fields := properties_of(schema)) and name in fields
    }

    assert len(told) > 5
    assert len(set(told.values())) == 1, told
    assert None not in told.values()


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ("Fire", ("generation", "latency_ms", "crossed_during_gap", "before", "committed_at")),
        ("Explanation", ("state", "evaluated", "not_evaluated", "closest")),
        ("HoldingsSummary", ("total_day_change", "unvalued_count", "day_unvalued_count")),
        ("Holding", ("pnl_difference", "pnl_differences", "day_change", "split_factor")),
        ("Health", ("status", "database", "nats")),
    ],
)
def test_what_does_not_explain_itself_is_described(schema: str, names: tuple[str, ...]) -> None:
    assert [name for name in names if not properties_of(schema)[name].get("description")] == []


def test_arrays_say_in_headers_where_they_come_from() -> None:
    origin = {"X-Source", "X-As-Of", "X-Freshness"}
    answers = {name: operation["responses"].get("200", {}) for name, operation in OPERATIONS}
    told = {name: set(answer.get("headers", {})) for name, answer in answers.items()}

    assert {name for name, headers in told.items() if headers >= origin} == {
        "GET /api/earnings",
        "GET /api/forex/historical/{symbol}",
        "GET /api/index/stock-prices/{index_name}",
        "GET /api/news/latest",
        "GET /api/news/press-releases",
        "GET /api/news/stock/{symbols}",
        "GET /api/stock/dividend/{symbol}",
        "GET /api/stock/financials/{symbol}",
        "GET /api/stock/historical-chart/5min/{symbol}",
        "GET /api/stock/historical-light/{symbol}",
        "GET /api/stock/historical/{symbol}",
        "GET /api/stock/price-change/{symbol}",
        "GET /api/treasury/rates",
    }
    assert {name for name, headers in told.items() if "X-Missing-Symbols" in headers} == {
        "GET /api/forex/quotes",
        "GET /api/news/stock/{symbols}",
        "GET /api/stock/after-market-price",
        "GET /api/stock/price/bulk",
        "GET /api/stock/price/{symbols}",
    }


def test_protected_operations_take_a_bearer_or_a_cookie() -> None:
    protected = {name: operation["security"] for name, operation in OPERATIONS if "security" in operation}

    assert {name for name, schemes in protected.items() if {} not in schemes} == {
        "GET /api/auth/user/{user_id}",
        "GET /api/alerts/{user_id}",
        "POST /api/alerts/{user_id}",
        "POST /api/portfolio/sync",
        "POST /api/portfolio/icici-sync",
        "GET /api/portfolio/holdings",
        "GET /api/portfolio/positions",
        "GET /api/portfolio/pnl",
        "DELETE /api/portfolio/data",
        "DELETE /api/alerts/{user_id}",
        "GET /api/alerts/{user_id}/history",
        "DELETE /api/alerts/{user_id}/{alert_type}/{symbol}",
        "PUT /api/alerts/{user_id}/{alert_type}/{symbol}",
        "GET /api/alerts/{user_id}/{alert_type}/{symbol}/explain",
        "POST /api/auth/email/verification/{user_id}",
        "GET /api/auth/sessions",
        "DELETE /api/auth/sessions/{session_id}",
        "DELETE /api/auth/user/{user_id}",
        "POST /api/email/portfolio-summary/{user_id}",
        "GET /api/email/preferences/{user_id}",
        "PUT /api/email/preferences/{user_id}",
        "GET /api/portfolios/{user_id}",
        "POST /api/portfolios/{user_id}",
        "DELETE /api/portfolios/{user_id}/{portfolio_id}",
        "PUT /api/portfolios/{user_id}/{portfolio_id}",
        "POST /api/portfolios/{user_id}/{portfolio_id}/stock",
        "DELETE /api/portfolios/{user_id}/{portfolio_id}/stock/{symbol}",
        "DELETE /api/watchlist/{user_id}/{watchlist_id}",
        "GET /api/watchlist/{user_id}/{watchlist_id}",
        "POST /api/watchlist/{user_id}/{watchlist_id}",
        "GET /api/watchlists/{user_id}",
        "POST /api/watchlists/{user_id}",
    }
    assert all({"bearer": []} in schemes and {"cookie": []} in schemes for schemes in protected.values())


def test_the_login_body_is_one_of_two() -> None:
    body = DOCUMENT["paths"]["/api/auth/login"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert [branch["$ref"].rsplit("/")[-1] for branch in body["oneOf"]] == ["PasswordLogIn", "GoogleLogIn"]


def test_the_body_of_a_zerodha_sync_is_one_of_two() -> None:
    body = DOCUMENT["paths"]["/api/portfolio/sync"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert [branch["$ref"].rsplit("/")[-1] for branch in body["oneOf"]] == ["ZerodhaBySecret", "ZerodhaByChecksum"]
