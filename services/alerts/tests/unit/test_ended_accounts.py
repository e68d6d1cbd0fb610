from datetime import UTC, datetime
from typing import Any

import pytest
from nats.aio.msg import Msg

from alerts.domain.desk import UserIdInvalid
from alerts.feed.users import AGAIN_AFTER_SECONDS, EndedAccounts
from bourse.auth.v1 import events_pb2
from chassis.errors import DatabaseUnavailable
from chassis.event_reader import Again

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)


class FakeMessage:
    """A message that was delivered some number of times."""

    def __init__(self, payload: bytes, *, delivery: int) -> None:
        self.data = payload
        self.metadata = Msg.Metadata(
            sequence=Msg.Metadata.SequencePair(1, 1),
            num_pending=0,
            num_delivered=delivery,
            timestamp=START,
            stream="EVENTS",
            consumer="alerts_user_deleted",
        )


class Accounts:
    """Forgets who is named, or raises what it is told to."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.failure: Exception | None = None

    async def forget(self, user_id: str) -> int:
        if self.failure is not None:
            raise self.failure
        self.forgotten.append(user_id)
        return 1


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


async def take(accounts: Accounts, payload: bytes, *, delivery: int = 1) -> Again | None:
    message: Any = FakeMessage(payload, delivery=delivery)
    return await EndedAccounts(accounts.forget).take(message)


ENDED = events_pb2.UserDeleted(user_id="7").SerializeToString()


async def test_an_ended_account_is_forgotten_and_once_more_a_while_later(accounts: Accounts) -> None:
    assert await take(accounts, ENDED) == Again(AGAIN_AFTER_SECONDS)
    assert await take(accounts, ENDED, delivery=2) is None
    assert accounts.forgotten == ["7", "7"]


@pytest.mark.parametrize("payload", [b"\xff", ENDED])
async def test_what_can_never_be_read_does_not_come_again(accounts: Accounts, payload: bytes) -> None:
    accounts.failure = UserIdInvalid()
    with pytest.raises(ValueError, match="user_deleted"):
        await take(accounts, payload)


async def test_while_the_database_is_away_the_event_waits(accounts: Accounts) -> None:
    accounts.failure = DatabaseUnavailable()
    with pytest.raises(DatabaseUnavailable):
        await take(accounts, ENDED)
