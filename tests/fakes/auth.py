"""Auth with behaviour and without a database."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bourse.auth.v1 import accounts_pb2, accounts_pb2_grpc, keys_pb2, keys_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from chassis.errors import Code
from fakes.faults import NOW, Faults, Refusal

ISSUER = "bourse-auth"
AUDIENCE = "bourse"


class FakeAuth(Faults):
    """Accounts, sessions and keys in memory; the only one who can mint a token."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, accounts_pb2.User] = {}
        self.passwords: dict[str, str] = {}
        self.keys: dict[str, Ed25519PrivateKey] = {"key-1": Ed25519PrivateKey.generate()}
        self.revocations: list[keys_pb2.Revocation] = []
        self.refresh_tokens: dict[str, str] = {}
        self.logged_out: list[sessions_pb2.LogOutRequest] = []

    def mint(self, user_id: str = "42", *, key_id: str = "key-1", **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "sub": user_id,
            "sid": f"session-{user_id}",
            "jti": uuid.uuid4().hex,
            "typ": "access",
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.keys[key_id], algorithm="EdDSA", headers={"kid": key_id})

    def tokens_for(self, user_id: str) -> accounts_pb2.Tokens:
        refresh = uuid.uuid4().hex
        self.refresh_tokens[refresh] = user_id
        return accounts_pb2.Tokens(
            access_token=self.mint(user_id), refresh_token=refresh, expires_in_seconds=7 * 24 * 3600
        )

    async def Register(self, request: accounts_pb2.RegisterRequest, context: Any) -> accounts_pb2.RegisterResponse:
        await self.meet("Register", context)
        if request.email in self.users:
            raise Refusal(Code.INVALID_ARGUMENT, "EMAIL_TAKEN", "this e-mail address already has an account")
        user = accounts_pb2.User(
            id=str(42 + len(self.users)),
            identity_provider=accounts_pb2.IDENTITY_PROVIDER_PASSWORD,
            email=request.email,
            name=request.name if request.HasField("name") else None,
        )
        user.created_at.FromDatetime(NOW)
        self.users[request.email] = user
        self.passwords[request.email] = request.password
        return accounts_pb2.RegisterResponse(user=user, tokens=self.tokens_for(user.id))

    async def GetUser(self, request: accounts_pb2.GetUserRequest, context: Any) -> accounts_pb2.GetUserResponse:
        await self.meet("GetUser", context)
        for user in self.users.values():
            if user.id == request.user_id:
                return accounts_pb2.GetUserResponse(user=user)
        raise Refusal(Code.NOT_FOUND, "USER_NOT_FOUND", "there is no such user")

    async def LogIn(self, request: sessions_pb2.LogInRequest, context: Any) -> sessions_pb2.LogInResponse:
        await self.meet("LogIn", context)
        if self.passwords.get(request.email) != request.password:
            raise Refusal(Code.UNAUTHENTICATED, "CREDENTIALS_INVALID", "wrong e-mail address or password")
        user = self.users[request.email]
        return sessions_pb2.LogInResponse(user=user, tokens=self.tokens_for(user.id))

    async def RefreshSession(
        self, request: sessions_pb2.RefreshSessionRequest, context: Any
    ) -> sessions_pb2.RefreshSessionResponse:
        await self.meet("RefreshSession", context)
        user_id = self.refresh_tokens.pop(request.refresh_token, None)
        if user_id is None:
            raise Refusal(Code.UNAUTHENTICATED, "REFRESH_TOKEN_INVALID", "the refresh token is not valid")
        user = next(user for user in self.users.values() if user.id == user_id)
        return sessions_pb2.RefreshSessionResponse(user=user, tokens=self.tokens_for(user_id))

    async def LogOut(self, request: sessions_pb2.LogOutRequest, context: Any) -> sessions_pb2.LogOutResponse:
        await self.meet("LogOut", context)
        self.logged_out.append(request)
        return sessions_pb2.LogOutResponse()

    async def ListPublicKeys(self, _: Any, context: Any) -> keys_pb2.ListPublicKeysResponse:
        await self.meet("ListPublicKeys", context)
        keys = [
            keys_pb2.PublicKey(key_id=name, algorithm="EdDSA", public_key=key.public_key().public_bytes_raw())
            for name, key in self.keys.items()
        ]
        return keys_pb2.ListPublicKeysResponse(keys=keys, issuer=ISSUER, audience=AUDIENCE)

    async def ListRevocations(self, _: Any, context: Any) -> keys_pb2.ListRevocationsResponse:
        await self.meet("ListRevocations", context)
        return keys_pb2.ListRevocationsResponse(revocations=self.revocations)

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: accounts_pb2_grpc.add_AccountServiceServicer_to_server(fake, server),
            lambda server: sessions_pb2_grpc.add_SessionServiceServicer_to_server(fake, server),
            lambda server: keys_pb2_grpc.add_KeyServiceServicer_to_server(fake, server),
        ]
