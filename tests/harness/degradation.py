"""A suite whose servers stand behind proxies, what is asked of it while one of them is away, and what that shows."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from chassis.testing import NatsServer, free_port, postgres_server, valkey_server
from harness.backends import DATABASES, UNLIMITED
from harness.clients import Account, gateway_client, register
from harness.fault_proxy import FaultProxy
from harness.prober import STOCKS, Heard, Outcome, Prober, Question, questions_for, summary_of
from harness.processes import RunningSuite

# The longest of: a call's RPC_DEADLINE_SECONDS (5), a vendor's call inside it, and what a laden machine takes besides.
LONGEST_SECONDS = 12.0
# The aim is two seconds, and what it took is printed; on a laden machine it takes what it takes.
TOLD_SECONDS = 20.0
WELL_SECONDS = 60.0
LOOK_SECONDS = 0.1
LOOK_TIMEOUT_SECONDS = 1.0
SYMBOLS = "NSE:TCS,NSE:INFY"
OK = frozenset({200, 201})
AWAY = frozenset({503, 504})
REFUSED = frozenset({503})
ENVELOPE = {"error", "message", "code", "request_id"}
PUBLIC = frozenset({"kept", "snapshot", "prices", "search", "history", "profile", "health", "alive"})
OWN = frozenset({"login", "me", "lists", "stocks", "alert", "alerts"})


class NatsBehindProxy:
    """A NATS server that the suite reaches through a proxy."""

    def __init__(self, server: NatsServer, proxy: FaultProxy) -> None:
        self._server = server
        self.url = f"nats://127.0.0.1:{proxy.port}"

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.kill()


@dataclass(frozen=True, slots=True)
class Row:
    """What one fault came to."""

    fault: str
    clients: str
    told: str
    well: str


@dataclass(frozen=True, slots=True)
class Stand:
    """A running suite, and what faults came to so far."""

    suite: RunningSuite
    rows: list[Row] = field(default_factory=list, kw_only=True)

    def metrics_address(self, name: str) -> str:
        address = self.suite.processes[name].plan.metrics_address
        assert address is not None
        return address


@dataclass(frozen=True, slots=True)
class ProxiedStand(Stand):
    """A suite on servers, the real addresses of these, and the proxies before them."""

    nats: FaultProxy
    postgres: FaultProxy
    redis: FaultProxy
    nats_url: str
    postgres_port: int

    def direct(self, database_url: str) -> str:
        """Return a database's address past the proxy."""
        return database_url.replace(f":{self.postgres.port}/", f":{self.postgres_port}/")

    def heal(self) -> None:
        for proxy in (self.nats, self.postgres, self.redis):
            proxy.let_pass()


@contextmanager
def suite_behind_proxies(folder: Path, environment: Mapping[str, str]) -> Iterator[ProxiedStand]:
    """Run the whole suite on PostgreSQL, Valkey and NATS, each behind a proxy; it must end by itself."""
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        postgres = proxy_before(stack, server.port)
        valkey = urlsplit(stack.enter_context(valkey_server(folder)))
        redis = proxy_before(stack, valkey.port or 0)
        nats_server = NatsServer(folder, free_port())
        nats_server.start()
        stack.callback(nats_server.stop)
        nats = proxy_before(stack, nats_server.port)
        addresses = {
            f"{name.upper()}_DATABASE_URL": server.create_database().replace(f":{server.port}/", f":{postgres.port}/")
            for name in DATABASES
        }
        own = {**UNLIMITED, **addresses, "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0", **environment}
        suite = RunningSuite.planned(folder, own, nats=NatsBehindProxy(nats_server, nats))
        stack.callback(suite.stop_all)
        suite.start_all()
        stand = ProxiedStand(suite, nats, postgres, redis, nats_url=nats_server.url, postgres_port=server.port)
        yield stand
        stand.heal()
        codes = suite.stop_all()
        assert set(codes.values()) <= {0}, f"not ended cleanly: {codes}"


def proxy_before(stack: ExitStack, port: int) -> FaultProxy:
    """Start a proxy before a port until the stack is left."""
    proxy = FaultProxy(port)
    proxy.start()
    stack.callback(proxy.stop)
    return proxy


# --- what operators see --------------------------------------------------------------------------------------------


class Operator:
    """Looks at `/api/health`, and at each process's `/readyz` and `/metrics`."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._client = httpx.AsyncClient(timeout=LOOK_TIMEOUT_SECONDS, trust_env=False, verify=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def health(self) -> dict[str, Any]:
        """Return what `/api/health` says; nothing when it does not answer."""
        with suppress(httpx.HTTPError):
            answer: dict[str, Any] = (await self._client.get(f"{self._stand.suite.gateway_url}/api/health")).json()
            return answer
        return {}

    async def readiness(self, name: str) -> int | None:
        """Return the status of a process's `/readyz`; None when it does not answer."""
        with suppress(httpx.HTTPError):
            return (await self._client.get(f"http://{self._stand.metrics_address(name)}/readyz")).status_code
        return None

    async def metric(self, name: str, metric: str) -> float:
        """Return a sample of a process's metrics, written as there; 0 where there is none."""
        with suppress(httpx.HTTPError):
            text = (await self._client.get(f"http://{self._stand.metrics_address(name)}/metrics")).text
            found = re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
            return float(found.group(1)) if found else 0.0
        return -1.0


Holds = Callable[[Operator], "asyncio.Future[bool] | Any"]
Sign = tuple[str, Holds]


def health_says(words: str, holds: Callable[[dict[str, Any]], bool]) -> Sign:
    async def look(operator: Operator) -> bool:
        body = await operator.health()
        return "services" in body and holds(body)

    return f"health: {words}", look


def service_is(name: str, status: str) -> Sign:
    return health_says(f"{name} {status}", lambda body: body["services"][name]["status"] == status)


def check_fails(name: str, check: str) -> Sign:
    return health_says(f"{name}.{check}", lambda body: body["services"][name]["checks"].get(check) is False)


def readiness_is(name: str, status: int | None) -> Sign:
    async def look(operator: Operator) -> bool:
        return await operator.readiness(name) == status

    return f"{name} /readyz {status or 'mute'}", look


def metric_is(name: str, metric: str, holds: Callable[[float], bool]) -> Sign:
    async def look(operator: Operator) -> bool:
        return holds(await operator.metric(name, metric))

    return f"{name} {metric.removeprefix('bourse_')}", look


async def told_after(operator: Operator, sign: Sign, began_at: float, *, within: float = TOLD_SECONDS) -> float:
    """Return after how many seconds a sign held."""
    while not await sign[1](operator):
        assert time.monotonic() < began_at + within, f"not told in {within:g} s: {sign[0]}; {await operator.health()}"
        await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - began_at


# --- one fault ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong and may heal, what tells of it, and what clients may be answered meanwhile.

    Attributes:
        allowed: the statuses by kind of question; what is not named is answered well.
        signs: what must tell of it, and still does when it ends.
        seconds: for how long it lasts, at least.
    """

    name: str
    begin: Callable[[], None]
    heal: Callable[[], None]
    signs: Collection[Sign]
    allowed: Mapping[str, frozenset[int]] = field(default_factory=dict)
    seconds: float = 6.0


@dataclass(frozen=True, slots=True)
class Course:
    """What happened while a fault lasted and after it."""

    stand: Stand
    account: Account
    portfolio_id: int
    prober: Prober
    operator: Operator
    began_at: float
    healed_at: float
    well_at: float

    def heard(self, name: str, since: float, until: float = float("inf")) -> list[Heard]:
        return [heard for heard in self.prober.heard if heard.name == name and since <= heard.at < until]

    def during(self, kind: str | None = None) -> list[Outcome]:
        within = self.prober.since(self.began_at, self.healed_at)
        return [outcome for outcome in within if kind in {None, outcome.kind}]


@asynccontextmanager
async def course_of(stand: Stand, fault: Fault) -> AsyncIterator[Course]:
    """Let a fault come and go while everything is asked for; check what every fault has to keep to."""
    async with gateway_client(stand.suite.gateway_url) as client:
        account = await register(client)
        questions, portfolio_id = await questions_of(client, account)
    prober = Prober(stand.suite.gateway_url, questions, symbols=SYMBOLS)
    operator = Operator(stand)
    try:
        async with prober.asking():
            await prober.until_asked(2)
            began_at = time.monotonic()
            await asyncio.to_thread(fault.begin)
            try:
                told = await _told(operator, fault, began_at)
                await asyncio.sleep(max(0.0, began_at + fault.seconds - time.monotonic()))
                for sign in fault.signs:
                    await told_after(operator, sign, time.monotonic())
            finally:
                healed_at = time.monotonic()
                await asyncio.to_thread(fault.heal)
            healthy = health_says("healthy", lambda body: body["status"] == "healthy")
            healthy_after = await told_after(operator, healthy, healed_at, within=WELL_SECONDS)
            await prober.until_good(seconds=WELL_SECONDS)
            well_at = time.monotonic()
            await prober.until_asked(1)
            course = Course(stand, account, portfolio_id, prober, operator, began_at, healed_at, well_at)
            _note(stand, fault, course, told, healthy_after=healthy_after)
            yield course
        check_answers(fault, course)
        await check_nothing_half_written(course)
    finally:
        await operator.close()


async def _told(operator: Operator, fault: Fault, began_at: float) -> dict[str, float]:
    times = await asyncio.gather(*(told_after(operator, sign, began_at) for sign in fault.signs))
    return {sign[0]: seconds for sign, seconds in zip(fault.signs, times, strict=True)}


def _note(stand: Stand, fault: Fault, course: Course, told: Mapping[str, float], *, healthy_after: float) -> None:
    words = ", ".join(f"{name} {seconds:.1f}" for name, seconds in told.items())
    bad = [outcome.ended_at for outcome in course.prober.since(course.healed_at) if not outcome.is_good]
    answers_after = max(bad, default=course.healed_at) - course.healed_at
    well = f"answers {answers_after:.1f}, health {healthy_after:.1f}"
    stand.rows.append(Row(fault.name, summary_of(course.during()), words, well))
    print("|", " | ".join((fault.name, summary_of(course.during()), words, well)), "|")  # noqa: T201  # shown by -s


async def questions_of(client: httpx.AsyncClient, account: Account) -> tuple[list[Question], int]:
    """Make what a user asks for, and return the questions and the portfolio's id."""
    portfolio_id = (await _made(client, "/api/portfolios/me", account))["id"]
    watchlist_id = (await _made(client, "/api/watchlists/me", account))["watchlist"]["id"]
    return questions_for(account, portfolio_id=portfolio_id, watchlist_id=watchlist_id), portfolio_id


async def _made(client: httpx.AsyncClient, path: str, account: Account) -> dict[str, Any]:
    answer = await client.post(path, json={"name": "mine"}, headers=account.bearer)
    assert answer.status_code in OK, answer.text
    made: dict[str, Any] = answer.json()
    return made


def check_answers(fault: Fault, course: Course) -> None:
    """Every request ends inside its deadline, with an answer that this fault allows, and every refusal says when."""
    prober = course.prober
    slow = prober.slower_than(LONGEST_SECONDS)
    assert not slow, f"{fault.name}: {slow[:3]}"
    for outcome in prober.since(course.began_at, course.well_at):
        if outcome.is_good:
            continue
        assert outcome.status in fault.allowed.get(outcome.kind, ()), f"{fault.name}: {outcome}"
        assert set(outcome.body) >= ENVELOPE, outcome
        if outcome.status in REFUSED:
            assert int(outcome.headers["retry-after"]) >= 1, outcome


async def check_nothing_half_written(course: Course) -> None:
    """What was acknowledged is there, and what was refused is wholly there or not at all."""
    async with gateway_client(course.stand.suite.gateway_url) as client:
        answer = await client.get("/api/portfolios/me", headers=course.account.bearer)
        assert answer.status_code in OK, answer.text
        alerts = (await client.get("/api/alerts/me", headers=course.account.bearer)).json()
    [portfolio] = [each for each in answer.json() if each["id"] == course.portfolio_id]
    versions = {stock["quantity"] for stock in portfolio["stocks"]}
    assert len(portfolio["stocks"]) == len(STOCKS)
    assert len(versions) == 1, f"a mixture of {versions}"
    assert versions <= _possible(course.prober, "stocks"), versions
    assert {alert["price"] - 80_000_000 for alert in alerts["sell"]} <= _possible(course.prober, "alert")


def _possible(prober: Prober, kind: str) -> set[int]:
    """Return the numbers of the writes one of which must be the last: the last acknowledged one or one after it."""
    asked = [outcome for outcome in prober.outcomes if outcome.kind == kind]
    acknowledged = max(outcome.number for outcome in asked if outcome.is_good)
    return {outcome.number for outcome in asked if outcome.number >= acknowledged}


def table_of(rows: Collection[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = [
        "| fault | what clients saw while it lasted | told after (s) | well after healing (s) |",
        "|---|---|---|---|",
    ]
    return "\n".join(head + [f"| {row.fault} | {row.clients} | {row.told} | {row.well} |" for row in rows])
