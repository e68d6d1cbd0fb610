"""How the client waits, rests and translates failures, over a connection that does as it is told."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.clock import ManualClock
from market.domain.quote_sources import SourceRefused
from market.providers.yahoo import fetch
from market.providers.yahoo.fetch import WORKERS, YahooClient
from market.providers.yahoo.session import AnsweredError, VendorFailed, VendorLimits, guarded


class YFException(Exception):
    pass


class YFRateLimitError(YFException):
    pass


class RequestFailed(Exception):
    pass


class TimedOut(RequestFailed):
    pass


LIBRARY = SimpleNamespace(
    YFException=YFException,
    YFRateLimitError=YFRateLimitError,
    requests=SimpleNamespace(exceptions=SimpleNamespace(Timeout=TimedOut, RequestException=RequestFailed)),
)


class Connection:
    """Raises or answers once its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.sent = 0
        self.answer: Callable[[], Any] = lambda: SimpleNamespace(status_code=200, text="{}")

    def get(self, url: str, arguments: dict[str, str], seconds: float) -> Any:
        self.sent += 1
        assert self.gate.wait(10)
        return self.answer()


@pytest.fixture
def connection() -> Iterator[Connection]:
    connection = Connection()
    yield connection
    connection.gate.set()


@pytest.fixture
def client(connection: Connection) -> Iterator[YahooClient]:
    with ThreadPoolExecutor(WORKERS) as pool:
        yield YahooClient(LIBRARY, connection, pool, ManualClock(datetime(2026, 1, 14, tzinfo=UTC)))
        connection.gate.set()


def raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


async def problem_of(client: YahooClient) -> str:
    with pytest.raises(SourceRefused) as refused:
        await client.quotes(["AAPL"])
    return refused.value.problem


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (YFRateLimitError(), "limits how often it may be asked"),
        (VendorLimits(), "limits how often it may be asked"),
        (VendorFailed(), "is not answering"),
        (YFException("crumb=secret"), "is not answering"),
        (TimedOut("crumb=secret"), "did not answer in time"),
        (RequestFailed("crumb=secret"), "cannot be reached"),
        (AnsweredError("<html>"), "answered what cannot be read"),
    ],
)
async def test_failures_are_told_without_what_the_library_said(
    client: YahooClient, connection: Connection, error: Exception, problem: str
) -> None:
    connection.answer = raising(error)
    with pytest.raises(SourceRefused) as refused:
        await client.quotes(["AAPL"])
    assert refused.value.problem == problem
    assert "secret" not in repr((refused.value, refused.value.__cause__))


async def test_an_error_that_says_something_is_an_answer(client: YahooClient, connection: Connection) -> None:
    connection.answer = raising(AnsweredError('{"chart": {"error": 1}}'))
    assert await client.quotes(["AAPL"]) == {"chart": {"error": 1}}


async def test_who_waits_is_not_sent_after_a_limit(client: YahooClient, connection: Connection) -> None:
    connection.gate.clear()
    connection.answer = raising(VendorLimits())
    calls = [asyncio.create_task(problem_of(client)) for _ in range(WORKERS + 3)]
    while connection.sent < WORKERS:
        await asyncio.sleep(0)
    connection.gate.set()
    assert set(await asyncio.gather(*calls)) == {"limits how often it may be asked"}
    assert connection.sent == WORKERS


async def test_a_limit_counts_though_nobody_waits_any_more(
    client: YahooClient, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.gate.clear()
    connection.answer = raising(VendorLimits())
    left = asyncio.create_task(client.quotes(["AAPL"]))
    while not connection.sent:
        await asyncio.sleep(0)
    left.cancel()
    connection.gate.set()
    while "source limits us" not in caplog.messages:
        await asyncio.sleep(0)
    assert await problem_of(client) == "limits how often it may be asked"
    assert connection.sent == 1


async def test_a_call_that_takes_too_long_is_given_up(
    client: YahooClient, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "CALL_SECONDS", 0.01)
    connection.gate.clear()
    assert await problem_of(client) == "did not answer in time"


async def test_too_many_at_once_are_refused(
    client: YahooClient, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MOST_AT_ONCE", 1)
    connection.gate.clear()
    first = asyncio.create_task(client.quotes(["AAPL"]))
    while not connection.sent:
        await asyncio.sleep(0)
    assert await problem_of(client) == "is asked for too much at once"
    connection.gate.set()
    assert await first == {}


class Session:
    """A session as the library has it."""

    def __init__(self, status: int, body: str = "{}") -> None:
        self.asked: list[dict[str, Any]] = []
        self._response = SimpleNamespace(status_code=status, text=body, content=body.encode())

    def request(self, **arguments: Any) -> Any:
        self.asked.append(arguments)
        return self._response


DATA, COOKIES = "https://query2.finance.yahoo.com/v8/finance/chart/AAPL", "https://fc.yahoo.com"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, "", VendorLimits),
        (200, "Too Many Requests\r\n", VendorLimits),
        (500, "", VendorFailed),
        (503, "<html>", VendorFailed),
        (404, "{}", AnsweredError),
        (422, "{}", AnsweredError),
    ],
)
def test_hopeless_answers_are_raised_at_once(status: int, body: str, error: type[Exception]) -> None:
    session = Session(status, body)
    guarded(session, lambda: None, timeout_seconds=6)
    with pytest.raises(error):
        session.request(method="GET", url=DATA)
    session.request(method="GET", url=COOKIES)


@pytest.mark.parametrize(("status", "body"), [(401, "{}"), (403, "{}"), (200, "Too Many Requests" + " " * 200)])
def test_what_the_library_can_help_is_left_to_it(status: int, body: str) -> None:
    session = Session(status, body)
    guarded(session, lambda: None, timeout_seconds=6)
    assert session.request(method="GET", url=DATA).status_code == status


def test_each_request_is_counted_before_it_goes_out() -> None:
    session, counted = Session(200), []
    guarded(session, lambda: counted.append(len(session.asked)), timeout_seconds=6)
    session.request(method="GET", url=DATA, timeout=30)
    session.request(method="GET", url=COOKIES, timeout=2)
    session.request(method="GET", url=COOKIES)
    assert counted == [0, 1, 2]
    assert [each["timeout"] for each in session.asked] == [6, 2, 6]


def test_what_may_not_be_asked_does_not_go_out() -> None:
    def refuse() -> None:
        raise SourceRefused("may not be asked more often now")

    session = Session(200)
    guarded(session, refuse, timeout_seconds=6)
    with pytest.raises(SourceRefused):
        session.request(method="GET", url=DATA)
    assert session.asked == []


class SlowSession:
    """Holds its first request until the gate is open."""

    def __init__(self) -> None:
        self.begun, self.gate = threading.Event(), threading.Event()
        self.sent = 0
        self.is_closed = False

    def request(self, **arguments: Any) -> Any:
        self.sent += 1
        self.begun.set()
        assert self.gate.wait(10)
        return SimpleNamespace(status_code=200, content=b"{}", text="{}")

    def get(self, url: str, arguments: dict[str, str], seconds: float) -> Any:
        for _ in range(2):  # a cookie's, and what was asked
            answer = self.request(method="GET", url=url)
        return answer

    def close(self) -> None:
        self.is_closed = True


class Unlimited:
    async def take(self, calls: int = 1) -> None:
        """Allow them."""


async def test_whoever_closes_waits_for_the_request_that_is_out_and_for_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = SlowSession()
    library = SimpleNamespace(**vars(LIBRARY), YfData=lambda session: session)
    monkeypatch.setattr(fetch, "_open_library", lambda folder: (library, session))
    async with fetch.open_yahoo(tmp_path, Unlimited(), ManualClock(datetime(2026, 1, 14, tzinfo=UTC))) as client:
        asking = asyncio.create_task(client.quotes(["AAPL"]))
        await asyncio.to_thread(session.begun.wait, 10)
        asyncio.get_running_loop().call_soon(session.gate.set)  # once closing waits
    with pytest.raises(SourceRefused, match="is not asked any more"):
        await asking
    assert session.sent == 1
    assert session.is_closed
