"""Broker credentials touch no disk: after syncs that work, fail, crash and hang, nothing the suite writes holds them.

Searched are RUN_DIR, temporary folders, the home folder, logs at DEBUG, NATS' store, the databases, the working tree,
where core dumps go, every message on NATS, every key in Valkey, and, again and again, the command line and environment
of every process.
"""

import asyncio
import hashlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import nats
import pytest
import redis
from nats.aio.msg import Msg

from harness.backends import BACKENDS, EMBEDDED, UNLIMITED, running_suite
from harness.canaries import CanarySearch, Hit, WatchedProcesses, changed_since, descendants_of, new_canary, now
from harness.clients import Account, gateway_client, register
from harness.processes import ROOT, RunningSuite
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault, kite_error
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.kite_ticker import KiteTickerServer, kite_ticker_server
from upstreams.payloads import breeze_demat, breeze_holding, kite_holding
from upstreams.servers import RunningBrokers, brokers_server

PLANTS = Path(__file__).parent / "plants"
NOT_SEARCHED = (".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__")
POSTGRES_PROGRAMS = "wheel"
ADMIN_SECRET = "what an operator configured"
SYNC_SECONDS = 5
ANY = ""
SYNC = "/api/portfolio/sync"
ICICI_SYNC = "/api/portfolio/icici-sync"


@dataclass
class Vault:
    """Every credential of the test by a name, made as it is needed; request tokens and sessions are among them."""

    canaries: dict[str, str] = field(default_factory=dict)

    def make(self, name: str) -> str:
        canary = new_canary()
        self.canaries[f"{name} {len(self.canaries)}"] = canary
        return canary


class WatchedKite(KiteAccount):
    """A Zerodha account whose sessions' tokens are canaries too."""

    __slots__ = ("vault",)

    def __init__(self, vault: Vault, key: str) -> None:
        tcs = kite_holding(BY_KEY["NSE:TCS"], 10, 3600.0)
        super().__init__(key, vault.make("Kite secret"), holdings=[tcs], token_prefix=ANY)
        self.vault = vault

    def new_access_token(self) -> str:
        token = self.vault.make("Kite access token")
        self.access_tokens.add(token)
        return token


class WatchedBreeze(BreezeAccount):
    """An ICICI account whose sessions' keys are canaries too."""

    __slots__ = ("vault",)

    def __init__(self, vault: Vault, key: str) -> None:
        tcs = BY_KEY["NSE:TCS"]
        super().__init__(key, vault.make("Breeze secret"), api_session_prefix=ANY)
        self.holdings.append(breeze_holding(tcs, 5, 3500.0))
        self.demat.append(breeze_demat(tcs, 5))
        self.vault = vault

    def new_session_key(self) -> str:
        key = self.vault.make("Breeze session key")
        self.session_keys.add(key)
        return key


class Scene:
    """The suite, the brokers' stand-ins and a user who syncs."""

    def __init__(
        self, suite: RunningSuite, brokers: RunningBrokers, *, vault: Vault, folder: Path, others: set[Path]
    ) -> None:
        self.suite = suite
        self.brokers = brokers
        self.vault = vault
        self.folder = folder
        self._others = others
        self.kite = WatchedKite(vault, vault.make("Kite key"))
        self.breeze = WatchedBreeze(vault, vault.make("Breeze key"))
        brokers.kite.accounts.add(self.kite)
        brokers.breeze.accounts.add(self.breeze)

    def zerodha(self, **changed: str) -> dict[str, str]:
        token = self.vault.make("request token")
        return {
            "api_key": self.kite.api_key,
            "api_secret": self.kite.api_secret,
            "request_token": token,
        } | changed

    def icici(self, **changed: str) -> dict[str, str]:
        session = self.vault.make("api session")
        return {
            "api_key": self.breeze.api_key,
            "api_secret": self.breeze.api_secret,
            "api_session": session,
        } | changed

    @property
    def roots(self) -> list[int]:
        return [process.pid for process in self.suite.processes.values() if process.is_running]

    def search(self, search: CanarySearch) -> list[Hit]:
        """Search all that the suite writes to; PostgreSQL's cluster lies in the system's temporary folder."""
        return search.in_folders([self.folder, *(temporary_folders() - self._others)], without=[POSTGRES_PROGRAMS])


def temporary_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("bourse-*"))


@contextmanager
def scene_on(backend: str, folder: Path, vault: Vault, **environment: str) -> Iterator[Scene]:
    others = temporary_folders()
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        brokers = stack.enter_context(brokers_server())
        ticker: KiteTickerServer = stack.enter_context(kite_ticker_server(brokers.kite.accounts))
        own = {
            **UNLIMITED,
            "GATEWAY_LIMIT_SYNC": "100000/minute",
            "GATEWAY_ACCESS_LOG": "1",
            "LOG_LEVEL": "DEBUG",
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder / "home"),
            "KITE_ROOT_URL": brokers.kite.url,
            "KITE_TICKER_URL": ticker.url,
            "BREEZE_ROOT_URL": brokers.breeze.url,
            "BROKERS_SYNC_SECONDS": str(SYNC_SECONDS),
            "ZERODHA_ADMIN_SECRET": ADMIN_SECRET,
            "ICICI_ADMIN_SECRET": ADMIN_SECRET,
            "COVERAGE_PROCESS_CONFIG": "",
            "COVERAGE_PROCESS_START": "",
            **environment,
        }
        suite = stack.enter_context(running_suite(backend, folder, own))
        yield Scene(suite, brokers, vault=vault, folder=folder, others=others)


async def sync(client: httpx.AsyncClient, account: Account, path: str, body: dict[str, str]) -> httpx.Response:
    answer = await client.post(path, json=body, headers=account.bearer)
    for name, text in body.items():
        assert text not in answer.text, f"the answer repeats {name}"
    return answer


async def sync_in_every_way(scene: Scene, client: httpx.AsyncClient, account: Account) -> None:
    """Sync well and badly: credentials that are wrong, used, misplaced; a vendor that repeats them, crashes, hangs."""
    kite, breeze = scene.brokers.kite, scene.brokers.breeze

    async def expect(status: int, path: str, body: dict[str, str]) -> None:
        answer = await sync(client, account, path, body)
        assert answer.status_code == status, answer.text

    await expect(200, SYNC, scene.zerodha())
    await expect(200, ICICI_SYNC, scene.icici())
    proven = scene.zerodha()
    proof = proven["api_key"] + proven["request_token"] + proven.pop("api_secret")
    proven["checksum"] = hashlib.sha256(proof.encode()).hexdigest()
    scene.vault.canaries["checksum"] = proven["checksum"]
    await expect(200, SYNC, proven)
    await expect(401, SYNC, proven)
    await expect(401, SYNC, scene.zerodha(api_secret=scene.vault.make("wrong secret")))
    await expect(401, SYNC, scene.zerodha(api_key=scene.vault.make("unknown key")))
    await expect(401, ICICI_SYNC, scene.icici(api_key=scene.vault.make("unknown key")))
    used = scene.icici()
    await expect(200, ICICI_SYNC, used)
    await expect(401, ICICI_SYNC, used)

    body = scene.zerodha()
    repeated = " ".join(body.values())
    kite.faults.next("/session/token", Fault.kite_error(400, "InputException", f"Cannot use {repeated}"))
    assert (await sync(client, account, SYNC, body)).status_code in {400, 401, 503}
    kite.faults.next("/portfolio/holdings", Fault.answer(200, f"<p>{repeated}</p>".encode(), "text/html"))
    await expect(503, SYNC, scene.zerodha())
    kite.faults.next("/portfolio/positions", Fault.answer(500, kite_error("GeneralException", repeated)))
    await expect(503, SYNC, scene.zerodha())
    breeze.faults.next("portfolioholdings", Fault.breeze_error(500, f"Bad {' '.join(scene.icici().values())}"))
    assert (await sync(client, account, ICICI_SYNC, scene.icici())).status_code in {401, 503}
    breeze.faults.next("dematholdings", Fault.html(502))
    await expect(503, ICICI_SYNC, scene.icici())
    kite.faults.next("/portfolio/holdings", Fault.hang())
    await expect(504, SYNC, scene.zerodha())
    breeze.faults.next("customerdetails", Fault.hang())
    await expect(504, ICICI_SYNC, scene.icici())


async def ask_wrongly(scene: Scene, client: httpx.AsyncClient, account: Account) -> None:
    """Put credentials where they do not belong: nothing of a refused request may be repeated or logged either."""
    make = scene.vault.make
    bodies: list[str] = [
        json.dumps({**scene.zerodha(), make("name of a field"): 1}),
        json.dumps({**scene.zerodha(), "checksum": make("no checksum")}),
        json.dumps({**scene.zerodha(), "api_secret": {"in": make("nested")}}),
        json.dumps({**scene.zerodha(), "api_secret": [make("listed")]}),
        json.dumps({**scene.zerodha(), "api_key": f"with space {make('spaced')}"}),
        json.dumps({**scene.zerodha(), "request_token": make("long") * 100}),
        json.dumps(scene.zerodha())[:-1],
        f'{{"api_key": "{make("twice")}", "api_key": "{make("twice")}"}}',
        make("no JSON"),
    ]
    for path in (SYNC, ICICI_SYNC, "/zerodha/activate", "/icici/activate"):
        for body in bodies:
            headers = {**account.bearer, "Content-Type": "application/json"}
            answer = await client.post(path, content=body, headers=headers)
            assert 400 <= answer.status_code < 500, answer.text
    in_the_query = await client.post(SYNC, params=scene.zerodha(), headers=account.bearer)
    assert in_the_query.status_code == 400, in_the_query.text
    not_found = await client.get(f"/api/portfolio/sync/{make('path').replace('/', '')}", params=scene.icici())
    assert not_found.status_code == 404


async def activate(scene: Scene, client: httpx.AsyncClient) -> None:
    """Open both server-wide sessions, whose tokens stay in memory, and let the ticker connect with one."""
    refused = await client.post("/zerodha/activate", json=scene.zerodha(secret=scene.vault.make("admin secret")))
    assert refused.status_code == 403, refused.text
    for path, body in (("/zerodha/activate", scene.zerodha()), ("/icici/activate", scene.icici())):
        answer = await client.post(path, json={**body, "secret": ADMIN_SECRET})
        assert answer.status_code == 200, answer.text
        status = await client.get(path.replace("activate", "status"))
        assert status.json()["valid"] is True


async def crash_within_a_sync(scene: Scene, client: httpx.AsyncClient, account: Account) -> None:
    """Crash the child that holds credentials with the signals that leave core dumps, then the whole service."""
    numbers = (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT)
    # What a shell starts in the background ignores SIGQUIT, and so does all that it starts.
    for number in (each for each in numbers if signal.getsignal(each) is not signal.SIG_IGN):
        running = await a_sync_that_hangs(scene, client, account)
        for pid in children_of_brokers(scene):
            os.kill(pid, number)
        answer = await running
        assert answer.status_code == 503, answer.text
    running = await a_sync_that_hangs(scene, client, account)
    below = descendants_of([scene.suite.processes["brokers"].pid])
    await asyncio.to_thread(scene.suite.kill, "brokers")
    answer = await running
    assert answer.status_code == 503, answer.text
    deadline = time.monotonic() + 5
    while left := below & all_processes():
        assert time.monotonic() < deadline, f"children outlive their service: {left}"
        await asyncio.sleep(0.05)
    status = await start_brokers(scene, client)
    assert status["initialized"] is False


async def start_brokers(scene: Scene, client: httpx.AsyncClient) -> dict[str, object]:
    """Start brokers, wait until the gateway has found it again, and return the status of its Zerodha session."""
    await asyncio.to_thread(scene.suite.start, "brokers")
    deadline = time.monotonic() + 15
    while (status := await client.get("/zerodha/status")).status_code == 503:
        assert time.monotonic() < deadline, status.text
        await asyncio.sleep(0.1)
    return status.json()  # type: ignore[no-any-return]


async def a_sync_that_hangs(
    scene: Scene, client: httpx.AsyncClient, account: Account
) -> "asyncio.Task[httpx.Response]":
    kite = scene.brokers.kite
    before = kite.journal.count("/session/token")
    kite.faults.next("/session/token", Fault.hang())
    running = asyncio.create_task(sync(client, account, SYNC, scene.zerodha()))
    deadline = time.monotonic() + 10
    while kite.journal.count("/session/token") == before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return running


def children_of_brokers(scene: Scene) -> set[int]:
    """Return the processes below brokers but its forkserver, which is the one with children."""
    process = scene.suite.processes["brokers"]
    if not process.is_running:
        return set()
    below = descendants_of([process.pid]) - {process.pid}
    return {pid for pid in below if descendants_of([pid]) == {pid}} if len(below) > 1 else set()


def all_processes() -> set[int]:
    return {int(folder.name) for folder in Path("/proc").glob("[0-9]*")}


def found_in_valkey(search: CanarySearch, suite: RunningSuite) -> list[Hit]:
    address = suite.processes["brokers"].environment.get("REDIS_URL")
    if address is None:
        return []
    hits: list[Hit] = []
    with redis.Redis.from_url(address) as client:
        for key in client.scan_iter():
            hits += search.in_bytes(key + b" " + (client.dump(key) or b""), "Valkey")
    return hits


def found_where_cores_go(search: CanarySearch, since: float) -> list[Hit]:
    """Search the folder that the system's core pattern names, and every process's working folder: the repository."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    folders = [ROOT]
    if pattern.exists():
        named = Path(pattern.read_text().strip()).parent
        folders += [named] if named.is_absolute() and named != Path("/") else []
    written = changed_since(since, folders, without=NOT_SEARCHED)
    # This file is here; what it makes up is not in it.
    return [hit for path in written for hit in search.in_file(path)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", BACKENDS)
async def test_credentials_are_nowhere_after_syncs_of_every_kind(backend: str, tmp_path: Path) -> None:
    since = now()
    vault = Vault()
    messages: list[bytes] = []

    async def keep(message: Msg) -> None:
        messages.append(message.subject.encode() + str(message.headers).encode() + message.data)

    with scene_on(backend, tmp_path, vault) as scene:
        async with gateway_client(scene.suite.gateway_url) as client:
            bus = await nats.connect(scene.suite.nats_url)
            await bus.subscribe(">", cb=keep)
            account = await register(client)
            await sync_in_every_way(scene, client, account)
            await ask_wrongly(scene, client, account)
            await activate(scene, client)
            tokens = [vault.make("request token") for _ in range(5)]
            # Only what is known can be looked for: the sessions' own tokens are made as the syncs go.
            with WatchedProcesses(CanarySearch(vault.canaries), scene.roots) as watched:
                for token in tokens:
                    scene.brokers.kite.faults.next("/portfolio/holdings", Fault.slow(0.3))
                    answer = await sync(client, account, SYNC, scene.zerodha(request_token=token))
                    assert answer.status_code == 200, answer.text
            await crash_within_a_sync(scene, client, account)
            await bus.flush(timeout=5)
            await bus.close()
        search = CanarySearch(vault.canaries)
        hits = watched.hits + found_in_valkey(search, scene.suite) + scene.search(search)
        hits += [hit for message in messages for hit in search.in_bytes(message, "a message on NATS")]
    hits += search.in_folders([tmp_path]) + found_where_cores_go(search, since)

    assert hits == []
    assert len(vault.canaries) > 60
    assert len(watched.seen) > len(scene.suite.processes), "no child was seen"
    assert len(messages) > 100
    assert not (ROOT / "logs").exists()
    print(f"{backend}: {search.searched_bytes / 1e6:.0f} MB searched for {len(vault.canaries)} credentials")  # noqa: T201


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system has no /proc")
@pytest.mark.timeout(120)
async def test_a_planted_leak_is_found(tmp_path: Path) -> None:
    vault = Vault()
    with scene_on(EMBEDDED, tmp_path, vault) as scene:
        async with gateway_client(scene.suite.gateway_url) as client:
            account = await register(client)
            for leak in ("log", "file", "arguments", "environment"):
                scene.suite.stop("brokers")
                brokers = scene.suite.processes["brokers"]
                brokers.environment |= {"PYTHONPATH": str(PLANTS), "BOURSE_PLANTED_LEAK": leak}
                await start_brokers(scene, client)
                body = scene.zerodha()
                search = CanarySearch({leak: body["request_token"]})
                with WatchedProcesses(search, scene.roots) as watched:
                    answer = await sync_once_portfolio_finds_brokers(client, account, body)
                    assert answer.status_code == 200, answer.text
                    if leak in {"arguments", "environment"}:
                        await until_seen(watched)
                hits = watched.hits + scene.search(search)

                assert {hit.canary for hit in hits} == {leak}


async def sync_once_portfolio_finds_brokers(
    client: httpx.AsyncClient, account: Account, body: dict[str, str]
) -> httpx.Response:
    """Sync; portfolio connects to brokers by itself, up to a second later than the gateway."""
    deadline = time.monotonic() + 15
    while (answer := await sync(client, account, SYNC, body)).status_code == 503 and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return answer


async def until_seen(watched: WatchedProcesses) -> None:
    deadline = time.monotonic() + 5
    while not watched.hits and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
