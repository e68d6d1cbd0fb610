"""The server-wide broker sessions: how they stand for everybody, and opening them for administrators."""

from fastapi import APIRouter
from pydantic import SecretStr

from bourse.brokers.v1 import brokers_pb2
from bourse.brokers.v1 import sessions_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Activations, BrokerSessions
from gateway.errors import AuthRequired, documented
from gateway.models.brokers import (
    IciciActivated,
    IciciActivation,
    SessionStatus,
    ZerodhaActivated,
    ZerodhaActivation,
    ZerodhaStatus,
)
from gateway.security import Caller, MaybeSignedIn

router = APIRouter(tags=["brokers"], route_class=StrictRoute)

STATUS_ERRORS = documented(400, 429, 503, 504)
ACTIVATION_ERRORS = documented(400, 401, 403, 408, 413, 415, 429, 503, 504)


@router.get("/zerodha/status", response_model=ZerodhaStatus, responses=STATUS_ERRORS)
async def read_zerodha_status(sessions: BrokerSessions) -> pb.SessionStatus:
    """How the server-wide Zerodha session stands. It lives in memory: after a restart there is none."""
    request = pb.GetSessionStatusRequest(broker=brokers_pb2.BROKER_ZERODHA)
    reply = await sessions.GetSessionStatus(request)
    return reply.status


@router.get("/icici/status", response_model=SessionStatus, responses=STATUS_ERRORS)
async def read_icici_status(sessions: BrokerSessions) -> pb.SessionStatus:
    """How the server-wide ICICI session stands. It lives in memory: after a restart there is none."""
    request = pb.GetSessionStatusRequest(broker=brokers_pb2.BROKER_ICICI)
    reply = await sessions.GetSessionStatus(request)
    return reply.status


@router.post(
    "/zerodha/activate", response_model=ZerodhaActivated, responses=ACTIVATION_ERRORS, openapi_extra={"security": [{}]}
)
async def activate_zerodha(
    caller: MaybeSignedIn, wanted: ZerodhaActivation, activations: Activations
) -> pb.SessionStatus:
    """Open the server-wide Zerodha session: with the admin secret where one is configured, else as an administrator."""
    is_admin = _is_admin(caller, wanted.secret)
    request = pb.ActivateZerodhaRequest(caller_is_admin=is_admin, **wanted.revealed())
    reply = await activations.ActivateZerodha(request)
    return reply.status


@router.post(
    "/icici/activate", response_model=IciciActivated, responses=ACTIVATION_ERRORS, openapi_extra={"security": [{}]}
)
async def activate_icici(caller: MaybeSignedIn, wanted: IciciActivation, activations: Activations) -> pb.SessionStatus:
    """Open the server-wide ICICI session: with the admin secret where one is configured, else as an administrator."""
    is_admin = _is_admin(caller, wanted.secret)
    request = pb.ActivateIciciRequest(caller_is_admin=is_admin, **wanted.revealed())
    reply = await activations.ActivateIcici(request)
    return reply.status


def _is_admin(caller: Caller | None, secret: SecretStr | None) -> bool:
    if caller is None and secret is None:
        raise AuthRequired
    return caller is not None and caller.is_admin
