"""Every error a client can get, its envelope, and the one table from gRPC statuses to HTTP answers.

The envelope is `{"error", "message", "code", "request_id"}`: `error` is the status in words, `message` a sentence for
people, `code` a stable name for programs.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from chassis.logs import request_id
from chassis.rpc_client import reason_of, retry_after_of

log = logging.getLogger(__name__)

UNEXPECTED = "An unexpected error occurred"
TIMED_OUT = "A service did not answer in time"
DEFAULT_RETRY_SECONDS = 1.0
MAX_PROBLEMS = 20
NO_OBJECT = {"model_type", "model_attributes_type"}
PLAIN_WORDS = {
    "string_type": "must be a text",
    "list_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
}

TITLES = {
    400: "Invalid request",
    401: "Authentication required",
    403: "Access denied",
    404: "Resource not found",
    405: "Method not allowed",
    408: "Request timed out",
    413: "Request too large",
    414: "Request address too long",
    415: "Unsupported media type",
    429: "Too many requests",
    431: "Request headers too large",
    500: "Internal server error",
    503: "Service unavailable",
    504: "Upstream timed out",
}
CODES = {
    401: "AUTH_REQUIRED",
    403: "ACCESS_DENIED",
    404: "NOT_FOUND",
    429: "RATE_LIMITED",
    500: "INTERNAL",
    503: "UPSTREAM_UNAVAILABLE",
    504: "UPSTREAM_TIMEOUT",
}


class ApiError(HTTPException):
    """An answer that is not the one asked for; each subclass is one row of the public contract's table."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status_code=self.status, detail=message, headers=headers)


class InvalidRequest(ApiError):
    """The request cannot be understood or breaks a documented rule."""

    status = 400
    code = "INVALID_REQUEST"


class AuthRequired(ApiError):
    """There is no token, or none that can be used."""

    status = 401
    code = "AUTH_REQUIRED"

    def __init__(self) -> None:
        super().__init__("Valid JWT token is required", headers={"WWW-Authenticate": "Bearer"})


class TokenExpired(ApiError):
    """The token was good once."""

    status = 401
    code = "TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__("The token has expired", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class TokenRevoked(ApiError):
    """The token's owner, or a misuse, ended it before its time."""

    status = 401
    code = "TOKEN_REVOKED"

    def __init__(self) -> None:
        super().__init__("The token has been revoked", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class AccessDenied(ApiError):
    """The token is good, but not for this."""

    status = 403
    code = "ACCESS_DENIED"

    def __init__(self, message: str = "You can only access your own data") -> None:
        super().__init__(message)


class PathNotFound(ApiError):
    """No operation has this path."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is nothing at this path")


class MethodNotAllowed(ApiError):
    """The path exists, but not with this method."""

    status = 405
    code = "INVALID_REQUEST"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        methods = ", ".join(allowed)
        super().__init__(f"{method} is not possible here; try {methods}", headers={"Allow": methods})


class BodyTimedOut(ApiError):
    """The request's body did not arrive in time; the connection ends with it."""

    status = 408
    code = "INVALID_REQUEST"

    def __init__(self, seconds: float) -> None:
        message = f"The request's body did not arrive within {seconds:g} seconds"
        super().__init__(message, headers={"Connection": "close"})


class BodyTooLarge(ApiError):
    """The request's body exceeds the limit."""

    status = 413
    code = "INVALID_REQUEST"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request's body is larger than {limit_bytes:,} bytes")


class AddressTooLong(ApiError):
    """The path and query exceed the limit."""

    status = 414
    code = "INVALID_REQUEST"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The path and query are longer than {limit_bytes:,} bytes")


class UnsupportedMediaType(ApiError):
    """The request's body is not JSON."""

    status = 415
    code = "INVALID_REQUEST"

    def __init__(self) -> None:
        super().__init__("The request's body must be JSON: send Content-Type: application/json")


class BodyEncoded(ApiError):
    """The request's body is compressed, or encoded otherwise."""

    status = 415
    code = "INVALID_REQUEST"

    def __init__(self) -> None:
        # RFC 9110 §12.5.3: the header says which encodings would do.
        super().__init__("Send the body without Content-Encoding", headers={"Accept-Encoding": "identity"})


class RateLimited(ApiError):
    """The caller has asked too often."""

    status = 429
    code = "RATE_LIMITED"

    def __init__(self, retry_after_seconds: float, *, headers: Mapping[str, str] | None = None) -> None:
        seconds = whole_seconds(retry_after_seconds)
        message = f"Too many requests; try again in {seconds} second{'' if seconds == 1 else 's'}"
        super().__init__(message, headers={**(headers or {}), "Retry-After": str(seconds)})


class HeadersTooLarge(ApiError):
    """The request's headers exceed the limit."""

    status = 431
    code = "INVALID_REQUEST"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request's headers are larger than {limit_bytes:,} bytes")


class Unexpected(ApiError):
    """A fault of ours; the text is fixed so that it tells nothing."""

    def __init__(self) -> None:
        super().__init__(UNEXPECTED)


class UpstreamUnavailable(ApiError):
    """Something this answer needs is away."""

    status = 503
    code = "UPSTREAM_UNAVAILABLE"

    def __init__(self, message: str, *, retry_after_seconds: float = DEFAULT_RETRY_SECONDS) -> None:
        super().__init__(message, headers={"Retry-After": str(whole_seconds(retry_after_seconds))})


class UpstreamTimedOut(ApiError):
    """Something this answer needs did not answer in time."""

    status = 504
    code = "UPSTREAM_TIMEOUT"

    def __init__(self) -> None:
        super().__init__(TIMED_OUT)


class ErrorReply(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(extra="forbid")

    error: str
    message: str
    code: str
    request_id: str


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of a route that can fail with these statuses."""
    return {status: {"model": ErrorReply, "description": TITLES[status]} for status in sorted(statuses)}


def envelope(status: int, code: str, message: str, *, for_request: str | None = None) -> bytes:
    """Return the body of an error; the request id is the running request's unless given."""
    body = {
        "error": TITLES.get(status, "Error"),
        "message": message,
        "code": code,
        "request_id": for_request if for_request is not None else request_id.get(),
    }
    return json.dumps(body, ensure_ascii=False).encode()


def whole_seconds(seconds: float) -> int:
    """Round a delay up to the whole seconds that `Retry-After` is given in, at least one."""
    return max(1, math.ceil(seconds))


def error_response(error: ApiError) -> Response:
    """Return the HTTP answer of an error."""
    body = envelope(error.status, error.code, error.detail)
    return Response(body, error.status, headers=error.headers, media_type="application/json")


# --- gRPC statuses to HTTP answers --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: status and code, and a text where the service's own must not or need not be shown.

    Attributes:
        challenge: what a 401 asks for. A broker's refusal does not ask for `Bearer`: our token is as good as before.
        retry_after_seconds: when to try again, where the service does not say.
    """

    status: int
    code: str
    message: str | None = None
    challenge: str = "Bearer"
    retry_after_seconds: float = DEFAULT_RETRY_SECONDS


BY_REASON = {
    "CREDENTIALS_INVALID": Row(401, "INVALID_CREDENTIALS", "Invalid credentials"),
    "REFRESH_TOKEN_INVALID": Row(401, "INVALID_CREDENTIALS", "The refresh token is invalid, used or expired"),
    "ID_TOKEN_INVALID": Row(401, "INVALID_CREDENTIALS"),
    "USER_MISMATCH": Row(401, "INVALID_CREDENTIALS"),
    # Somebody has to configure it first.
    "GOOGLE_NOT_CONFIGURED": Row(
        503, "UPSTREAM_UNAVAILABLE", "Google sign-in is not configured on this server", retry_after_seconds=3600.0
    ),
    # Nothing is wrong with the request, and Google's word is good; it is the account that may not come back yet.
    "ACCOUNT_DELETED": Row(403, "ACCESS_DENIED"),
    "BROKER_TOKEN_INVALID": Row(401, "BROKER_TOKEN_INVALID", challenge="Broker"),
    "BROKER_TIMEOUT": Row(504, "UPSTREAM_TIMEOUT"),
    "LOGIN_THROTTLED": Row(429, "RATE_LIMITED"),
    "TOO_MANY_ALERTS": Row(400, "INVALID_REQUEST"),
    "TOO_MANY_WATCHLISTS": Row(400, "INVALID_REQUEST"),
    "TOO_MANY_PORTFOLIOS": Row(400, "INVALID_REQUEST"),
    "ALERT_NOT_FOUND": Row(404, "NOT_FOUND", "Alert not found"),
    "WATCHLIST_NOT_FOUND": Row(404, "NOT_FOUND", "Watchlist not found"),
    "PORTFOLIO_NOT_FOUND": Row(404, "NOT_FOUND", "Portfolio not found"),
}
BY_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: Row(400, "INVALID_REQUEST"),
    grpc.StatusCode.OUT_OF_RANGE: Row(400, "INVALID_REQUEST"),
    grpc.StatusCode.FAILED_PRECONDITION: Row(400, "INVALID_REQUEST"),
    grpc.StatusCode.ALREADY_EXISTS: Row(400, "INVALID_REQUEST"),
    grpc.StatusCode.ABORTED: Row(503, "UPSTREAM_UNAVAILABLE"),
    grpc.StatusCode.NOT_FOUND: Row(404, "NOT_FOUND"),
    grpc.StatusCode.PERMISSION_DENIED: Row(403, "ACCESS_DENIED"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: Row(429, "RATE_LIMITED"),
    grpc.StatusCode.UNAVAILABLE: Row(503, "UPSTREAM_UNAVAILABLE"),
    grpc.StatusCode.DEADLINE_EXCEEDED: Row(504, "UPSTREAM_TIMEOUT", TIMED_OUT),
}
# The same statuses without a reason come from the transport: overload, a dead process, a mismatch of versions.
BY_TRANSPORT_STATUS = {
    grpc.StatusCode.UNAVAILABLE: Row(503, "UPSTREAM_UNAVAILABLE", "A service is not answering; try again shortly"),
    grpc.StatusCode.CANCELLED: Row(503, "UPSTREAM_UNAVAILABLE", "A service is not answering; try again shortly"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: Row(503, "UPSTREAM_UNAVAILABLE", "A service is overloaded; try again shortly"),
    grpc.StatusCode.DEADLINE_EXCEEDED: BY_STATUS[grpc.StatusCode.DEADLINE_EXCEEDED],
}
INTERNAL = Row(500, "INTERNAL", UNEXPECTED)
RETRIABLE_STATUSES = {429, 503}


def row_of(error: grpc.aio.AioRpcError) -> Row:
    """Return the table's row for a failed call: by its reason, else by its status."""
    reason = reason_of(error)
    if reason is None:
        return BY_TRANSPORT_STATUS.get(error.code(), INTERNAL)
    return BY_REASON.get(reason) or BY_STATUS.get(error.code(), INTERNAL)


async def on_rpc_error(_: Request, error: Exception) -> Response:
    """Answer for a service that refused or failed."""
    assert isinstance(error, grpc.aio.AioRpcError)  # noqa: S101  # what it is registered for
    row = row_of(error)
    if row is INTERNAL:
        log.error("call failed", extra={"status": error.code().name, "reason": reason_of(error)})
    headers = {"WWW-Authenticate": row.challenge} if row.status == AuthRequired.status else {}
    if row.status in RETRIABLE_STATUSES:
        headers["Retry-After"] = str(whole_seconds(retry_after_of(error) or row.retry_after_seconds))
    message = row.message or _as_sentence(error.details() or TITLES[row.status])
    return Response(envelope(row.status, row.code, message), row.status, headers, "application/json")


def _as_sentence(text: str) -> str:
    """Begin with a capital, unless a field's name comes first."""
    first_word = text.partition(" ")[0]
    return text if "_" in first_word else text[:1].upper() + text[1:]


# --- errors of the framework --------------------------------------------------------------------------------------


async def on_http_exception(_: Request, error: Exception) -> Response:
    """Answer for our own errors and the framework's."""
    if isinstance(error, ApiError):
        return error_response(error)
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    status = error.status_code
    if status == PathNotFound.status:
        return error_response(PathNotFound())
    body = envelope(status, CODES.get(status, "INVALID_REQUEST"), error.detail)
    return Response(body, status, headers=error.headers, media_type="application/json")


async def on_validation_error(_: Request, error: Exception) -> Response:
    """Answer 400, naming each wrong field and never repeating its value."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # what it is registered for
    problems = list(dict.fromkeys(_describe(problem) for problem in error.errors()))
    told = problems[:MAX_PROBLEMS]
    if len(problems) > len(told):
        told.append(f"and {len(problems) - len(told)} more")
    return error_response(InvalidRequest("; ".join(told)))


async def on_unexpected(_: Request, __: Exception) -> Response:
    """Answer for a bug; the edge logs it."""
    return error_response(Unexpected())


def _describe(problem: Mapping[str, Any]) -> str:
    _, *path = problem["loc"]
    # A union's branches put their tag into the location; a name in the body is what the client knows.
    field = ".".join(str(part) for part in path if not (isinstance(part, str) and part.startswith("#")))
    if problem["type"] == "missing":
        return f"Missing required field: {field}" if field else "The request needs a JSON body"
    if problem["type"] == "extra_forbidden":
        return f"Unknown field: {field}"
    if problem["type"] in NO_OBJECT:
        return f"{field}: must be an object" if field else "The body must be a JSON object"
    return f"{field}: {_in_our_words(problem)}" if field else _in_our_words(problem)


def _in_our_words(problem: Mapping[str, Any]) -> str:
    """Say what a value has to be: the validator's own texts speak of values after validation."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in PLAIN_WORDS:
        return PLAIN_WORDS[kind]
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind.endswith(("too_short", "too_long")):
        bound, words = ("min_length", "at least") if kind.endswith("short") else ("max_length", "at most")
        thing = "entry" if context.get("field_type") == "List" else "character"
        count = context[bound]
        plural = {"entry": "entries", "character": "characters"}[thing]
        return f"must have {words} {count:,} {thing if count == 1 else plural}"
    return str(problem["msg"]).removeprefix("Value error, ")


def exception_handlers() -> dict[int | type[Exception], Any]:
    """Return the handlers that turn every exception into the envelope."""
    return {
        grpc.aio.AioRpcError: on_rpc_error,
        RequestValidationError: on_validation_error,
        HTTPException: on_http_exception,
        Exception: on_unexpected,
    }
