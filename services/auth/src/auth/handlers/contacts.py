"""The contact service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from auth.domain.contacts import Contacts
from auth.messages import contact_message, mail_list_of, wanted_lists_of
from bourse.auth.v1 import contacts_pb2, contacts_pb2_grpc


class ContactService(contacts_pb2_grpc.ContactServiceServicer):
    """Tells where people are written to and keeps what they want."""

    def __init__(self, contacts: Contacts) -> None:
        self._contacts = contacts

    async def GetContact(  # the contract's name
        self,
        request: contacts_pb2.GetContactRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> contacts_pb2.GetContactResponse:
        """Read one contact."""
        contact = await self._contacts.get(request.user_id)
        return contacts_pb2.GetContactResponse(contact=contact_message(contact))

    async def SetMailLists(  # the contract's name
        self,
        request: contacts_pb2.SetMailListsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> contacts_pb2.SetMailListsResponse:
        """Keep which lists a user wants."""
        contact = await self._contacts.set_lists(request.user_id, wanted_lists_of(request.preferences))
        return contacts_pb2.SetMailListsResponse(contact=contact_message(contact))

    async def Unsubscribe(  # the contract's name
        self,
        request: contacts_pb2.UnsubscribeRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> contacts_pb2.UnsubscribeResponse:
        """End a list."""
        await self._contacts.unsubscribe(request.token, mail_list_of(request.list))
        return contacts_pb2.UnsubscribeResponse()
