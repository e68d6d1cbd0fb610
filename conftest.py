"""What tests of several members share: real servers from wheels, PostgreSQL once a session.

Packages whose folder bears their name are loaded here, before pytest derives test modules' names from folders.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Servers are started beside open channels, and gRPC's own handlers of a fork can wait for ever.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import chassis
import gateway
import mail
import suite
from chassis.testing import NatsServer, PostgresServer, nats_server, postgres_server

__all__ = ["chassis", "gateway", "mail", "suite"]

# How fast a machine is, is no matter of tests. Examples are drawn anew in each run, and kept when they fail.
hypothesis.settings.register_profile("bourse", deadline=None)
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
