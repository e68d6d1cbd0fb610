from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import httpx
import pytest

from contract.vendors import Vendors, running_vendors
from harness.backends import BACKENDS, UNLIMITED, running_suite
from harness.clients import Account, gateway_client, register
from harness.compose_suite import COMPOSED, backends_asked, composed_suite, is_composed
from harness.processes import RunningSuite

FOLDER = Path(__file__).parent
# What these ask about is decided before any database is asked: one backend shows it.
GATEWAYS_OWN = ("test_bad_input.py", "test_fuzzing.py", "test_http.py")
ASK_A_SUITE = {"suite", "sourced"}
RUNNING = pytest.StashKey[ExitStack]()


@pytest.fixture(scope="session")
def vendors() -> Iterator[Vendors]:
    """Stand-ins of the brokers; each test opens accounts of its own there."""
    with running_vendors() as vendors:
        yield vendors


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory, vendors: Vendors) -> Iterator[RunningSuite]:
    """The composed containers, with as much of `RunningSuite` as is asked for here."""
    environment = {**vendors.environment, "GATEWAY_LIMIT_SYNC": "1000000/minute"}
    with composed_suite(tmp_path_factory.mktemp("composed"), environment) as running:
        yield cast("RunningSuite", running)


@pytest.fixture(scope="session", params=backends_asked())
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, vendors: Vendors
) -> Iterator[RunningSuite]:
    """The whole suite, booted once a backend for all files of this folder."""
    if request.param == COMPOSED:
        yield request.getfixturevalue("composed")
        return
    environment = {**UNLIMITED, **vendors.environment, "GATEWAY_LIMIT_SYNC": "1000000/minute"}
    with ExitStack() as running:
        request.config.stash[RUNNING] = running
        yield running.enter_context(running_suite(request.param, tmp_path_factory.mktemp("suite"), environment))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to `make long` what would ask the gateway alone for the same a second time.

    Of the composed containers only those tests tell that ask them.
    """
    for item in items:
        if item.path.name in GATEWAYS_OWN and f"[{BACKENDS[1]}" in item.name:
            item.add_marker("long")
    if is_composed():
        elsewhere = [item for item in items if not ASK_A_SUITE & set(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


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
