"""Where users are written to, asked of auth."""

import logging

import grpc

from bourse.auth.v1 import contacts_pb2, contacts_pb2_grpc
from chassis.rpc_client import reason_of
from portfolio.domain.contacts import Contact, ContactUnavailable, UserNotFound

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 1.5

# Auth is away or slow, which its health check says once; anything else is a fault that nobody else would tell of.
_EXPECTED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class AuthContacts:
    """Asks auth's contact service."""

    def __init__(self, stub: "contacts_pb2_grpc.ContactServiceAsyncStub") -> None:
        self._stub = stub

    async def contact_of(self, user_id: str) -> Contact:
        """Return where a user is written to.

        Raises:
            UserNotFound: there is no such account.
            ContactUnavailable: auth did not answer in time, or failed.
        """
        request = contacts_pb2.GetContactRequest(user_id=user_id)
        try:
            response = await self._stub.GetContact(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == UserNotFound.reason:
                raise UserNotFound from error
            level = logging.DEBUG if error.code() in _EXPECTED else logging.WARNING
            log.log(level, "auth did not answer", extra={"status": error.code().name, "reason": reason_of(error)})
            raise ContactUnavailable from error
        return _contact_of(response.contact)


def _contact_of(message: contacts_pb2.Contact) -> Contact:
    unwanted = {each.list for each in message.preferences if not each.is_wanted}
    return Contact(
        email=message.email,
        is_email_verified=message.is_email_verified,
        wants_summary=contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY not in unwanted,
        unsubscribe_token=message.unsubscribe_token,
    )
