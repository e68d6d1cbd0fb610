import json
from typing import Any

import grpc
import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from grpc_status import rpc_status
from starlette.exceptions import HTTPException

from chassis.errors import Code, ServiceError
from chassis.logs import request_id
from chassis.rpc_server import status_of
from gateway.errors import (
    ApiError,
    AuthRequired,
    RateLimited,
    documented,
    envelope,
    on_http_exception,
    on_rpc_error,
    on_unexpected,
    on_validation_error,
)

REQUEST = Request({"type": "http"})


def failed_call(
    code: Code, reason: str | None, message: str = "it is so", retry_after_seconds: float | None = None
) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata()
    if reason is not None:
        error = type("Refused", (ServiceError,), {"code": code, "reason": reason})(message)
        error.retry_after_seconds = retry_after_seconds
        for key, value in rpc_status.to_status(status_of(error)).trailing_metadata:
            metadata.add(key, value)
    return grpc.aio.AioRpcError(grpc.StatusCode[code.value], grpc.aio.Metadata(), metadata, message)


@pytest.mark.parametrize(
    ("code", "reason", "answer"),
    [
        (Code.INVALID_ARGUMENT, "EMAIL_TAKEN", (400, "INVALID_REQUEST", "It is so")),
        (Code.UNAUTHENTICATED, "CREDENTIALS_INVALID", (401, "INVALID_CREDENTIALS", "Invalid credentials")),
        (Code.UNAUTHENTICATED, "BROKER_TOKEN_INVALID", (401, "BROKER_TOKEN_INVALID", "It is so")),
        (Code.DEADLINE_EXCEEDED, "BROKER_TIMEOUT", (504, "UPSTREAM_TIMEOUT", "It is so")),
        (Code.RESOURCE_EXHAUSTED, "SYNC_RUNNING", (429, "RATE_LIMITED", "It is so")),
        (Code.ABORTED, "SYNC_SUPERSEDED", (503, "UPSTREAM_UNAVAILABLE", "It is so")),
        (Code.PERMISSION_DENIED, "ADMIN_REQUIRED", (403, "ACCESS_DENIED", "It is so")),
        (Code.FAILED_PRECONDITION, "BROKER_NOT_CONFIGURED", (400, "INVALID_REQUEST", "It is so")),
        (Code.RESOURCE_EXHAUSTED, "LOGIN_THROTTLED", (429, "RATE_LIMITED", "It is so")),
        (Code.RESOURCE_EXHAUSTED, "TOO_MANY_ALERTS", (400, "INVALID_REQUEST", "It is so")),
        (Code.NOT_FOUND, "SYMBOL_UNKNOWN", (404, "NOT_FOUND", "It is so")),
        (Code.PERMISSION_DENIED, "NOT_YOURS", (403, "ACCESS_DENIED", "It is so")),
        (Code.UNAVAILABLE, "SNAPSHOT_WARMING", (503, "UPSTREAM_UNAVAILABLE", "It is so")),
        (Code.UNAVAILABLE, None, (503, "UPSTREAM_UNAVAILABLE", "A service is not answering; try again shortly")),
        (Code.DEADLINE_EXCEEDED, None, (504, "UPSTREAM_TIMEOUT", "A service did not answer in time")),
        (Code.RESOURCE_EXHAUSTED, None, (503, "UPSTREAM_UNAVAILABLE", "A service is overloaded; try again shortly")),
        (Code.INTERNAL, "INTERNAL", (500, "INTERNAL", "An unexpected error occurred")),
        (Code.UNIMPLEMENTED, None, (500, "INTERNAL", "An unexpected error occurred")),
        # Our own mutual TLS failing is not the client's missing token.
        (Code.UNAUTHENTICATED, None, (500, "INTERNAL", "An unexpected error occurred")),
    ],
)
async def test_each_status_has_one_answer(code: Code, reason: str | None, answer: tuple[int, str, str]) -> None:
    response = await on_rpc_error(REQUEST, failed_call(code, reason))

    body = json.loads(bytes(response.body))
    assert (response.status_code, body["code"], body["message"]) == answer


async def test_a_delay_that_a_service_names_is_passed_on() -> None:
    response = await on_rpc_error(REQUEST, failed_call(Code.UNAVAILABLE, "BUSY", retry_after_seconds=2.4))

    assert response.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("reason", "challenge"), [("CREDENTIALS_INVALID", "Bearer"), ("BROKER_TOKEN_INVALID", "Broker")]
)
async def test_a_401_says_whose_token_is_wanted(reason: str, challenge: str) -> None:
    response = await on_rpc_error(REQUEST, failed_call(Code.UNAUTHENTICATED, reason))

    assert response.headers["www-authenticate"] == challenge


async def test_what_can_be_retried_always_says_when() -> None:
    response = await on_rpc_error(REQUEST, failed_call(Code.UNAVAILABLE, None))

    assert response.headers["retry-after"] == "1"


async def test_internals_of_a_transport_failure_are_not_shown() -> None:
    response = await on_rpc_error(REQUEST, failed_call(Code.UNAVAILABLE, None, "ipv4:10.0.0.7:7101 refused"))

    assert b"10.0.0.7" not in response.body


def test_the_envelope_names_the_request() -> None:
    token = request_id.set("r-1")
    try:
        body = json.loads(envelope(404, "NOT_FOUND", "Portfolio not found"))
    finally:
        request_id.reset(token)

    assert body == {
        "error": "Resource not found",
        "message": "Portfolio not found",
        "code": "NOT_FOUND",
        "request_id": "r-1",
    }


def validation(kind: str, *place: str, text: str = "is wrong", **context: Any) -> RequestValidationError:
    problem = {"type": kind, "loc": place, "msg": text, "input": "secret-value", "ctx": context}
    return RequestValidationError([problem])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (validation("missing", "body", "symbol"), "Missing required field: symbol"),
        (validation("missing", "body"), "The request needs a JSON body"),
        (validation("model_attributes_type", "body"), "The body must be a JSON object"),
        (validation("model_type", "body", "stocks", "2"), "stocks.2: must be an object"),
        (validation("extra_forbidden", "body", "#password", "colour"), "Unknown field: colour"),
        (validation("string_too_short", "body", "name", min_length=1), "name: must have at least 1 character"),
        (validation("too_short", "body", "password", min_length=8), "password: must have at least 8 characters"),
        (
            validation("too_long", "body", "tickers", field_type="List", max_length=200),
            "tickers: must have at most 200 entries",
        ),
        (
            validation("literal_error", "path", "alert_type", expected="'buy' or 'sell'"),
            "alert_type: must be 'buy' or 'sell'",
        ),
        (validation("int_parsing", "query", "days"), "days: must be a whole number"),
        (validation("value_error", "query", "symbols", text="Value error, bad"), "symbols: bad"),
    ],
)
async def test_a_wrong_field_is_named_and_its_value_is_not(error: RequestValidationError, message: str) -> None:
    response = await on_validation_error(REQUEST, error)

    assert response.status_code == 400
    assert json.loads(bytes(response.body))["message"] == message
    assert b"secret-value" not in response.body


async def test_the_frameworks_errors_get_the_envelope() -> None:
    response = await on_http_exception(REQUEST, HTTPException(404))

    assert json.loads(bytes(response.body))["code"] == "NOT_FOUND"


async def test_other_framework_errors_are_invalid_requests() -> None:
    response = await on_http_exception(REQUEST, HTTPException(400, "There was an error parsing the body"))

    assert json.loads(bytes(response.body))["code"] == "INVALID_REQUEST"


async def test_a_bug_tells_nothing() -> None:
    response = await on_unexpected(REQUEST, RuntimeError("database password is hunter2"))

    assert response.status_code == 500
    assert json.loads(bytes(response.body))["message"] == "An unexpected error occurred"


@pytest.mark.parametrize("error", [AuthRequired(), RateLimited(0.2)])
def test_errors_carry_the_headers_of_their_status(error: ApiError) -> None:
    headers: dict[str, Any] = dict(error.headers or {})

    assert headers.get("WWW-Authenticate") == "Bearer" or headers.get("Retry-After") == "1"


def test_documented_errors_name_the_envelope() -> None:
    assert list(documented(503, 400)) == [400, 503]
