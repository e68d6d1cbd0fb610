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
    with_options = {"GoogleLogIn", "IciciActivation", "Registration", "ZerodhaActivation"}
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema.get("additionalProperties") is False, name
        if name not in with_options:
            assert set(schema["required"]) == set(schema["properties"]), name


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
    }
    assert all({"bearer": []} in schemes and {"cookie": []} in schemes for schemes in protected.values())


def test_the_login_body_is_one_of_two() -> None:
    body = DOCUMENT["paths"]["/api/auth/login"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert [branch["$ref"].rsplit("/")[-1] for branch in body["oneOf"]] == ["PasswordLogIn", "GoogleLogIn"]


def test_the_body_of_a_zerodha_sync_is_one_of_two() -> None:
    body = DOCUMENT["paths"]["/api/portfolio/sync"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert [branch["$ref"].rsplit("/")[-1] for branch in body["oneOf"]] == ["ZerodhaBySecret", "ZerodhaByChecksum"]
