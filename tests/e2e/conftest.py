from collections.abc import Iterator

import pytest

from harness.backends import BACKENDS, UNLIMITED, running_suite
from harness.processes import RunningSuite


@pytest.fixture(scope="module", params=BACKENDS)
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """The whole suite, once a backend for each file of tests."""
    environment = {**UNLIMITED, **getattr(request.module, "ENVIRONMENT", {})}
    with running_suite(request.param, tmp_path_factory.mktemp("suite"), environment) as running:
        yield running
