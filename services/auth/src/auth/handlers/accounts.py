"""The account service of the contract."""

from typing import Any

from grpc.aio import ServicerContext
from pydantic import SecretStr

from auth.domain.accounts import Accounts
from auth.handlers.outcomes import REGISTRATIONS, counting
from auth.messages import tokens_message, user_message
from bourse.auth.v1 import accounts_pb2, accounts_pb2_grpc


class AccountService(accounts_pb2_grpc.AccountServiceServicer):
    """Makes accounts, reads them back and deletes them."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def Register(  # the contract's name
        self,
        request: accounts_pb2.RegisterRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> accounts_pb2.RegisterResponse:
        """Make a password account and its first session."""
        with counting(REGISTRATIONS):
            signed_in = await self._accounts.register(
                email=request.email,
                password=SecretStr(request.password),
                name=request.name if request.HasField("name") else None,
                client_address=request.client_address,
            )
        return accounts_pb2.RegisterResponse(user=user_message(signed_in.user), tokens=tokens_message(signed_in.tokens))

    async def GetUser(  # the contract's name
        self,
        request: accounts_pb2.GetUserRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> accounts_pb2.GetUserResponse:
        """Read one account."""
        user = await self._accounts.get(request.user_id)
        return accounts_pb2.GetUserResponse(user=user_message(user))

    async def DeleteUser(  # the contract's name
        self,
        request: accounts_pb2.DeleteUserRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> accounts_pb2.DeleteUserResponse:
        """Delete one account."""
        await self._accounts.delete(request.user_id)
        return accounts_pb2.DeleteUserResponse()
