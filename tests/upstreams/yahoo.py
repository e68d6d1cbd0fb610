"""Yahoo Finance as a server of its own: its hosts' paths on one port, cookies, crumbs and errors as Yahoo has them.

with yahoo_server() as yahoo, egress(yahoo.server.port, folder) as way_out:
    environment |= way_out.environment
    yahoo.faults.next("/v7/finance/quote", limits())
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from upstreams import yahoo_payloads as payloads
from upstreams.faults import JSON_TYPE, Fault, Faults
from upstreams.journal import Journal
from upstreams.serving import LoopbackServer
from upstreams.upstream import Call, Upstream
from upstreams.yahoo_market import DAY, Issue, YahooMarket

COOKIE = "A3"
COOKIE_SECONDS = 365 * 24 * 3600
SYMBOLS_AT_ONCE = 500
SCREEN_SIZE = 25
KEPT_INTRADAY = timedelta(days=60)
DAYS_OF_RANGE = {"1d": 1, "5d": 5, "1mo": 31, "3mo": 92, "6mo": 183, "1y": 365, "2y": 730, "5y": 1826}
CONSENT_PAGE = """<html><body><form><input name="csrfToken" value="made-up"/>
<input name="sessionId" value="made-up"/></form></body></html>"""
Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, envelope: str, code: str, description: str) -> None:
        self.status = status
        self.body = payloads.failed(envelope, code, description)
        super().__init__(description)


def limits() -> Fault:
    """Answer as Yahoo does when it is asked too often."""
    return Fault.answer(429, b"Too Many Requests\r\n", "text/html")


class YahooUpstream(Upstream):
    """Yahoo's addresses.

    Attributes:
        market: what it knows.
    """

    def __init__(self, market: YahooMarket) -> None:
        self.market = market
        self._crumbs = 1
        super().__init__(Starlette(routes=self._routes()))

    @property
    def crumb(self) -> str:
        """Return the crumb that is taken now."""
        return f"crumb.{self._crumbs}"

    def renew_crumb(self) -> None:
        """Let the crumbs given out so far die."""
        self._crumbs += 1

    def api_key_of(self, call: Call) -> None:
        """Nobody has one."""

    def _routes(self) -> list[Route]:
        return [
            Route("/", self._cookie),
            Route("/consent", self._consent),
            Route("/copyConsent", self._cookie),
            Route("/v2/collectConsent", self._collect, methods=["POST"]),
            Route("/v1/test/getcrumb", self._crumb),
            Route("/v8/finance/chart/{symbol}", _answering(self._chart)),
            Route("/v7/finance/quote", _answering(self._quotes)),
            Route("/v10/finance/quoteSummary/{symbol}", _answering(self._summary)),
            Route("/ws/fundamentals-timeseries/v1/finance/timeseries/{symbol}", _answering(self._timeseries)),
            Route("/xhr/ncp", _answering(self._news), methods=["POST"]),
            Route("/v1/finance/visualization", _answering(self._earnings), methods=["POST"]),
            Route("/v1/finance/screener", _answering(self._screened), methods=["POST"]),
            Route("/v1/finance/screener/predefined/saved", _answering(self._saved_screen)),
        ]

    # --- cookies and crumbs

    async def _cookie(self, _: Request) -> Response:
        """Answer 404, as Yahoo does, with the cookie that everything else asks for."""
        response = PlainTextResponse("", 404)
        value = f"{COOKIE}=d=made-up; Max-Age={COOKIE_SECONDS}; Domain=.yahoo.com; Path=/; Secure; HttpOnly"
        response.headers["set-cookie"] = value
        return response

    async def _consent(self, _: Request) -> Response:
        return HTMLResponse(CONSENT_PAGE)

    async def _collect(self, _: Request) -> Response:
        return PlainTextResponse("")

    async def _crumb(self, request: Request) -> Response:
        if COOKIE not in request.cookies:
            return Response(json.dumps(payloads.failed("finance", "Unauthorized", "Invalid Cookie")), 401)
        return PlainTextResponse(self.crumb)

    def _require_crumb(self, request: Request) -> None:
        if COOKIE not in request.cookies or request.query_params.get("crumb") != self.crumb:
            raise Refused(401, "finance", "Unauthorized", "Invalid Crumb")

    # --- answers

    async def _chart(self, request: Request) -> Any:
        issue = self._issue(request, "chart", "No data found, symbol may be delisted")
        first, last, interval = self._window(request, issue)
        if issue.last_day is not None and first > issue.last_day:
            raise Refused(400, "chart", "Bad Request", "Data doesn't exist for startDate = 0, endDate = 0")
        make = self.market.days if interval == "1d" else self.market.fives
        return payloads.chart(self.market, issue, list(make(issue, first, last)), first, interval=interval)

    def _window(self, request: Request, issue: Issue) -> tuple[date, date, str]:
        query, zone, now = request.query_params, ZoneInfo(issue.place.zone), self.market.now()
        interval = query.get("interval", "1d")
        if "range" in query:
            last = now.astimezone(zone).date()
            return last - DAYS_OF_RANGE.get(query["range"], 36500) * DAY, last, interval
        begin, end = (datetime.fromtimestamp(int(query[name]), UTC) for name in ("period1", "period2"))
        if interval != "1d" and begin < now - KEPT_INTRADAY:
            raise Refused(422, "chart", "Unprocessable Entity", f"{interval} data not available for startTime=0")
        # What begins at `end` is not asked for any more.
        return begin.astimezone(zone).date(), (end - timedelta(seconds=1)).astimezone(zone).date(), interval

    async def _quotes(self, request: Request) -> Any:
        self._require_crumb(request)
        symbols = [each for each in request.query_params.get("symbols", "").split(",") if each]
        if not 0 < len(symbols) <= SYMBOLS_AT_ONCE:
            raise Refused(400, "quoteResponse", "argument-error", 'Missing value for the "symbols" argument')
        issues = self.market.issues
        return payloads.held(
            "quoteResponse", [payloads.quote(self.market, issues[each]) for each in symbols if each in issues]
        )

    async def _summary(self, request: Request) -> Any:
        self._require_crumb(request)
        symbol = request.path_params["symbol"]
        issue = self._issue(request, "quoteSummary", f"Quote not found for symbol: {symbol}")
        answer = payloads.summary(self.market, issue, request.query_params.get("modules", "").split(","))
        if answer is None:
            raise Refused(404, "quoteSummary", "Not Found", f"No fundamentals data found for symbol: {symbol}")
        return answer

    async def _timeseries(self, request: Request) -> Any:
        issue = self._issue(request, "timeseries", "No data found")
        return payloads.timeseries(self.market, issue, request.query_params.get("type", "").split(","))

    async def _news(self, request: Request) -> Any:
        service = (await request.json())["serviceConfig"]
        kind = request.query_params.get("queryRef", "")
        return payloads.news(self.market, service["s"], kind=kind, limit=service["snippetCount"])

    async def _earnings(self, request: Request) -> Any:
        body = await request.json()
        wanted = json.dumps(body["query"])
        first, until = (
            re.findall(rf'"{name}", "operands": \["startdatetime", "([0-9-]+)', wanted)[0] for name in ("GTE", "LTE")
        )
        size = min(body["size"], 100)
        return payloads.earnings(self.market, first, until, offset=body["offset"], size=size)

    async def _screened(self, request: Request) -> Any:
        self._require_crumb(request)
        body = await request.json()
        region = re.findall(r'"region", "([a-z]+)"', json.dumps(body["query"]))
        size = min(body.get("size") or body.get("count") or SCREEN_SIZE, 250)
        return payloads.screened(
            self.market, region=region[0] if region else "us", offset=body.get("offset") or 0, size=size
        )

    async def _saved_screen(self, request: Request) -> Any:
        self._require_crumb(request)
        size = int(request.query_params.get("count", SCREEN_SIZE))
        return payloads.screened(self.market, region="us", offset=0, size=size)

    def _issue(self, request: Request, envelope: str, description: str) -> Issue:
        issue = self.market.issues.get(request.path_params["symbol"])
        if issue is None:
            raise Refused(404, envelope, "Not Found", description)
        return issue


def _answering(handler: Callable[[Request], Awaitable[Any]]) -> Handler:
    """Write what a handler returns, or refuses, as JSON."""

    async def endpoint(request: Request) -> Response:
        try:
            return Response(json.dumps(await handler(request)), media_type=JSON_TYPE)
        except Refused as refusal:
            return Response(json.dumps(refusal.body), refusal.status, media_type=JSON_TYPE)

    return endpoint


@dataclass(frozen=True, slots=True)
class RunningYahoo:
    """Yahoo on a port; it is reached through `egress`, which keeps its own addresses."""

    upstream: YahooUpstream
    server: LoopbackServer
    market: YahooMarket
    faults: Faults
    journal: Journal


@contextmanager
def yahoo_server(market: YahooMarket | None = None, *, port: int | None = None) -> Iterator[RunningYahoo]:
    """Run Yahoo with a market, on any free port unless told one.

    Raises:
        PortTaken: the port is not free.
    """
    upstream = YahooUpstream(market or YahooMarket())
    server = LoopbackServer(upstream, upstream, port=port)
    server.start()
    try:
        yield RunningYahoo(upstream, server, upstream.market, upstream.faults, upstream.journal)
    finally:
        server.stop()
