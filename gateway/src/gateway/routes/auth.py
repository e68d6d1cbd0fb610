"""Accounts and sessions."""

from fastapi import APIRouter

from bourse.auth.v1 import accounts_pb2, sessions_pb2
from gateway.bodies import StrictRoute
from gateway.clients import Accounts, Sessions
from gateway.errors import UpstreamUnavailable, documented
from gateway.models.auth import (
    GoogleLogIn,
    LoggedIn,
    LoggedOut,
    LogIn,
    Profile,
    Refresh,
    Refreshed,
    Registered,
    Registration,
)
from gateway.params import ClientAddress
from gateway.security import Cookies, Leaving, Owner

router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=StrictRoute)

BODY_ERRORS = (400, 408, 413, 415, 429, 503, 504)
GOOGLE_RETRY_SECONDS = 3600.0


class GoogleNotConfigured(UpstreamUnavailable):
    """This server has no Google client id."""

    def __init__(self) -> None:
        super().__init__("Google sign-in is not configured on this server", retry_after_seconds=GOOGLE_RETRY_SECONDS)


@router.post("/register", status_code=201, response_model=Registered, responses=documented(*BODY_ERRORS))
async def register(
    wanted: Registration, address: ClientAddress, accounts: Accounts, cookies: Cookies
) -> accounts_pb2.RegisterResponse:
    """Make a password account and open its first session. A taken e-mail address is 400."""
    request = accounts_pb2.RegisterRequest(
        email=wanted.email,
        password=wanted.password.get_secret_value(),
        name=wanted.name,
        client_address=address,
    )
    reply = await accounts.Register(request)
    cookies.set(reply.tokens)
    return reply


@router.post("/login", response_model=LoggedIn, responses=documented(*BODY_ERRORS, 401))
async def log_in(
    wanted: LogIn, address: ClientAddress, sessions: Sessions, cookies: Cookies
) -> sessions_pb2.LogInResponse:
    """Open a session, by e-mail and password or by Google's token; the tokens also come as cookies."""
    if isinstance(wanted, GoogleLogIn):
        raise GoogleNotConfigured
    request = sessions_pb2.LogInRequest(
        email=wanted.email, password=wanted.password.get_secret_value(), client_address=address
    )
    reply = await sessions.LogIn(request)
    cookies.set(reply.tokens)
    return reply


@router.post("/refresh", response_model=Refreshed, responses=documented(*BODY_ERRORS, 401))
async def refresh(wanted: Refresh, sessions: Sessions, cookies: Cookies) -> sessions_pb2.RefreshSessionResponse:
    """Exchange a refresh token for the next tokens. Using an old one again ends the session everywhere."""
    request = sessions_pb2.RefreshSessionRequest(refresh_token=wanted.refresh_token.get_secret_value())
    reply = await sessions.RefreshSession(request)
    cookies.set(reply.tokens)
    return reply


@router.post(
    "/logout",
    response_model=LoggedOut,
    responses=documented(403, 429, 503, 504),
    openapi_extra={"security": [{}]},
)
async def log_out(caller: Leaving, sessions: Sessions, cookies: Cookies) -> sessions_pb2.LogOutResponse:
    """End the session: its tokens are refused everywhere within a second. Without a token there is nothing to end."""
    cookies.clear()
    if caller is None:
        return sessions_pb2.LogOutResponse()
    request = sessions_pb2.LogOutRequest(user_id=caller.user_id, session_id=caller.session_id, token_id=caller.token_id)
    return await sessions.LogOut(request)


@router.get("/user/{user_id}", response_model=Profile, responses=documented(400, 401, 403, 404, 429, 503, 504))
async def read_user(user_id: Owner, accounts: Accounts) -> accounts_pb2.GetUserResponse:
    """Read one's own account."""
    return await accounts.GetUser(accounts_pb2.GetUserRequest(user_id=user_id))
