"""Taking orders for mails about accounts: in the transaction that asks for them, and few an hour."""

from datetime import datetime, timedelta

from auth.domain.credentials import EmailAddress
from auth.domain.ports import Unit
from auth.domain.tokens import RandomBytes, make_identifier
from auth.domain.wanted_mails import MailKind, WantedMail
from chassis.clock import Clock

MAILS_PER_WINDOW = 5
WINDOW = timedelta(hours=1)


class MailOrders:
    """Takes orders for mails, at most five an hour for each address and kind."""

    def __init__(self, *, clock: Clock, random_bytes: RandomBytes) -> None:
        self._clock = clock
        self._random_bytes = random_bytes

    async def order(self, unit: Unit, kind: MailKind, *, user_id: str, address: EmailAddress) -> datetime | None:
        """Order a mail in the caller's transaction, doing the same work whether or not there is such an account.

        Args:
            unit: the caller's transaction.
            kind: what the mail is for.
            user_id: whose account it is about; an id that nobody has stands for an account that does not exist.
            address: where it goes to. What went there counts for it however often the account was made anew.

        Returns:
            None when it is ordered; else when the address has had its share, from when it can be ordered again.
        """
        now = self._clock.now()
        # Orders of one account take turns, or two at once would both be the last one.
        await unit.users.lock(user_id)
        earlier = await unit.wanted_mails.list_since(now - WINDOW, address.digest, kind)
        if len(earlier) >= MAILS_PER_WINDOW:
            return earlier[-MAILS_PER_WINDOW] + WINDOW
        mail = WantedMail(make_identifier(self._random_bytes), user_id, kind, now)
        await unit.wanted_mails.add(mail, address.digest)
        return None
