"""What tests of several members share: real servers from wheels, PostgreSQL once a session.

Packages whose folder bears their name are loaded here, before pytest derives test modules' names from folders.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Servers are started beside open channels, and gRPC's own handlers of a fork can wait for ever.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# A tenth of it is waited for callers to leave a server that stops, and thousands are stopped here.
os.environ.setdefault("SHUTDOWN_GRACE_SECONDS", "0.3")

import chassis
import gateway
import mail
import suite
from chassis.testing import NatsServer, PostgresServer, nats_server, postgres_server

__all__ = ["chassis", "gateway", "mail", "suite"]


class _Loop(asyncio.SelectorEventLoop):
    """A loop that ends what was closed and still had something to send when a test was over.

    Whoever owned such a connection has closed it; its peer was too slow, or gone. Left behind, it is collected in the
    middle of some later test and fails that one. What nobody has closed is still reported.
    """

    def close(self) -> None:
        closing = [] if self.is_closed() else [each for each in self._left_behind() if each.is_closing()]
        for transport in closing:
            transport.abort()
        # A loop that is closed while its thread runs another one cannot be run again.
        if closing and not _is_a_loop_running():
            self.run_until_complete(asyncio.sleep(0))
        super().close()

    def _left_behind(self) -> list[asyncio.WriteTransport]:
        return list(getattr(self, "_transports", {}).values())


def _is_a_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _LoopPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _Loop()


asyncio.set_event_loop_policy(_LoopPolicy())

# How fast a machine is, is no matter of tests. Examples are drawn anew in each run, and kept when they fail.
# As many as the budget of CI allows; each run draws others.
hypothesis.settings.register_profile("bourse", deadline=None, max_examples=40)
hypothesis.settings.load_profile("bourse")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database()
