"""Accounts and sessions, addresses that are verified and passwords that were forgotten."""

from typing import Annotated

from fastapi import APIRouter, Path

from bourse.auth.v1 import accounts_pb2, recovery_pb2, sessions_pb2
from gateway.bodies import StrictRoute
from gateway.clients import Accounts, Recovery, Sessions
from gateway.errors import documented
from gateway.models.auth import (
    AccountDeleted,
    EmailVerification,
    EmailVerified,
    ForgottenPassword,
    GoogleLogIn,
    LoggedIn,
    LoggedOut,
    LogIn,
    OpenSession,
    PasswordLogIn,
    PasswordReset,
    PasswordSet,
    Profile,
    Refresh,
    Refreshed,
    Registered,
    Registration,
    ResetRequested,
    SessionList,
    SessionRevoked,
    VerificationRequested,
)
from gateway.params import ClientAddress
from gateway.reply import Row
from gateway.security import MAX_CLAIM_LENGTH, Cookies, Leaving, Owner, SignedIn

router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=StrictRoute)

BODY_ERRORS = (400, 408, 413, 415, 429, 503, 504)
SessionId = Annotated[
    str,
    Path(
        description="The id of one of one's own sessions, as the list says it.",
        min_length=1,
        max_length=MAX_CLAIM_LENGTH,
    ),
]


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


@router.post("/login", response_model=LoggedIn, responses=documented(*BODY_ERRORS, 401, 403))
async def log_in(
    wanted: LogIn, address: ClientAddress, sessions: Sessions, cookies: Cookies
) -> sessions_pb2.LogInResponse:
    """Open a session, by e-mail and password or by Google's ID token; the tokens also come as cookies.

    The first sign-in with Google makes the account; the account and its name, picture and address are the ID token's,
    whatever `user` says. One that was deleted a moment ago is 403 until its old tokens have expired.
    """
    opened = await (
        _by_google(wanted, address, sessions)
        if isinstance(wanted, GoogleLogIn)
        else _by_password(wanted, address, sessions)
    )
    cookies.set(opened.tokens)
    return opened


async def _by_password(wanted: PasswordLogIn, address: str, sessions: Sessions) -> sessions_pb2.LogInResponse:
    request = sessions_pb2.LogInRequest(
        email=wanted.email, password=wanted.password.get_secret_value(), client_address=address
    )
    return await sessions.LogIn(request)


async def _by_google(wanted: GoogleLogIn, address: str, sessions: Sessions) -> sessions_pb2.LogInResponse:
    request = sessions_pb2.LogInWithGoogleRequest(
        id_token=wanted.token.get_secret_value(),
        expected_user_id=wanted.expected_user_id,
        client_address=address,
    )
    reply = await sessions.LogInWithGoogle(request)
    return sessions_pb2.LogInResponse(user=reply.user, tokens=reply.tokens)


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
    responses=documented(400, 403, 429, 503, 504),
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


@router.delete(
    "/user/{user_id}", response_model=AccountDeleted, responses=documented(400, 401, 403, 404, 429, 503, 504)
)
async def delete_user(user_id: Owner, accounts: Accounts, cookies: Cookies) -> accounts_pb2.DeleteUserResponse:
    """Delete one's own account for good, with everything that any part of the system keeps for it.

    Its tokens are refused everywhere within a second.
    """
    reply = await accounts.DeleteUser(accounts_pb2.DeleteUserRequest(user_id=user_id))
    cookies.clear()
    return reply


@router.get("/sessions", response_model=SessionList, responses=documented(400, 401, 429, 503, 504))
async def list_sessions(caller: SignedIn, sessions: Sessions) -> SessionList:
    """List one's sessions that can still be used, newest first."""
    reply = await sessions.ListSessions(sessions_pb2.ListSessionsRequest(user_id=caller.user_id))
    rows = [Row(each, {"is_current": each.id == caller.session_id}) for each in reply.sessions]
    return SessionList(success=True, sessions=[OpenSession.model_validate(row) for row in rows])


@router.delete(
    "/sessions/{session_id}",
    response_model=SessionRevoked,
    responses=documented(400, 401, 403, 404, 429, 503, 504),
)
async def revoke_session(
    session_id: SessionId, caller: SignedIn, sessions: Sessions, cookies: Cookies
) -> sessions_pb2.RevokeSessionResponse:
    """End one of one's own sessions: its tokens are refused everywhere within a second."""
    request = sessions_pb2.RevokeSessionRequest(user_id=caller.user_id, session_id=session_id)
    reply = await sessions.RevokeSession(request)
    if session_id == caller.session_id:
        cookies.clear()
    return reply


@router.post("/password/forgot", response_model=ResetRequested, responses=documented(*BODY_ERRORS))
async def request_password_reset(
    wanted: ForgottenPassword, address: ClientAddress, recovery: Recovery
) -> recovery_pb2.RequestPasswordResetResponse:
    """Ask for a mail that lets its reader set a new password; the answer never says whether there is an account."""
    request = recovery_pb2.RequestPasswordResetRequest(email=wanted.email, client_address=address)
    return await recovery.RequestPasswordReset(request)


@router.post("/password/reset", response_model=PasswordSet, responses=documented(*BODY_ERRORS))
async def reset_password(wanted: PasswordReset, recovery: Recovery) -> recovery_pb2.ResetPasswordResponse:
    """Set a new password with the token of a mail, which is good for an hour and once; every session ends."""
    request = recovery_pb2.ResetPasswordRequest(
        token=wanted.token.get_secret_value(), password=wanted.password.get_secret_value()
    )
    return await recovery.ResetPassword(request)


@router.post("/email/verify", response_model=EmailVerified, responses=documented(*BODY_ERRORS))
async def verify_email(wanted: EmailVerification, recovery: Recovery) -> recovery_pb2.VerifyEmailResponse:
    """Count the address as verified that the token's mail went to; the token is good for a day and once."""
    return await recovery.VerifyEmail(recovery_pb2.VerifyEmailRequest(token=wanted.token.get_secret_value()))


@router.post(
    "/email/verification/{user_id}",
    response_model=VerificationRequested,
    responses=documented(400, 401, 403, 404, 429, 503, 504),
)
async def request_email_verification(
    user_id: Owner, recovery: Recovery
) -> recovery_pb2.RequestEmailVerificationResponse:
    """Ask for another mail with which one's own address can be verified; for a verified one nothing is sent."""
    request = recovery_pb2.RequestEmailVerificationRequest(user_id=user_id)
    return await recovery.RequestEmailVerification(request)
