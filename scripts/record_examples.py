"""`make examples`: asks a suite on the sample market every operation and keeps the answers for the documentation.

An example that is there and still fits its operation stays as it is, so that differences are small; ALL=1 records all
anew. What the OpenAPI document gives as examples is what is asked; here stands only what it cannot know.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

ROOT = Path(__file__).parents[1]
# The suite under control and the brokers' stand-ins are the tests' own, which are not installed.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]


from scripts.example_mails import NoMail, token_to  # noqa: E402

from chassis.testing import free_port  # noqa: E402
from gateway.app import api_routes  # noqa: E402
from gateway.openapi import describe  # noqa: E402
from gateway.pages.examples import Example, Examples, as_text, read_examples  # noqa: E402
from gateway.pages.operations import Operation, Schema, read_operations  # noqa: E402
from harness.examples import why_stale  # noqa: E402
from harness.processes import RunningSuite  # noqa: E402
from upstreams.demo_accounts import (  # noqa: E402
    BREEZE_KEY,
    KITE_KEY,
    PREFIX,
    call_option,
    demo_breeze_account,
    demo_kite_account,
    priced,
)
from upstreams.servers import brokers_server  # noqa: E402

FILE = ROOT / "gateway/src/gateway/pages/examples.json"
ACCOUNT = {"email": "user@example.com", "password": "correct horse battery"}
# Loses its password and its account, which the other goes on needing.
OTHER_ACCOUNT = {"email": "other@example.com", "password": "correct horse battery"}
BROKER_SECRET = "sandbox-demo-secret"  # noqa: S105  # it opens nothing but the stand-ins
UNREACHED = ("REGISTER", "LOGIN", "REFRESH", "SYNC", "WRITE", "RECOVERY", "MAIL")
MAX_ENTRIES = 3
MAX_MEMBERS = 8
MAX_LINES = 6
MAX_TEXT = 300
EVENTS = 3
SHOWN_HEADERS = ("Cache-Control", "X-Source", "X-As-Of", "X-Freshness", "X-Missing-Symbols")
HIDDEN = {"access_token": "eyJhbGciOiJFZERTQSIs…", "refresh_token": "9f2c…"}
SENT_HIDDEN = {
    "api_secret": "your_api_secret",
    "request_token": "one_time_token_from_redirect",
    "api_session": "api_session_from_redirect",
    "secret": "admin_secret",
    "refresh_token": "9f2c…",
    "token": "token_from_the_mail",
}
QUERIES = {
    "GET /api/stock/financials/{symbol}": {"limit": "2"},
    "GET /api/news/latest": {"limit": "3"},
    "GET /api/news/press-releases": {"limit": "3"},
    "GET /api/news/stock/{symbols}": {"limit": "3"},
}
FALLBACKS = {"user_id": "me"}
REGISTER = "POST /api/auth/register"
LOG_IN = "POST /api/auth/login"
LOG_OUT = "POST /api/auth/logout"
REFRESH = "POST /api/auth/refresh"
FORGOT = "POST /api/auth/password/forgot"
RESET = "POST /api/auth/password/reset"
VERIFY = "POST /api/auth/email/verify"
UNSUBSCRIBE = "POST /api/email/unsubscribe"
REVOKE = "DELETE /api/auth/sessions/{session_id}"
DELETE_USER = "DELETE /api/auth/user/{user_id}"
# What takes away what others show.
LAST = (UNSUBSCRIBE, DELETE_USER)
SENT: dict[str, dict[str, Any]] = {
    REGISTER: {**ACCOUNT, "name": "Asha Rao"},
    LOG_IN: ACCOUNT,
    FORGOT: {"email": ACCOUNT["email"]},
    "POST /api/alerts/{user_id}": {
        "type": "buy",
        "symbol": "NASDAQ:AAPL",
        "price": 150.25,
        "note": "below the average",
    },
    "PUT /api/alerts/{user_id}/{alert_type}/{symbol}": {"price": 1.25},
    "POST /api/watchlists/{user_id}": {"name": "Tech Stocks"},
    "POST /api/watchlist/{user_id}/{watchlist_id}": {"tickers": ["AAPL", "MSFT", "NSE:TCS"]},
    "POST /api/portfolios/{user_id}": {"name": "Growth Portfolio"},
    "PUT /api/portfolios/{user_id}/{portfolio_id}": {"name": "Growth and Income"},
    "POST /api/portfolios/{user_id}/{portfolio_id}/stock": {
        "stocks": [
            {"symbol": "AAPL", "quantity": 10, "total_cost": 1500.0},
            {"symbol": "NSE:TCS", "quantity": 2.5, "total_cost": 9600.0},
        ]
    },
    "PUT /api/email/preferences/{user_id}": {"portfolio_summary": True},
}


class NoInput(RuntimeError):
    """The document gives no example of what has to be sent."""

    def __init__(self, operation: Operation, name: str) -> None:
        super().__init__(f"{operation.name} needs {name}, of which the OpenAPI document has no example")


@dataclass(slots=True)
class Recorder:
    """Asks operations, one account signed in."""

    client: httpx.Client
    document: Schema
    admin_secret: str
    run_dir: Path
    account: dict[str, Any] = field(default_factory=dict)

    def record(self, operation: Operation) -> Example:
        """Ask one operation and return its example."""
        path, query, body = self._path(operation), self._query(operation), self._body(operation)
        asked = Example(200, "", None, path=path, query=query)
        headers = {"Authorization": f"Bearer {self._token(operation)}"} if operation.access != "open" else {}
        address = asked.address(operation.path)
        with self.client.stream(operation.method, address, json=body, headers=headers) as answer:
            media_type = answer.headers["Content-Type"].partition(";")[0]
            text = _events(answer) if media_type == "text/event-stream" else answer.read().decode()
        self.client.cookies.clear()
        left_out: dict[str, int] = {}
        content = cut(answer.json(), "", left_out) if media_type == "application/json" else cut_text(text)
        if operation.name == REGISTER:
            self.account = answer.json()
            self._let_an_alert_fire()
        return Example(
            answer.status_code,
            media_type,
            content,
            path=path,
            query=query | {name: text for name, text in SENT_HIDDEN.items() if name in query},
            body={**body, **{name: text for name, text in SENT_HIDDEN.items() if name in body}} if body else body,
            headers=_shown(answer.headers),
            left_out=left_out,
        )

    def _path(self, operation: Operation) -> dict[str, str]:
        if operation.name == REVOKE:
            return {"session_id": self._another_session_id()}
        return {each.name: _given(operation, each) for each in operation.parameters if each.place == "path"}

    def _query(self, operation: Operation) -> dict[str, str]:
        if operation.name == UNSUBSCRIBE:
            token = token_to("unsubscribe", self.run_dir, ACCOUNT["email"])
            return {"token": token, "list": "portfolio-summary"}
        needed = {
            each.name: _given(operation, each)
            for each in operation.parameters
            if each.place == "query" and each.is_required
        }
        return needed | QUERIES.get(operation.name, {})

    def _body(self, operation: Operation) -> dict[str, Any] | None:
        bodies: dict[str, dict[str, Any]] = {
            "POST /api/portfolio/sync": {"api_key": KITE_KEY, "api_secret": BROKER_SECRET, "request_token": _code()},
            "POST /api/portfolio/icici-sync": {
                "api_key": BREEZE_KEY,
                "api_secret": BROKER_SECRET,
                "api_session": _code(),
            },
            "POST /zerodha/activate": {
                "api_key": KITE_KEY,
                "api_secret": BROKER_SECRET,
                "request_token": _code(),
                "secret": self.admin_secret,
            },
            "POST /icici/activate": {"api_session": _code(), "secret": self.admin_secret},
        } | SENT
        if operation.name in bodies:
            return bodies[operation.name]
        if operation.name in (REFRESH, VERIFY, RESET):
            return self._body_with_token(operation.name)
        if operation.bodies:
            raise NoInput(operation, "a body")
        return None

    def _body_with_token(self, name: str) -> dict[str, Any]:
        if name == REFRESH:
            return {"refresh_token": self._session()["tokens"]["refresh_token"]}
        if name == VERIFY:
            return {"token": token_to("verify", self.run_dir, ACCOUNT["email"])}
        self.client.post("/api/auth/register", json=OTHER_ACCOUNT)
        self.client.post("/api/auth/password/forgot", json={"email": OTHER_ACCOUNT["email"]})
        self.client.cookies.clear()
        return {"token": token_to("reset", self.run_dir, OTHER_ACCOUNT["email"]), "password": "an entirely new one"}

    def _token(self, operation: Operation) -> str:
        session = self._session() if operation.name == LOG_OUT else self.account
        return str(session["access_token"])

    def _session(self) -> dict[str, Any]:
        session: dict[str, Any] = self.client.post("/api/auth/login", json=ACCOUNT).json()
        self.client.cookies.clear()
        return session

    def _another_session_id(self) -> str:
        self._session()
        sessions = self.client.get("/api/auth/sessions", headers=self._bearer()).json()["sessions"]
        return next(str(each["id"]) for each in sessions if not each["is_current"])

    def _let_an_alert_fire(self) -> None:
        alert = {"type": "sell", "symbol": "MSFT", "price": 0.01}
        self.client.post("/api/alerts/me", json=alert, headers=self._bearer())

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.account['access_token']}"}


def _given(operation: Operation, parameter: Any) -> str:
    value = parameter.example or FALLBACKS.get(parameter.name, "") or next(iter(parameter.choices), "")
    if not value:
        raise NoInput(operation, parameter.name)
    return str(value)


def _code() -> str:
    return f"{PREFIX}{uuid4().hex}"


def _events(answer: httpx.Response) -> str:
    text = ""
    for chunk in answer.iter_text():
        text += chunk
        if text.count("\n\n") > EVENTS:
            break
    return "\n\n".join(text.split("\n\n")[: EVENTS + 1]) + "\n\n"


def _shown(headers: httpx.Headers) -> dict[str, str]:
    return {name: headers[name] for name in SHOWN_HEADERS if name in headers and headers[name] != "no-store"}


def cut(value: Any, place: str, left_out: dict[str, int]) -> Any:
    """Return an answer short enough to be shown, noting how much long lists had."""
    if isinstance(value, list):
        if len(value) > MAX_ENTRIES:
            left_out[place] = len(value)
        return [cut(each, f"{place}[]", left_out) for each in value[:MAX_ENTRIES]]
    if isinstance(value, dict):
        members = list(value.items())
        if len(members) > MAX_MEMBERS and all(isinstance(member, dict | list) for member in value.values()):
            left_out[place] = len(members)
            members = members[:MAX_ENTRIES]
        return {name: HIDDEN.get(name) or cut(each, _within(place, name), left_out) for name, each in members}
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:MAX_TEXT]}…"
    return value


def cut_text(text: str) -> str:
    """Return the first lines."""
    if text.startswith("retry:"):
        return text
    lines = text.splitlines()
    return "\n".join(lines[:MAX_LINES]) + ("\n…\n" if len(lines) > MAX_LINES else "\n")


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def in_order(operations: list[Operation]) -> list[Operation]:
    """Return operations so that what is asked about has been made before, and is deleted after."""
    methods = ["POST", "PUT", "GET", "DELETE"]

    def turn(each: Operation) -> tuple[Any, ...]:
        is_mail = each.path.startswith("/api/email/")
        # Of what is deleted, parts go before their whole.
        depth = -each.path.count("/") if each.method == "DELETE" else 0
        return each.name != REGISTER, each.name in LAST, methods.index(each.method), is_mail, depth

    return sorted(operations, key=turn)


@contextmanager
def running_suite(folder: Path) -> Iterator[tuple[RunningSuite, str]]:
    """Run the suite and both brokers' stand-ins; yield the suite and the admin secret."""
    admin_secret = uuid4().hex
    port = free_port()
    environment = {
        "SANDBOX_PORT": str(port),
        "ICICI_ADMIN_SECRET": admin_secret,
        "ZERODHA_ADMIN_SECRET": admin_secret,
        "ICICI_API_KEY": BREEZE_KEY,
        "ICICI_API_SECRET": BROKER_SECRET,
        **{f"GATEWAY_LIMIT_{kind}": "1000000/minute" for kind in UNREACHED},
    }
    today = datetime.now(UTC).date()
    listings = {listing.key: listing for listing in [*priced({}), call_option(today)]}
    accounts = demo_kite_account(BROKER_SECRET, listings, today=today), demo_breeze_account(BROKER_SECRET, listings)
    with brokers_server([accounts[0]], [accounts[1]], port=port) as brokers:
        brokers.kite.upstream.listings |= listings
        brokers.breeze.upstream.listings |= listings
        suite = RunningSuite.planned(folder, environment)
        try:
            suite.start_all()
            yield suite, admin_secret
        finally:
            suite.stop_all()


def stale_examples(document: Mapping[str, Any], operations: list[Operation], examples: Examples) -> dict[str, str]:
    """Return why operations have to be asked again, by their names."""
    found: dict[str, str] = {}
    for operation in operations:
        example = examples.get(operation.name)
        described = document["paths"][operation.path][operation.method.lower()]
        reason = "it has no example" if example is None else why_stale(example, described, document)
        if reason is not None:
            found[operation.name] = reason
    return found


def record(document: Schema, operations: list[Operation], wanted: set[str]) -> tuple[Examples, dict[str, str]]:
    """Ask what is wanted; return the examples, and what was answered where none could be made."""
    examples: Examples = {}
    failures: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_suite(Path(folder)) as (suite, admin_secret),
        httpx.Client(base_url=suite.gateway_url, timeout=20, trust_env=False) as client,
    ):
        recorder = Recorder(client, document, admin_secret, suite.plan.run_dir)
        for operation in in_order(operations):
            # All are asked: what one shows may be what another has made.
            try:
                example = recorder.record(operation)
            except (NoInput, NoMail, httpx.HTTPError) as error:
                failures[operation.name] = str(error)
                continue
            if str(example.status) != operation.status:
                failures[operation.name] = f"{example.status} {example.answer}"
            elif operation.name in wanted:
                examples[operation.name] = example
    return examples, failures


def main() -> int:
    """Record what is missing or stale and return the exit code."""
    document = describe(api_routes(), {}, title="", version="", description="")
    operations = read_operations(document)
    names = {operation.name for operation in operations}
    kept = {} if os.environ.get("ALL") else {name: each for name, each in read_examples().items() if name in names}
    stale = stale_examples(document, operations, kept)
    recorded, failures = record(document, operations, set(stale))
    FILE.write_text(as_text({**kept, **recorded}), encoding="utf-8")
    missing = {name: failures[name] for name in sorted(failures.keys() & stale.keys())}
    print(f"{len(recorded)} recorded, {len(names) - len(stale)} kept, {len(missing)} not answered")
    for name, reason in missing.items():
        print(f"  {name}: {reason}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
