"""The session service of the contract."""

from typing import Any

from grpc.aio import ServicerContext
from pydantic import SecretStr

from auth.domain.google_login import GoogleLogin
from auth.domain.login import PasswordLogin
from auth.domain.sessions import Sessions
from auth.handlers.outcomes import REFRESHES, SIGN_INS, counting
from auth.messages import open_session_message, tokens_message, user_message
from bourse.auth.v1 import sessions_pb2, sessions_pb2_grpc


class SessionService(sessions_pb2_grpc.SessionServiceServicer):
    """Opens, renews and ends sessions."""

    def __init__(self, login: PasswordLogin, google_login: GoogleLogin, sessions: Sessions) -> None:
        self._login = login
        self._google_login = google_login
        self._sessions = sessions

    async def LogIn(  # the contract's name
        self,
        request: sessions_pb2.LogInRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.LogInResponse:
        """Open a session by password."""
        with counting(SIGN_INS, "password"):
            signed_in = await self._login.log_in(
                email=request.email, password=SecretStr(request.password), client_address=request.client_address
            )
        return sessions_pb2.LogInResponse(user=user_message(signed_in.user), tokens=tokens_message(signed_in.tokens))

    async def LogInWithGoogle(  # the contract's name
        self,
        request: sessions_pb2.LogInWithGoogleRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.LogInWithGoogleResponse:
        """Open a session by an ID token of Google."""
        with counting(SIGN_INS, "google"):
            signed_in = await self._google_login.log_in(
                id_token=SecretStr(request.id_token),
                expected_user_id=request.expected_user_id,
                client_address=request.client_address,
            )
        return sessions_pb2.LogInWithGoogleResponse(
            user=user_message(signed_in.user), tokens=tokens_message(signed_in.tokens)
        )

    async def RefreshSession(  # the contract's name
        self,
        request: sessions_pb2.RefreshSessionRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.RefreshSessionResponse:
        """Exchange a refresh token for the next tokens."""
        with counting(REFRESHES):
            signed_in = await self._sessions.refresh(SecretStr(request.refresh_token))
        return sessions_pb2.RefreshSessionResponse(
            user=user_message(signed_in.user), tokens=tokens_message(signed_in.tokens)
        )

    async def LogOut(  # the contract's name
        self,
        request: sessions_pb2.LogOutRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.LogOutResponse:
        """End a session."""
        await self._sessions.log_out(user_id=request.user_id, session_id=request.session_id, token_id=request.token_id)
        return sessions_pb2.LogOutResponse()

    async def ListSessions(  # the contract's name
        self,
        request: sessions_pb2.ListSessionsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.ListSessionsResponse:
        """List a user's sessions."""
        sessions = await self._sessions.list_open(request.user_id)
        return sessions_pb2.ListSessionsResponse(sessions=[open_session_message(each) for each in sessions])

    async def RevokeSession(  # the contract's name
        self,
        request: sessions_pb2.RevokeSessionRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> sessions_pb2.RevokeSessionResponse:
        """End one of a user's sessions."""
        await self._sessions.revoke(user_id=request.user_id, session_id=request.session_id)
        return sessions_pb2.RevokeSessionResponse()
