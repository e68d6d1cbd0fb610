"""The session service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.brokers.v1 import sessions_pb2, sessions_pb2_grpc
from brokers.domain.brokers import Broker
from brokers.domain.secrets import Secret
from brokers.domain.session_desk import Activation, SessionDesk
from brokers.messages import broker_of, session_status_message


class SessionService(sessions_pb2_grpc.SessionServiceServicer):
    """Opens the server-wide sessions and says how they stand."""

    def __init__(self, desk: SessionDesk) -> None:
        self._desk = desk

    async def GetSessionStatus(  # the contract's name
        self,
        request: sessions_pb2.GetSessionStatusRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.GetSessionStatusResponse:
        """Say how a broker's session stands."""
        status = self._desk.status(broker_of(request.broker))
        return sessions_pb2.GetSessionStatusResponse(status=session_status_message(status))

    async def ActivateZerodha(  # the contract's name
        self,
        request: sessions_pb2.ActivateZerodhaRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.ActivateZerodhaResponse:
        """Open Zerodha's session."""
        activation = Activation(
            broker=Broker.ZERODHA,
            code=Secret(request.request_token),
            api_key=Secret(request.api_key),
            api_secret=Secret(request.api_secret),
            admin_secret=Secret(request.secret) if request.HasField("secret") else None,
            caller_is_admin=request.caller_is_admin,
        )
        # gRPC keeps the message until the call ends, which is long after a child has used what it holds.
        request.Clear()
        status = await self._desk.activate(activation)
        return sessions_pb2.ActivateZerodhaResponse(status=session_status_message(status))

    async def ActivateIcici(  # the contract's name
        self,
        request: sessions_pb2.ActivateIciciRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.ActivateIciciResponse:
        """Open ICICI's session."""
        activation = Activation(
            broker=Broker.ICICI,
            code=Secret(request.api_session),
            api_key=Secret(request.api_key) if request.HasField("api_key") else None,
            api_secret=Secret(request.api_secret) if request.HasField("api_secret") else None,
            admin_secret=Secret(request.secret) if request.HasField("secret") else None,
            caller_is_admin=request.caller_is_admin,
        )
        request.Clear()  # as above
        status = await self._desk.activate(activation)
        return sessions_pb2.ActivateIciciResponse(status=session_status_message(status))
