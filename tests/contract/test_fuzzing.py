"""schemathesis on the agreed OpenAPI document: no fault, and no status, content type or body it does not announce.

The same examples every time: what is generated depends on the document alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis import Case
from schemathesis.checks import CheckFunction
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance, unsupported_method
from schemathesis.specs.openapi.schemas import OpenApiSchema

from harness.clients import PASSWORD, new_email
from harness.processes import RunningSuite

MAX_EXAMPLES = 20
REQUEST_SECONDS = 10.0
DOCUMENT = Path(__file__).parent / "openapi.json"
# The check knows of no other ways to refuse than these, but for the sizes.
REFUSALS = [400, 401, 403, 404, 405, 406, 413, 414, 415]


def described(**settings: Any) -> OpenApiSchema:
    """Return the agreed document, from which requests are generated under these settings."""
    config = {
        "seed": 1,
        "generation": {
            "deterministic": True,
            "max-examples": MAX_EXAMPLES,
            "no-shrink": True,
            "database": "none",
            "with-security-parameters": False,
        },
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
        **settings,
    }
    return schemathesis.openapi.from_path(DOCUMENT, config=SchemathesisConfig.from_dict(config))


STREAM = "/api/stream"
REGISTER = "POST /api/auth/register"
LOG_IN = "POST /api/auth/login"
# That an address is taken, or its domain can have no mail, is no matter of form; that no text anywhere in Google's
# `user` object may hold a control character is, but no schema can say it. And brokers know none of the credentials.
SYNCS = {"POST /api/portfolio/sync", "POST /api/portfolio/icici-sync"}
ACTIVATIONS = {"POST /zerodha/activate", "POST /icici/activate"}
# That the first of two days is not after the last, or not too long before it, no schema can say either.
STRETCHES = {
    "GET /api/stock/historical/{symbol}",
    "GET /api/stock/historical-light/{symbol}",
    "GET /api/stock/historical-chart/5min/{symbol}",
    "GET /api/forex/historical/{symbol}",
    "GET /api/treasury/rates",
}
# Nor that the symbols of the path and of the query together are at most fifty.
TWO_LISTS = {"GET /api/stock/price/{symbols}"}
# Nor that a moment lies ahead, that a cursor is one that was given, or which letters a name may have.
PEOPLES_OWN = {
    "POST /api/alerts/{user_id}",
    "PUT /api/alerts/{user_id}/{alert_type}/{symbol}",
    "GET /api/alerts/{user_id}/history",
    "POST /api/portfolios/{user_id}",
    "PUT /api/portfolios/{user_id}/{portfolio_id}",
    "POST /api/portfolios/{user_id}/{portfolio_id}/stock",
    "POST /api/watchlists/{user_id}",
    "POST /api/watchlist/{user_id}/{watchlist_id}",
}
# Nor that a token is one that was sent.
UNSUBSCRIBE = "POST /api/email/unsubscribe"
TOKENS_OF_MAILS = {"POST /api/auth/password/reset", "POST /api/auth/email/verify", UNSUBSCRIBE}
FREER_THAN_TAKEN = {
    REGISTER,
    LOG_IN,
    "POST /api/auth/password/forgot",
    *SYNCS,
    *ACTIVATIONS,
    *STRETCHES,
    *TWO_LISTS,
    *PEOPLES_OWN,
    *TOKENS_OF_MAILS,
}

ANYBODY = described()
# Under everybody else's id a request is refused before anything else of it is looked at.
A_USER = described(parameters={"path.user_id": "me"})


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def tokens() -> dict[str, str]:
    """Each operation's own token, once it has asked for one: logging out must end nobody else's."""
    return {}


def sign_in(name: str, suite: RunningSuite, session: requests.Session, tokens: dict[str, str]) -> dict[str, str]:
    key = f"{suite.gateway_url} {name}"
    if key not in tokens:
        body = {"email": new_email(), "password": PASSWORD}
        answer = session.post(f"{suite.gateway_url}/api/auth/register", json=body, timeout=REQUEST_SECONDS)
        tokens[key] = answer.json()["access_token"]
    return {"Authorization": f"Bearer {tokens[key]}"}


def exchange(case: Case[Any], suite: RunningSuite, session: requests.Session, headers: dict[str, str]) -> None:
    """Send a generated request and see that its answer is as announced."""
    # The session is for its connection; what an answer sets in it would sign in the next request.
    session.cookies.clear()
    answer = case.call(base_url=suite.gateway_url, session=session, headers=headers, timeout=REQUEST_SECONDS)
    excluded: list[CheckFunction] = []
    if case.operation.label in FREER_THAN_TAKEN:
        excluded.append(positive_data_acceptance)
    if case.operation.label == UNSUBSCRIBE:
        # A browser that opens the address is led to a page, which is no part of the description.
        excluded += [unsupported_method, allow_header_conformance]
    case.validate_response(answer, excluded_checks=excluded, headers=headers)


@A_USER.exclude(path=STREAM).parametrize()
def test_a_user_is_answered_as_announced(
    case: Case[Any], suite: RunningSuite, session: requests.Session, tokens: dict[str, str]
) -> None:
    exchange(case, suite, session, sign_in(case.operation.label, suite, session, tokens))


@ANYBODY.exclude(path=STREAM).parametrize()
def test_a_stranger_is_answered_as_announced(case: Case[Any], suite: RunningSuite, session: requests.Session) -> None:
    exchange(case, suite, session, {})


@ANYBODY.include(path=STREAM).parametrize()
def test_a_stream_begins_as_announced(case: Case[Any], suite: RunningSuite, session: requests.Session) -> None:
    session.cookies.clear()
    request = case.as_transport_kwargs(base_url=suite.gateway_url)
    with session.request(**request, stream=True, timeout=REQUEST_SECONDS) as answer:
        if answer.status_code == 200:
            # It never ends: its head is all there is to check here.
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            return
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])
