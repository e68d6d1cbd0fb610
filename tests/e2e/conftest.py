from collections.abc import Iterator

import pytest

from harness.backends import BACKENDS, EMBEDDED, SERVERS, UNLIMITED, running_suite
from harness.processes import RunningSuite

KILLED = "test_nothing_acknowledged_is_lost_when_a_service_is_killed"
KILLED_IN_LONG_RUNS = (
    (EMBEDDED, "auth"),
    (EMBEDDED, "market"),
    (EMBEDDED, "alerts"),
    (SERVERS, "alerts"),
    (SERVERS, "auth"),
    (SERVERS, "gateway"),
    (SERVERS, "market"),
)
# Each boots a suite of its own; what differs between the backends in them is storage, which the members test on both.
ON_ONE_BACKEND = ("test_sync_kill.py", "test_replay.py", "test_canary.py")


@pytest.fixture(scope="module", params=BACKENDS)
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """The whole suite, once a backend for each file of tests."""
    environment = {**UNLIMITED, **getattr(request.module, "ENVIRONMENT", {})}
    with running_suite(request.param, tmp_path_factory.mktemp("suite"), environment) as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make long` most second backends of what takes half a minute, and kills that members test as well."""
    for item in items:
        is_second_kill = any(f"{KILLED}[{backend}-{victim}]" in item.name for backend, victim in KILLED_IN_LONG_RUNS)
        if is_second_kill or (item.path.name in ON_ONE_BACKEND and f"[{SERVERS}" in item.name):
            item.add_marker("long")
