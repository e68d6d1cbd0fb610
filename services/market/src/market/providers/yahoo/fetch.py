"""Asks Yahoo over yfinance: its session, cookies, crumb and fingerprint, and answers as the JSON that came.

Of the library only what talks to Yahoo is used. Its tables would cost pandas for every call, the host's time zone where
dates are local, and a cache that keeps errors for as long as the process lives.
"""

import asyncio
import importlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from chassis.clock import Clock
from market.domain.ports import Budget
from market.domain.quote_sources import SourceRefused
from market.providers.yahoo.session import SESSION_DIED, AnsweredError, VendorFailed, VendorLimits, guarded
from market.providers.yahoo.wire import AnswerUnreadable

log = logging.getLogger(__name__)

QUERY_1 = "https://query1.finance.yahoo.com"
QUERY_2 = "https://query2.finance.yahoo.com"
SITE = "https://finance.yahoo.com"

WORKERS = 4
MOST_AT_ONCE = 64
REQUEST_SECONDS = 6.0
CALL_SECONDS = 15.0
# Yahoo says neither how often it may be asked nor when it may be asked again; blocks of a day are known.
REST_SECONDS = 900.0
LIMITS = "limits how often it may be asked"
EARNINGS_PER_PAGE = 100
_LOCALE = {"lang": "en-US", "region": "US", "formatted": "false"}
_NOISY_LOGGERS = ("yfinance", "peewee", "curl_cffi")
# The first moment that figures of statements are asked from: 1985, before all of them.
_STATEMENTS_FROM = 493590046


class YahooClient:
    """Yahoo's addresses; one call, one question.

    Args:
        library: the module `yfinance.data`.
        connection: its data object.
        pool: where it blocks.
        clock: measures how long Yahoo is left alone.
    """

    def __init__(self, library: Any, connection: Any, pool: ThreadPoolExecutor, clock: Clock) -> None:
        self._library = library
        self._connection = connection
        self._pool = pool
        self._clock = clock
        self._places = asyncio.Semaphore(WORKERS)
        self._asking = 0
        self._rests_until: float | None = None

    async def quotes(self, symbols: Sequence[str]) -> Any:
        """Ask what many symbols cost."""
        return await self._get(f"{QUERY_1}/v7/finance/quote", {"symbols": ",".join(symbols), **_LOCALE})

    async def chart(self, symbol: str, begin: datetime, end: datetime, *, interval: str) -> Any:
        """Ask for bars that begin between two moments, with dividends and splits."""
        arguments = {
            "period1": str(int(begin.timestamp())),
            "period2": str(int(end.timestamp())),
            "interval": interval,
            "includePrePost": "false",
            "events": "div,splits,capitalGains",
        }
        return await self._get(f"{QUERY_2}/v8/finance/chart/{_in_path(symbol)}", arguments)

    async def summary(self, symbol: str, modules: Sequence[str]) -> Any:
        """Ask for modules of what is known of a company."""
        arguments = {"modules": ",".join(modules), "corsDomain": "finance.yahoo.com", "symbol": symbol, **_LOCALE}
        return await self._get(f"{QUERY_2}/v10/finance/quoteSummary/{_in_path(symbol)}", arguments)

    async def figures(self, symbol: str, types: Sequence[str]) -> Any:
        """Ask for figures of statements, such as `annualTotalRevenue`."""
        path = f"/ws/fundamentals-timeseries/v1/finance/timeseries/{_in_path(symbol)}"
        until = int((self._clock.now() + timedelta(days=1)).timestamp())
        arguments = {
            "symbol": symbol,
            "type": ",".join(types),
            "period1": str(_STATEMENTS_FROM),
            "period2": str(until),
        }
        return await self._get(QUERY_2 + path, arguments)

    async def news(self, symbols: Sequence[str], *, kind: str, limit: int) -> Any:
        """Ask for the newest articles about symbols; `kind` is `latestNews` or `pressRelease`."""
        body = {"serviceConfig": {"snippetCount": limit, "s": list(symbols)}}
        return await self._post(f"{SITE}/xhr/ncp", {"queryRef": kind, "serviceKey": "ncp_fin"}, body)

    async def earnings(self, first: date, until: date, *, offset: int) -> Any:
        """Ask for a page of American reports from a day to the first moment of another, in UTC; largest firms first."""
        kinds = [{"operator": "EQ", "operands": ["eventtype", kind]} for kind in ("EAD", "ERA")]
        body = {
            "sortType": "DESC",
            "entityIdType": "sp_earnings",
            "sortField": "intradaymarketcap",
            "includeFields": ["ticker", "startdatetime", "startdatetimetype", "epsestimate", "epsactual"],
            "size": EARNINGS_PER_PAGE,
            "offset": offset,
            "query": {
                "operator": "AND",
                "operands": [
                    {"operator": "EQ", "operands": ["region", "us"]},
                    {"operator": "OR", "operands": kinds},
                    {"operator": "GTE", "operands": ["startdatetime", first.isoformat()]},
                    {"operator": "LTE", "operands": ["startdatetime", until.isoformat()]},
                ],
            },
        }
        return await self._post(f"{QUERY_1}/v1/finance/visualization", {"lang": "en-US", "region": "US"}, body)

    async def _get(self, url: str, arguments: Mapping[str, str]) -> Any:
        return await self._ask(lambda: self._connection.get(url, dict(arguments), REQUEST_SECONDS))

    async def _post(self, url: str, arguments: Mapping[str, str], body: Mapping[str, Any]) -> Any:
        return await self._ask(lambda: self._connection.post(url, dict(body), dict(arguments), REQUEST_SECONDS))

    async def _ask(self, send: Callable[[], Any]) -> Any:
        """Return an answer's JSON.

        Raises:
            SourceRefused: Yahoo does not answer, or not what can be read, is left alone, or may not be asked now.
        """
        self._require_no_rest()
        if self._asking >= MOST_AT_ONCE:
            raise SourceRefused("is asked for too much at once")
        self._asking += 1
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._in_pool(send)
        except TimeoutError as error:
            raise SourceRefused("did not answer in time") from error
        finally:
            self._asking -= 1

    async def _in_pool(self, send: Callable[[], Any]) -> Any:
        await self._places.acquire()
        try:
            self._require_no_rest()  # another call may have been refused meanwhile
            answer = asyncio.get_running_loop().run_in_executor(self._pool, self._read, send)
        except BaseException:
            self._places.release()
            raise
        answer.add_done_callback(self._land)
        try:
            return await asyncio.shield(answer)
        except VendorLimits as error:
            raise SourceRefused(LIMITS, retry_after_seconds=REST_SECONDS, opens_at_once=True) from error

    def _land(self, answer: "asyncio.Future[Any]") -> None:
        """Take in what came, whether or not somebody still waits for it: until now the thread was taken."""
        self._places.release()
        if not answer.cancelled() and isinstance(answer.exception(), VendorLimits):
            self._rests_until = self._clock.monotonic() + REST_SECONDS
            log.warning("source limits us", extra={"source": "yahoo", "rest_seconds": REST_SECONDS})

    def _require_no_rest(self) -> None:
        left = 0.0 if self._rests_until is None else self._rests_until - self._clock.monotonic()
        if left > 0:
            raise SourceRefused(LIMITS, retry_after_seconds=left, opens_at_once=True)

    def _read(self, send: Callable[[], Any]) -> Any:
        """Ask in a worker's thread, and read what came.

        Nothing of an exception of the library is passed on: its text may hold addresses with the crumb.
        """
        errors = self._library.requests.exceptions
        try:
            response = send()
            if response.status_code in SESSION_DIED:
                raise SourceRefused("does not accept our session")
            return _document(response.text)
        except AnsweredError as error:
            return _document(error.body)
        except self._library.YFRateLimitError:
            raise VendorLimits from None
        except (VendorFailed, self._library.YFException):
            raise SourceRefused("is not answering") from None
        except errors.Timeout:
            raise SourceRefused("did not answer in time") from None
        except errors.RequestException:
            raise SourceRefused("cannot be reached") from None


@asynccontextmanager
async def open_yahoo(
    folder: Path, budget: Budget, clock: Clock, *, request_seconds: float = REQUEST_SECONDS
) -> AsyncIterator[YahooClient]:
    """Import the library and prepare it; nothing is asked yet.

    Only one client may be open in a process: the library keeps one session for all.

    Args:
        folder: where it keeps its cookies; made when it is not there.
        budget: counts every request before it goes out, those for cookies and crumbs too.
        clock: measures how long Yahoo is left alone after it refused.
        request_seconds: how long each request may take; a call that needs cookies and a crumb makes three.
    """
    loop = asyncio.get_running_loop()
    is_closing = threading.Event()

    def count() -> None:
        if is_closing.is_set():
            # One question of the library's may be seven requests, all of which would be waited for.
            raise SourceRefused("is not asked any more")
        asyncio.run_coroutine_threadsafe(budget.take(), loop).result(REQUEST_SECONDS)

    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="yahoo")
    library, session = await loop.run_in_executor(pool, _open_library, folder)
    guarded(session, count, timeout_seconds=request_seconds)
    try:
        yield YahooClient(library, library.YfData(session=session), pool, clock)
    finally:
        is_closing.set()
        await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)
        session.close()


def _open_library(folder: Path) -> tuple[Any, Any]:
    """Import yfinance, which takes seconds, and return its module of requests and a session."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _NOISY_LOGGERS:
        # At lower levels it logs crumbs and whole addresses, and what it reports as errors is raised as well.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    library = importlib.import_module("yfinance")
    library.config.debug.hide_exceptions = False
    library.set_tz_cache_location(str(folder))
    data = importlib.import_module("yfinance.data")
    return data, data.new_session()


def _document(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise AnswerUnreadable from None


def _in_path(symbol: str) -> str:
    return quote(symbol, safe="")
