from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis.clock import ManualClock
from chassis.testing import PostgresServer, postgres_server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 9, 15, tzinfo=UTC))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'auth.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database()
