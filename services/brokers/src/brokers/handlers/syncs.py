"""The sync service of the contract."""

from collections.abc import Mapping
from typing import Any

from grpc.aio import ServicerContext

from bourse.brokers.v1 import syncs_pb2, syncs_pb2_grpc
from brokers.domain.brokers import Broker
from brokers.domain.credentials import CredentialField, checksum, credential, is_simulated
from brokers.domain.errors import CredentialsMalformed
from brokers.domain.secrets import Secret
from brokers.domain.sync_desk import SyncDesk
from brokers.domain.syncs import SyncOrder
from brokers.handlers.outcomes import counting
from brokers.messages import sync_message


class SyncService(syncs_pb2_grpc.SyncServiceServicer):
    """Syncs users' portfolios from their brokers.

    Args:
        desk: takes the syncs.
        has_sandbox: whether this service knows where the sandbox is.
    """

    def __init__(self, desk: SyncDesk, *, has_sandbox: bool) -> None:
        self._desk = desk
        self._has_sandbox = has_sandbox

    async def SyncZerodha(  # the contract's name
        self,
        request: syncs_pb2.SyncZerodhaRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> syncs_pb2.SyncZerodhaResponse:
        """Sync holdings and positions from Zerodha."""
        with counting(Broker.ZERODHA):
            credentials = {
                CredentialField.API_KEY: credential(CredentialField.API_KEY, request.api_key),
                CredentialField.REQUEST_TOKEN: credential(CredentialField.REQUEST_TOKEN, request.request_token),
                **_proof(request),
            }
            order = self._order(request.user_id, Broker.ZERODHA, credentials)
            # gRPC keeps the message until the call ends, which is long after a child has used what it holds.
            request.Clear()
            sync = await self._desk.sync(order)
        return syncs_pb2.SyncZerodhaResponse(sync=sync_message(sync))

    async def SyncIcici(  # the contract's name
        self,
        request: syncs_pb2.SyncIciciRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> syncs_pb2.SyncIciciResponse:
        """Sync holdings and positions from ICICI Direct."""
        with counting(Broker.ICICI):
            credentials = {
                CredentialField.API_KEY: credential(CredentialField.API_KEY, request.api_key),
                CredentialField.API_SECRET: credential(CredentialField.API_SECRET, request.api_secret),
                CredentialField.API_SESSION: credential(CredentialField.API_SESSION, request.api_session),
            }
            order = self._order(request.user_id, Broker.ICICI, credentials)
            request.Clear()  # as above
            sync = await self._desk.sync(order)
        return syncs_pb2.SyncIciciResponse(sync=sync_message(sync))

    def _order(self, user_id: str, broker: Broker, credentials: Mapping[CredentialField, Secret]) -> SyncOrder:
        if not user_id:
            raise CredentialsMalformed("user_id", "is missing")
        simulated = is_simulated(credentials[CredentialField.API_KEY], has_sandbox=self._has_sandbox)
        return SyncOrder(user_id, broker, credentials, simulated)


def _proof(request: syncs_pb2.SyncZerodhaRequest) -> Mapping[CredentialField, Secret]:
    if request.WhichOneof("proof") == "checksum":
        return {CredentialField.CHECKSUM: checksum(request.checksum)}
    return {CredentialField.API_SECRET: credential(CredentialField.API_SECRET, request.api_secret)}
