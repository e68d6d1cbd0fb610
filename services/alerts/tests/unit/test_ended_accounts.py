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

    def __init__(self, payload: bytes, *, delivery: int, sequence: int) -> None:
        self.data = payload
        self.metadata = Msg.Metadata(
            sequence=Msg.Metadata.SequencePair(delivery, sequence),
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


@pytest.fixture
def reader(accounts: Accounts) -> EndedAccounts:
    return EndedAccounts(accounts.forget)


async def take(reader: EndedAccounts, payload: bytes, *, delivery: int = 1, sequence: int = 1) -> Again | None:
    message: Any = FakeMessage(payload, delivery=delivery, sequence=sequence)
    return await reader.take(message)


ENDED = events_pb2.UserDeleted(user_id="7").SerializeToString()


async def test_an_ended_account_is_forgotten_and_once_more_a_while_later(
    accounts: Accounts, reader: EndedAccounts
) -> None:
    assert await take(reader, ENDED) == Again(AGAIN_AFTER_SECONDS)
    assert await take(reader, ENDED, delivery=2) is None
    assert accounts.forgotten == ["7", "7"]


async def test_a_deletion_that_failed_is_none_of_the_two(accounts: Accounts, reader: EndedAccounts) -> None:
    accounts.failure = DatabaseUnavailable()
    with pytest.raises(DatabaseUnavailable):
        await take(reader, ENDED)
    accounts.failure = None
    assert await take(reader, ENDED, delivery=2) == Again(AGAIN_AFTER_SECONDS)
    accounts.failure = DatabaseUnavailable()
    with pytest.raises(DatabaseUnavailable):
        await take(reader, ENDED, delivery=3)
    accounts.failure = None
    assert await take(reader, ENDED, delivery=4) is None
    assert accounts.forgotten == ["7", "7"]


async def test_who_does_not_know_of_the_first_deletion_wants_the_event_again(
    accounts: Accounts, reader: EndedAccounts
) -> None:
    assert await take(reader, ENDED) == Again(AGAIN_AFTER_SECONDS)
    other = EndedAccounts(accounts.forget)
    assert await take(other, ENDED, delivery=2) == Again(AGAIN_AFTER_SECONDS)
    assert await take(other, ENDED, delivery=3) is None


async def test_each_event_has_its_two_deletions(accounts: Accounts, reader: EndedAccounts) -> None:
    other = events_pb2.UserDeleted(user_id="8").SerializeToString()
    # The last is of a stream that was made anew and counts from 1 again.
    events = [(ENDED, 1), (other, 2), (other, 1)]
    for delivery, answer in ((1, Again(AGAIN_AFTER_SECONDS)), (2, None)):
        for payload, sequence in events:
            assert await take(reader, payload, delivery=delivery, sequence=sequence) == answer
    assert accounts.forgotten == ["7", "8", "8"] * 2


async def test_of_too_many_events_the_oldest_deletes_once_more(
    reader: EndedAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.feed.users.MOST_REMEMBERED", 2)
    for sequence in (1, 2, 3):
        assert await take(reader, ENDED, sequence=sequence) == Again(AGAIN_AFTER_SECONDS)
    assert await take(reader, ENDED, delivery=2, sequence=3) is None
    assert await take(reader, ENDED, delivery=2, sequence=2) is None
    assert await take(reader, ENDED, delivery=2, sequence=1) == Again(AGAIN_AFTER_SECONDS)


@pytest.mark.parametrize("payload", [b"\xff", ENDED])
async def test_what_can_never_be_read_does_not_come_again(
    accounts: Accounts, reader: EndedAccounts, payload: bytes
) -> None:
    accounts.failure = UserIdInvalid()
    with pytest.raises(ValueError, match="user_deleted"):
        await take(reader, payload)


async def test_while_the_database_is_away_the_event_waits(accounts: Accounts, reader: EndedAccounts) -> None:
    accounts.failure = DatabaseUnavailable()
    with pytest.raises(DatabaseUnavailable):
        await take(reader, ENDED)
