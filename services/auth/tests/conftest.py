from datetime import UTC, datetime

import pytest

from chassis.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 9, 15, tzinfo=UTC))
