"""Financial Modeling Prep's `/stable` as a server of its own.

    with fmp_server() as fmp:
        FmpApi(..., base_url=fmp.url, key=SecretStr(fmp.key))
        fmp.faults.next("/profile", fmp_faults.throttled())

It takes the key from the header `apikey` alone, unless told otherwise: a client that puts it into the address is
refused. Answers are lists; who asks for more than the vendor gives at once gets the newest part and is told nothing.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from upstreams import fmp_payloads as payloads
from upstreams import fmp_statements as statements
from upstreams.faults import Faults
from upstreams.fmp_market import BY_SYMBOL, FIRST_DAY, Listed
from upstreams.fmp_payloads import ODD, Row
from upstreams.journal import Journal
from upstreams.serving import LoopbackServer
from upstreams.upstream import Call, Upstream

ROOT = "/stable"
KEY = "fmp-loopback-key"
OURS, SOMEBODY = "ours", "somebody else's"
TREASURY_DAYS = 90
Now = Callable[[], datetime]
Answer = Callable[[Request], list[Row]]


def system_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class FmpRefused(Exception):
    """A request is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class FmpUpstream(Upstream):
    """The vendor's API.

    Attributes:
        key: what it wants to see.
        max_earnings: how many rows of the earnings calendar it gives at once.
        max_days: how many rows of daily prices it gives at once.
    """

    def __init__(self, key: str = KEY, now: Now = system_now, *, takes_key_from_query: bool = False) -> None:
        self.key = key
        self.max_earnings = 4_000
        self.max_days = 5_000
        self._now = now
        self._takes_key_from_query = takes_key_from_query
        super().__init__(Starlette(routes=self._routes()))

    def api_key_of(self, call: Call) -> str | None:
        """Say whether the key is ours; the key itself is nowhere remembered."""
        given = call.headers.get("apikey") or dict(call.query).get("apikey")
        if given is None:
            return None
        return OURS if given == self.key else SOMEBODY

    def _routes(self) -> list[Route]:
        answers: dict[str, Answer] = {
            "quote": self._quote,
            "batch-quote": self._quotes,
            "historical-price-eod/full": self._daily,
            "historical-chart/5min": self._intraday,
            "splits": lambda request: payloads.splits(self._one(request)),
            "dividends": lambda request: payloads.dividends(self._one(request), self._today)[: _limit(request, 100)],
            "profile": self._profile,
            "income-statement": self._statements(statements.income_statements),
            "balance-sheet-statement": self._statements(statements.balance_sheets),
            "cash-flow-statement": self._statements(statements.cash_flow_statements),
            "price-target-news": self._price_targets,
            "grades-consensus": self._grades,
            "batch-aftermarket-trade": self._after_market_trades,
            "aftermarket-quote": self._after_market_quote,
            "earnings-calendar": self._earnings,
            "news/general-latest": self._general_news,
            "news/stock": self._stock_news,
            "news/press-releases-latest": self._press_releases,
            "treasury-rates": self._treasury,
        }
        return [Route(f"{ROOT}/{path}", self._answering(answer)) for path, answer in answers.items()]

    def _answering(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Check the key, and give what a handler returns or refuses."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check_key(request)
                return JSONResponse(answer(request))
            except FmpRefused as refusal:
                return JSONResponse({"Error Message": refusal.message}, refusal.status)
            except _NoSuchSymbol:
                return JSONResponse([])

        return endpoint

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("apikey")
        if given is None and self._takes_key_from_query:
            given = request.query_params.get("apikey")
        if given != self.key:
            raise FmpRefused(401, "Invalid API KEY.")

    @property
    def _today(self) -> date:
        return self._now().date()

    def _one(self, request: Request) -> Listed:
        symbol = request.query_params.get("symbol")
        if not symbol:
            raise FmpRefused(400, "Invalid or missing query parameter.")
        return _listed(symbol)

    def _company(self, request: Request) -> Listed:
        listed = self._one(request)
        if not listed.is_company:
            raise _NoSuchSymbol
        return listed

    def _quote(self, request: Request) -> list[Row]:
        row = payloads.quote(self._one(request), self._now())
        return [] if row is None else [row]

    def _quotes(self, request: Request) -> list[Row]:
        rows = [payloads.quote(listed, self._now()) for listed in _many(request)]
        odd = [payloads.odd_quote(self._now())] if ODD in _symbols(request) else []
        return [row for row in rows if row is not None] + odd

    def _daily(self, request: Request) -> list[Row]:
        first, last = _dates(request, FIRST_DAY, self._today)
        if request.query_params.get("symbol") == ODD:
            return payloads.odd_daily_rows(first, last)
        return payloads.daily_rows(self._one(request), first, last, self._now())[: self.max_days]

    def _intraday(self, request: Request) -> list[Row]:
        first, last = _dates(request, self._today, self._today)
        return payloads.intraday_rows(self._one(request), first, last, self._now())

    def _profile(self, request: Request) -> list[Row]:
        return [payloads.profile(self._company(request), self._now())]

    def _statements(self, rows: Callable[[Listed, str, int, date], list[Row]]) -> Answer:
        def answer(request: Request) -> list[Row]:
            period = request.query_params.get("period", "annual")
            return rows(self._company(request), period, _limit(request, 5), self._today)

        return answer

    def _price_targets(self, request: Request) -> list[Row]:
        listed = self._company(request)
        return payloads.price_targets(listed, _number(request, "page", 0), _limit(request, 10), self._now())

    def _grades(self, request: Request) -> list[Row]:
        return [payloads.grades(self._company(request))]

    def _after_market_trades(self, request: Request) -> list[Row]:
        rows = [payloads.after_market_trade(listed, self._now()) for listed in _many(request)]
        return [row for row in rows if row is not None]

    def _after_market_quote(self, request: Request) -> list[Row]:
        row = payloads.after_market_quote(self._one(request), self._now())
        return [] if row is None else [row]

    def _earnings(self, request: Request) -> list[Row]:
        first, last = _dates(request, self._today, self._today)
        return payloads.earnings(first, last, self._today)[: self.max_earnings]

    def _general_news(self, request: Request) -> list[Row]:
        return payloads.general_news(_number(request, "page", 0), _limit(request, 20), self._now())

    def _stock_news(self, request: Request) -> list[Row]:
        companies = [listed for listed in _many(request) if listed.is_company]
        return payloads.stock_news(companies, _number(request, "page", 0), _limit(request, 20), self._now())

    def _press_releases(self, request: Request) -> list[Row]:
        return payloads.press_releases(_number(request, "page", 0), _limit(request, 20), self._now())

    def _treasury(self, request: Request) -> list[Row]:
        first, last = _dates(request, self._today, self._today)
        first = max(first, date.fromordinal(last.toordinal() - TREASURY_DAYS + 1))
        return payloads.treasury_rates(first, last, self._now())


class _NoSuchSymbol(Exception):
    """The vendor knows nothing of it, and says so with an empty list."""


def _listed(symbol: str) -> Listed:
    listed = BY_SYMBOL.get(symbol)
    if listed is None:
        raise _NoSuchSymbol
    return listed


def _symbols(request: Request) -> list[str]:
    return request.query_params.get("symbols", "").split(",")


def _many(request: Request) -> list[Listed]:
    return [BY_SYMBOL[symbol] for symbol in _symbols(request) if symbol in BY_SYMBOL]


def _dates(request: Request, first: date, last: date) -> tuple[date, date]:
    given = request.query_params
    try:
        return (
            date.fromisoformat(given["from"]) if "from" in given else first,
            date.fromisoformat(given["to"]) if "to" in given else last,
        )
    except ValueError as error:
        raise FmpRefused(400, "Invalid or missing query parameter.") from error


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal():
        raise FmpRefused(400, "Invalid or missing query parameter.")
    return int(text)


def _limit(request: Request, default: int) -> int:
    return _number(request, "limit", default)


@dataclass(frozen=True, slots=True)
class RunningFmp:
    """The API on a port; `url` is what FMP_BASE_URL takes."""

    upstream: FmpUpstream
    server: LoopbackServer
    url: str
    key: str
    faults: Faults
    journal: Journal


@contextmanager
def fmp_server(
    *, key: str = KEY, now: Now = system_now, port: int | None = None, takes_key_from_query: bool = False
) -> Iterator[RunningFmp]:
    """Run it, on any free port unless told one.

    Raises:
        PortTaken: the port is not free.
    """
    upstream = FmpUpstream(key, now, takes_key_from_query=takes_key_from_query)
    server = LoopbackServer(upstream, upstream, port=port)
    server.start()
    try:
        yield RunningFmp(upstream, server, server.url + ROOT, key, upstream.faults, upstream.journal)
    finally:
        server.stop()
