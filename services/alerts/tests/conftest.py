from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.testing import NatsServer, PostgresServer, nats_server, postgres_server


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
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'alerts.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database()
