"""Asks a gateway for a bit of everything, over and over, and keeps what became of each question."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import httpx

from harness.clients import PASSWORD, Account

PAUSE_SECONDS = 0.5
# Longer than any answer may take, so that one that takes too long is seen to.
PATIENCE_SECONDS = 30.0
STREAM_PAUSE_SECONDS = 0.5
OK = frozenset({200, 201})


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of request; the number of the time it is asked makes one differ from the next.

    Attributes:
        body: None for GET.
        account: whose token goes along.
        good: the statuses of the answer that is wanted.
    """

    kind: str
    path: Callable[[int], str]
    body: Callable[[int], Mapping[str, Any]] | None = None
    account: Account | None = None
    good: frozenset[int] = OK


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request came to; times by the monotonic clock, `status` None when there was no answer."""

    kind: str
    number: int
    began_at: float
    seconds: float
    status: int | None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    good: frozenset[int] = OK

    @property
    def is_good(self) -> bool:
        return self.status in self.good

    @property
    def ended_at(self) -> float:
        return self.began_at + self.seconds


@dataclass(frozen=True, slots=True)
class Heard:
    """One event of the stream."""

    name: str
    body: Any
    at: float


# Needs nothing but the gateway's turn on the processor: what it waits for, everything waits for.
ALIVE = Question("alive", lambda _: "/livez")


class Prober:
    """Asks each kind of question in turn with itself, side by side with the other kinds, and listens to the stream."""

    def __init__(self, url: str, questions: Sequence[Question], *, symbols: str) -> None:
        self._url = url
        self._questions = questions
        self._symbols = symbols
        self.outcomes: list[Outcome] = []
        self.heard: list[Heard] = []

    @property
    def kinds(self) -> list[str]:
        return [question.kind for question in self._questions]

    @asynccontextmanager
    async def asking(self) -> AsyncIterator["Prober"]:
        """Ask until the block is left, and then until what was asked is answered."""
        over = asyncio.Event()
        timeout = httpx.Timeout(PATIENCE_SECONDS)
        async with httpx.AsyncClient(base_url=self._url, timeout=timeout, trust_env=False, verify=False) as client:
            asking = [asyncio.create_task(self._ask_on(client, question, over)) for question in self._questions]
            listening = asyncio.create_task(self._listen_on(client))
            try:
                yield self
            finally:
                over.set()
                listening.cancel()
                await asyncio.gather(*asking)
                await asyncio.gather(listening, return_exceptions=True)

    def since(self, began_at: float, until: float = float("inf")) -> list[Outcome]:
        """Return what was asked within a time."""
        return [outcome for outcome in self.outcomes if began_at <= outcome.began_at < until]

    def slower_than(self, seconds: float) -> list[Outcome]:
        """Return what took longer, not counting for how long the machine itself stood still meanwhile."""
        return [outcome for outcome in self.outcomes if outcome.seconds > seconds + self._stall_during(outcome)]

    def _stall_during(self, outcome: Outcome) -> float:
        within = (
            alive.seconds
            for alive in self.outcomes
            if alive.kind == ALIVE.kind and alive.began_at < outcome.ended_at and alive.ended_at > outcome.began_at
        )
        return sum(within)

    def last(self, kind: str) -> Outcome | None:
        return next((outcome for outcome in reversed(self.outcomes) if outcome.kind == kind), None)

    async def until_asked(self, times: int, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until each kind was asked and answered so often from now on."""
        began_at = time.monotonic()
        while any(count < times for count in self._counts_since(began_at).values()):
            assert time.monotonic() < began_at + seconds, self._counts_since(began_at)
            await asyncio.sleep(0.05)

    async def until_good(self, *, seconds: float) -> float:
        """Wait until each kind's answer is the good one again; return since when, as seconds from now."""
        began_at = time.monotonic()
        while not all(self._is_good_since(kind, began_at) for kind in self.kinds):
            assert time.monotonic() < began_at + seconds, self._worst_since(began_at)
            await asyncio.sleep(0.05)
        bad = [outcome.ended_at for outcome in self.since(began_at) if not outcome.is_good]
        return max(bad, default=began_at) - began_at

    def _is_good_since(self, kind: str, moment: float) -> bool:
        last = self.last(kind)
        return last is not None and last.began_at >= moment and last.is_good

    def _counts_since(self, moment: float) -> dict[str, int]:
        counts = Counter(outcome.kind for outcome in self.since(moment))
        return {kind: counts[kind] for kind in self.kinds}

    def _worst_since(self, moment: float) -> list[Outcome]:
        return [last for kind in self.kinds if (last := self.last(kind)) and not self._is_good_since(kind, moment)]

    async def _ask_on(self, client: httpx.AsyncClient, question: Question, over: asyncio.Event) -> None:
        number = 0
        while not over.is_set():
            number += 1
            self.outcomes.append(await _ask(client, question, number))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen_on(self, client: httpx.AsyncClient) -> None:
        while True:
            try:
                async with client.stream("GET", "/api/stream", params={"symbols": self._symbols}) as answer:
                    self._hear("opened", answer.status_code)
                    await self._listen(answer)
                self._hear("ended", None)
            except httpx.HTTPError as error:
                self._hear("broken", type(error).__name__)
            await asyncio.sleep(STREAM_PAUSE_SECONDS)

    async def _listen(self, answer: httpx.Response) -> None:
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                self._hear(name, json.loads(line.removeprefix("data: ")))

    def _hear(self, name: str, body: Any) -> None:
        self.heard.append(Heard(name, body, time.monotonic()))


async def _ask(client: httpx.AsyncClient, question: Question, number: int) -> Outcome:
    headers = question.account.bearer if question.account is not None else {}
    began_at = time.monotonic()
    path = question.path(number)
    try:
        if question.body is None:
            answer = await client.get(path, headers=headers)
        else:
            answer = await client.post(path, json=question.body(number), headers=headers)
    except httpx.HTTPError as error:
        return Outcome(question.kind, number, began_at, time.monotonic() - began_at, None, type(error).__name__)
    client.cookies.clear()
    body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else None
    seconds = time.monotonic() - began_at
    status = answer.status_code
    return Outcome(question.kind, number, began_at, seconds, status, body, headers=answer.headers, good=question.good)


def summary_of(outcomes: Iterable[Outcome]) -> str:
    """Say by kind how often which status was answered, as `login 12x200 3x503`, and how long the slowest took."""
    by_kind: dict[str, Counter[str]] = {}
    slowest = 0.0
    for outcome in outcomes:
        by_kind.setdefault(outcome.kind, Counter())[str(outcome.status or "none")] += 1
        slowest = max(slowest, outcome.seconds)
    parts = [
        f"{kind} {' '.join(f'{count}x{status}' for status, count in sorted(counts.items()))}"
        for kind, counts in by_kind.items()
    ]
    return f"{'; '.join(parts)}; slowest {slowest:.1f} s"


# --- what is asked -----------------------------------------------------------------------------------------------

FIRST_DAY, DAYS = date(2024, 1, 1), 600
STOCKS = ("TCS", "INFY", "SBIN", "ITC", "WIPRO", "AXISBANK")
US_STOCKS = ("AAPL", "MSFT", "GOOGL", "AMZN", "NVDA", "TSLA")


def _month_of_history(number: int) -> str:
    first = FIRST_DAY + timedelta(days=number % DAYS)
    last = first + timedelta(days=30)
    return f"/api/stock/historical-light/{US_STOCKS[number % 6]}?from_date={first}&to_date={last}"


def questions_for(account: Account, *, portfolio_id: int, watchlist_id: int) -> list[Question]:
    """Return a bit of everything: public reads, kept and not, and what is a user's own, reads and writes."""

    def path(text: str) -> Callable[[int], str]:
        return lambda _: text

    def versioned(number: int) -> dict[str, Any]:
        return {"stocks": [{"symbol": f"NSE:{name}", "quantity": number, "total_cost": number} for name in STOCKS]}

    return [
        Question("kept", path("/api/exchanges/list")),
        Question("snapshot", path("/api/index/snapshot")),
        Question("prices", path("/api/portfolio/live-prices?symbols=NSE:TCS,NSE:INFY")),
        Question("search", lambda number: f"/api/instruments/search?q={'abcdefghijklmnopqrstuvwxyz'[number % 26]}"),
        Question("history", _month_of_history),
        Question("profile", lambda number: f"/api/stock/profile/{US_STOCKS[number % 6]}"),
        Question("login", path("/api/auth/login"), lambda _: {"email": account.email, "password": PASSWORD}),
        Question("me", path("/api/auth/user/me"), account=account),
        Question("lists", path(f"/api/watchlist/me/{watchlist_id}"), account=account),
        Question("stocks", path(f"/api/portfolios/me/{portfolio_id}/stock"), versioned, account=account),
        Question(
            "alert",
            path("/api/alerts/me"),
            lambda number: {"type": "sell", "symbol": "NSE:SBIN", "price": 80_000_000 + number},
            account=account,
        ),
        Question("alerts", path("/api/alerts/me"), account=account),
        Question("health", path("/api/health")),
        ALIVE,
    ]
