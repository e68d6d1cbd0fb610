from datetime import timedelta

import pytest

from auth.domain.tokens import TokenPolicy
from auth.testing import InMemoryAuth
from chassis.clock import ManualClock


@pytest.fixture
def auth(clock: ManualClock) -> InMemoryAuth:
    policy = TokenPolicy(
        issuer="bourse",
        audience="clients",
        access_lifetime=timedelta(days=7),
        google_access_lifetime=timedelta(days=1),
        refresh_lifetime=timedelta(days=30),
    )
    return InMemoryAuth(clock=clock, policy=policy)
