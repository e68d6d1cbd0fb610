"""The stand-ins, running: context managers for tests (sync and async), scripts and benches.

    with kite_server(KiteAccount(holdings=[...])) as kite:
        KiteConnect(api_key, root=kite.url)
        kite.faults.next("/portfolio/holdings", Fault.throttled())

Each can be taken down and brought back on the same port: `kite.server.stop()`, `kite.server.start()`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from upstreams.breeze import ROOTS, BreezeUpstream
from upstreams.breeze_accounts import BreezeAccount, BreezeAccounts
from upstreams.faults import Faults
from upstreams.journal import Journal
from upstreams.kite import KiteUpstream
from upstreams.kite_accounts import KiteAccount, KiteAccounts
from upstreams.serving import LoopbackServer


@dataclass(frozen=True, slots=True)
class RunningKite:
    """Kite's REST API on a port; `url` is what KITE_ROOT_URL takes."""

    upstream: KiteUpstream
    server: LoopbackServer
    url: str
    accounts: KiteAccounts
    faults: Faults
    journal: Journal


@dataclass(frozen=True, slots=True)
class RunningBreeze:
    """Breeze's REST API on a port; `url` is what BREEZE_ROOT_URL takes."""

    upstream: BreezeUpstream
    server: LoopbackServer
    url: str
    accounts: BreezeAccounts
    faults: Faults
    journal: Journal


@dataclass(frozen=True, slots=True)
class RunningBrokers:
    """Both on one port, as the sandbox has them; `url` is what BROKERS_SANDBOX_URL takes."""

    kite: RunningKite
    breeze: RunningBreeze
    server: LoopbackServer
    url: str


class BothUpstreams:
    """Passes each request to the vendor whose path it is; the two have none in common."""

    def __init__(self, kite: KiteUpstream, breeze: BreezeUpstream) -> None:
        self._kite = kite
        self._breeze = breeze

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        upstream = self._breeze if scope["path"].startswith(ROOTS) else self._kite
        await upstream(scope, receive, send)


@contextmanager
def kite_server(*accounts: KiteAccount, port: int | None = None) -> Iterator[RunningKite]:
    """Run Kite's REST API with these accounts, on any free port unless told one.

    Raises:
        PortTaken: the port is not free.
    """
    upstream = KiteUpstream(KiteAccounts(accounts))
    server = LoopbackServer(upstream, upstream, port=port)
    with _running(server):
        yield _running_kite(upstream, server)


@contextmanager
def breeze_server(*accounts: BreezeAccount, port: int | None = None) -> Iterator[RunningBreeze]:
    """Run Breeze's REST API with these accounts, on any free port unless told one.

    Raises:
        PortTaken: the port is not free.
    """
    upstream = BreezeUpstream(BreezeAccounts(accounts))
    server = LoopbackServer(upstream, upstream, port=port)
    with _running(server):
        yield _running_breeze(upstream, server)


@contextmanager
def brokers_server(
    kite_accounts: Sequence[KiteAccount] = (), breeze_accounts: Sequence[BreezeAccount] = (), *, port: int | None = None
) -> Iterator[RunningBrokers]:
    """Run both on one port, any free one unless told.

    Raises:
        PortTaken: the port is not free.
    """
    kite = KiteUpstream(KiteAccounts(kite_accounts))
    breeze = BreezeUpstream(BreezeAccounts(breeze_accounts))
    server = LoopbackServer(BothUpstreams(kite, breeze), kite, breeze, port=port)
    with _running(server):
        yield RunningBrokers(_running_kite(kite, server), _running_breeze(breeze, server), server, server.url)


@contextmanager
def _running(server: LoopbackServer) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


def _running_kite(upstream: KiteUpstream, server: LoopbackServer) -> RunningKite:
    return RunningKite(upstream, server, server.url, upstream.accounts, upstream.faults, upstream.journal)


def _running_breeze(upstream: BreezeUpstream, server: LoopbackServer) -> RunningBreeze:
    return RunningBreeze(upstream, server, server.url, upstream.accounts, upstream.faults, upstream.journal)
