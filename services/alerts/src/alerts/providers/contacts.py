"""Where people are written to, asked of auth."""

import logging

import grpc

from alerts.domain.deliveries import Contact, ContactsUnavailable
from bourse.auth.v1 import contacts_pb2, contacts_pb2_grpc
from chassis.rpc_client import reason_of

log = logging.getLogger(__name__)

GONE = "USER_NOT_FOUND"


class AuthContacts:
    """Finds contacts by auth's contact service."""

    def __init__(self, stub: "contacts_pb2_grpc.ContactServiceAsyncStub") -> None:
        self._stub = stub

    async def find(self, user_id: str) -> Contact | None:
        """Return where a user is written to; None when the account is gone.

        Raises:
            ContactsUnavailable: auth did not answer in time, or failed.
        """
        try:
            response = await self._stub.GetContact(contacts_pb2.GetContactRequest(user_id=user_id))
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == GONE:
                return None
            log.debug("auth does not know contacts", extra={"status": error.code().name})
            raise ContactsUnavailable from error
        return _contact_of(response.contact)


def _contact_of(contact: contacts_pb2.Contact) -> Contact:
    unwanted = {preference.list for preference in contact.preferences if not preference.is_wanted}
    return Contact(
        email=contact.email,
        is_verified=contact.is_email_verified,
        wants_alerts=contacts_pb2.MAIL_LIST_ALERTS not in unwanted,
        unsubscribe_token=contact.unsubscribe_token,
    )
