from datetime import UTC, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from portfolio.domain.accounts import LATE_REQUESTS, AccountDeleted, Accounts
from portfolio.domain.users import UserIdInvalid

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Store:
    def __init__(self) -> None:
        self.deleted: list[tuple[str, datetime]] = []

    async def delete_account(self, user_id: str, *, through: datetime) -> None:
        self.deleted.append((user_id, through))


async def test_what_is_from_before_the_deletion_goes_and_what_was_under_way_with_it() -> None:
    store = Store()
    await Accounts(store, ManualClock(NOW)).delete("7", NOW - HOUR)
    assert store.deleted == [("7", NOW - HOUR + LATE_REQUESTS)]


async def test_a_deletion_does_not_lie_in_the_future() -> None:
    store = Store()
    await Accounts(store, ManualClock(NOW)).delete("7", NOW + HOUR)
    assert store.deleted == [("7", NOW + LATE_REQUESTS)]


async def test_nobody_with_such_an_id_is_deleted() -> None:
    store = Store()
    with pytest.raises(UserIdInvalid):
        await Accounts(store, ManualClock(NOW)).delete("", NOW)
    assert store.deleted == []


def test_a_request_of_a_deleted_account_is_told_so() -> None:
    assert str(AccountDeleted()) == "this account was deleted"
