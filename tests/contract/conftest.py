from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from harness.backends import BACKENDS, UNLIMITED, running_suite
from harness.clients import Account, gateway_client, register
from harness.processes import RunningSuite

FOLDER = Path(__file__).parent
RUNNING = pytest.StashKey[ExitStack]()


@pytest.fixture(scope="session", params=BACKENDS)
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """The whole suite, booted once a backend for all files of this folder."""
    with ExitStack() as running:
        request.config.stash[RUNNING] = running
        yield running.enter_context(running_suite(request.param, tmp_path_factory.mktemp("suite"), UNLIMITED))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    # A session's fixture outlives this folder, and the tests after it should have the processors to themselves.
    if RUNNING in item.config.stash and (nextitem is None or FOLDER not in nextitem.path.parents):
        item.config.stash[RUNNING].close()


@pytest.fixture
async def client(suite: RunningSuite) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_client(suite.gateway_url) as client:
        yield client


@pytest.fixture
async def account(client: httpx.AsyncClient) -> Account:
    return await register(client)
