"""Deletes all that is kept of a user whose account is gone."""

from datetime import datetime, timedelta

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from portfolio.domain.ports import AccountStore
from portfolio.domain.users import require_user_id

# A gateway that hears of nothing lets requests in for two minutes after the account is gone, they take a while, and
# clocks are up to a minute apart. Nobody comes back under the same id and makes something new sooner than auth's
# RETURN_AFTER; tests/architecture/test_deleted_accounts.py compares the two.
LATE_REQUESTS = timedelta(minutes=5)


class AccountDeleted(ServiceError):
    """The user's account was deleted while the request was under way."""

    code = Code.NOT_FOUND
    reason = "ACCOUNT_DELETED"

    def __init__(self) -> None:
        super().__init__("this account was deleted")


class Accounts:
    """Takes in which accounts are gone.

    Args:
        store: keeps what is of users.
        clock: says when it is; a deletion does not lie in the future.
    """

    def __init__(self, store: AccountStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def delete(self, user_id: str, deleted_at: datetime) -> None:
        """Delete what was made, or began, before an account was deleted; doing it again changes nothing.

        What a user made later, who came back under the same id, stays however late this is heard.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        await self._store.delete_account(user_id, through=min(deleted_at, self._clock.now()) + LATE_REQUESTS)
