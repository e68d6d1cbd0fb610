from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.domain.accounts import LATE_REQUESTS, AccountDeleted, ended_through
from alerts.domain.desk import UserIdInvalid
from alerts.feed.users import EndedAccounts
from alerts.testing import ended_account
from bourse.auth.v1 import events_pb2
from chassis.errors import DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)


class FakeMessage:
    """A message of some bytes."""

    def __init__(self, payload: bytes) -> None:
        self.data = payload


class Accounts:
    """Forgets who is named, or raises what it is told to."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, datetime]] = []
        self.failure: Exception | None = None

    async def forget(self, user_id: str, deleted_at: datetime) -> int:
        if self.failure is not None:
            raise self.failure
        self.forgotten.append((user_id, deleted_at))
        return 1


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def reader(accounts: Accounts) -> EndedAccounts:
    return EndedAccounts(accounts.forget)


async def take(reader: EndedAccounts, payload: bytes) -> None:
    message: Any = FakeMessage(payload)
    await reader.take(message)


def ended_at_no_time() -> bytes:
    event = events_pb2.UserDeleted(user_id="7")
    event.deleted_at.seconds = 1 << 60
    return event.SerializeToString()


async def test_an_ended_account_is_forgotten_as_of_its_end(accounts: Accounts, reader: EndedAccounts) -> None:
    await take(reader, ended_account("7", START))
    await take(reader, ended_account("8", START + HOUR))
    assert accounts.forgotten == [("7", START), ("8", START + HOUR)]


@pytest.mark.parametrize(
    "payload", [b"\xff", events_pb2.UserDeleted(user_id="7").SerializeToString(), ended_at_no_time()]
)
async def test_what_can_never_be_read_does_not_come_again(
    accounts: Accounts, reader: EndedAccounts, payload: bytes
) -> None:
    with pytest.raises(ValueError, match="user_deleted"):
        await take(reader, payload)
    assert accounts.forgotten == []


async def test_who_can_be_nobody_does_not_come_again(accounts: Accounts, reader: EndedAccounts) -> None:
    accounts.failure = UserIdInvalid()
    with pytest.raises(ValueError, match="user_deleted"):
        await take(reader, ended_account("7", START))


async def test_while_the_database_is_away_the_event_waits(accounts: Accounts, reader: EndedAccounts) -> None:
    accounts.failure = DatabaseUnavailable()
    with pytest.raises(DatabaseUnavailable):
        await take(reader, ended_account("7", START))


def test_what_was_under_way_goes_with_the_account() -> None:
    assert ended_through(START, now=START + HOUR) == START + LATE_REQUESTS


def test_a_deletion_does_not_lie_in_the_future() -> None:
    assert ended_through(START + HOUR, now=START) == START + LATE_REQUESTS


def test_a_request_of_a_deleted_account_is_told_so() -> None:
    assert str(AccountDeleted()) == "this account was deleted"
