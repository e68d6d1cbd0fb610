from collections.abc import Iterator

import pytest

from harness.backends import BACKENDS, EMBEDDED, SERVERS, UNLIMITED, running_suite
from harness.processes import RunningSuite

KILLED = "test_nothing_acknowledged_is_lost_when_a_service_is_killed"
KILLED_IN_LONG_RUNS = (
    (EMBEDDED, "auth"),
    (EMBEDDED, "market"),
    (SERVERS, "alerts"),
    (SERVERS, "gateway"),
    (SERVERS, "market"),
)


@pytest.fixture(scope="module", params=BACKENDS)
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """The whole suite, once a backend for each file of tests."""
    environment = {**UNLIMITED, **getattr(request.module, "ENVIRONMENT", {})}
    with running_suite(request.param, tmp_path_factory.mktemp("suite"), environment) as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make long` each service's second backend in the test of kills, which takes half a minute."""
    for item in items:
        if any(f"{KILLED}[{backend}-{victim}]" in item.name for backend, victim in KILLED_IN_LONG_RUNS):
            item.add_marker("long")
