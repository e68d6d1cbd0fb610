"""The recovery service of the contract."""

from typing import Any

from grpc.aio import ServicerContext
from pydantic import SecretStr

from auth.domain.recovery import Recovery
from auth.messages import user_message
from bourse.auth.v1 import recovery_pb2, recovery_pb2_grpc


class RecoveryService(recovery_pb2_grpc.RecoveryServiceServicer):
    """Orders mails with tokens and takes the tokens back."""

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery

    async def RequestPasswordReset(  # the contract's name
        self,
        request: recovery_pb2.RequestPasswordResetRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> recovery_pb2.RequestPasswordResetResponse:
        """Order a mail that sets a new password."""
        await self._recovery.request_password_reset(email=request.email, client_address=request.client_address)
        return recovery_pb2.RequestPasswordResetResponse()

    async def ResetPassword(  # the contract's name
        self,
        request: recovery_pb2.ResetPasswordRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> recovery_pb2.ResetPasswordResponse:
        """Set a new password."""
        await self._recovery.reset_password(token=SecretStr(request.token), password=SecretStr(request.password))
        return recovery_pb2.ResetPasswordResponse()

    async def RequestEmailVerification(  # the contract's name
        self,
        request: recovery_pb2.RequestEmailVerificationRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> recovery_pb2.RequestEmailVerificationResponse:
        """Order a mail that verifies an address."""
        is_verified = await self._recovery.request_email_verification(request.user_id)
        return recovery_pb2.RequestEmailVerificationResponse(is_email_verified=is_verified)

    async def VerifyEmail(  # the contract's name
        self,
        request: recovery_pb2.VerifyEmailRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> recovery_pb2.VerifyEmailResponse:
        """Count an address as verified."""
        user = await self._recovery.verify_email(SecretStr(request.token))
        return recovery_pb2.VerifyEmailResponse(user=user_message(user))
