"""Auth with behaviour and without a database."""

import secrets
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bourse.auth.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    contacts_pb2,
    contacts_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    recovery_pb2,
    recovery_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)
from chassis.errors import Code
from fakes.faults import NOW, Faults, Refusal

ISSUER = "bourse-auth"
AUDIENCE = "bourse"
REFRESH_LIFETIME = timedelta(days=30)
MAIL_LISTS = (contacts_pb2.MAIL_LIST_ALERTS, contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY)


class FakeAuth(Faults):
    """Accounts, sessions, keys and mailed tokens in memory; the only one who can mint a token.

    Attributes:
        google: what each of Google's ID tokens says; None while signing in with Google is not set up.
        deleted: ids of accounts that are gone.
        is_beating: whether it says that it beats; who wants it to publishes the beats.
        mailed: tokens that were sent, newest last, by kind (`reset` or `verify`) and user.
        unsubscribe_tokens: each user's own, made when first asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, accounts_pb2.User] = {}
        self.passwords: dict[str, str] = {}
        self.keys: dict[str, Ed25519PrivateKey] = {"key-1": Ed25519PrivateKey.generate()}
        self.revocations: list[keys_pb2.Revocation] = []
        self.is_beating = False
        self.refresh_tokens: dict[str, tuple[str, str]] = {}
        self.sessions: dict[str, list[sessions_pb2.OpenSession]] = {}
        self.logged_out: list[sessions_pb2.LogOutRequest] = []
        self.google: dict[str, accounts_pb2.User] | None = None
        self.google_requests: list[sessions_pb2.LogInWithGoogleRequest] = []
        self.deleted: set[str] = set()
        self.mailed: dict[tuple[str, str], list[str]] = {}
        self.reset_requests: list[recovery_pb2.RequestPasswordResetRequest] = []
        self.unwanted: dict[str, set[int]] = {}
        self.refused: dict[str, set[int]] = {}
        self.unsubscribe_tokens: dict[str, str] = {}

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

    def tokens_for(self, user_id: str, opened_by: str = "password") -> accounts_pb2.Tokens:
        """Open a session; a user's first is `session-<user id>`, as in a token that is minted without one."""
        sessions = self.sessions.setdefault(user_id, [])
        session_id = f"session-{user_id}" if not sessions else uuid.uuid4().hex
        session = sessions_pb2.OpenSession(id=session_id, opened_from=opened_by)
        session.created_at.FromDatetime(NOW)
        session.expires_at.FromDatetime(NOW + REFRESH_LIFETIME)
        sessions.insert(0, session)
        return self._tokens_of(user_id, session_id)

    def _tokens_of(self, user_id: str, session_id: str) -> accounts_pb2.Tokens:
        refresh = uuid.uuid4().hex
        self.refresh_tokens[refresh] = (user_id, session_id)
        return accounts_pb2.Tokens(
            access_token=self.mint(user_id, sid=session_id), refresh_token=refresh, expires_in_seconds=7 * 24 * 3600
        )

    def user(self, user_id: str) -> accounts_pb2.User:
        """Return an account by its id."""
        for user in self.users.values():
            if user.id == user_id:
                return user
        raise Refusal(Code.NOT_FOUND, "USER_NOT_FOUND", "there is no such user")

    def end_session(self, user_id: str, session_id: str) -> bool:
        """End one session; say whether it was there."""
        sessions = self.sessions.get(user_id, [])
        self.sessions[user_id] = [each for each in sessions if each.id != session_id]
        return len(self.sessions[user_id]) < len(sessions)

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
        return accounts_pb2.RegisterResponse(user=user, tokens=self.tokens_for(user.id, "register"))

    async def GetUser(self, request: accounts_pb2.GetUserRequest, context: Any) -> accounts_pb2.GetUserResponse:
        await self.meet("GetUser", context)
        return accounts_pb2.GetUserResponse(user=self.user(request.user_id))

    async def DeleteUser(
        self, request: accounts_pb2.DeleteUserRequest, context: Any
    ) -> accounts_pb2.DeleteUserResponse:
        await self.meet("DeleteUser", context)
        user = self.user(request.user_id)
        del self.users[user.email]
        self.passwords.pop(user.email, None)
        self.sessions.pop(user.id, None)
        self.deleted.add(user.id)
        return accounts_pb2.DeleteUserResponse()

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
        user_id, session_id = self.refresh_tokens.pop(request.refresh_token, ("", ""))
        if not any(each.id == session_id for each in self.sessions.get(user_id, [])):
            raise Refusal(Code.UNAUTHENTICATED, "REFRESH_TOKEN_INVALID", "the refresh token is not valid")
        return sessions_pb2.RefreshSessionResponse(user=self.user(user_id), tokens=self._tokens_of(user_id, session_id))

    async def LogInWithGoogle(
        self, request: sessions_pb2.LogInWithGoogleRequest, context: Any
    ) -> sessions_pb2.LogInWithGoogleResponse:
        await self.meet("LogInWithGoogle", context)
        self.google_requests.append(request)
        if self.google is None:
            raise Refusal(Code.UNAVAILABLE, "GOOGLE_NOT_CONFIGURED", "signing in with Google is not set up here")
        user = self.google.get(request.id_token)
        if user is None:
            raise Refusal(Code.UNAUTHENTICATED, "ID_TOKEN_INVALID", "the ID token is not valid; sign in again")
        if request.expected_user_id not in {"", user.id}:
            raise Refusal(Code.UNAUTHENTICATED, "USER_MISMATCH", "user.id is not the id in the ID token")
        if user.id in self.deleted:
            raise Refusal(Code.FAILED_PRECONDITION, "ACCOUNT_DELETED", "this account was deleted", 60.0)
        self.users[user.email] = user
        return sessions_pb2.LogInWithGoogleResponse(user=user, tokens=self.tokens_for(user.id, "google"))

    async def ListSessions(
        self, request: sessions_pb2.ListSessionsRequest, context: Any
    ) -> sessions_pb2.ListSessionsResponse:
        await self.meet("ListSessions", context)
        return sessions_pb2.ListSessionsResponse(sessions=self.sessions.get(request.user_id, []))

    async def RevokeSession(
        self, request: sessions_pb2.RevokeSessionRequest, context: Any
    ) -> sessions_pb2.RevokeSessionResponse:
        await self.meet("RevokeSession", context)
        if not self.end_session(request.user_id, request.session_id):
            raise Refusal(Code.NOT_FOUND, "SESSION_NOT_FOUND", "there is no such session")
        return sessions_pb2.RevokeSessionResponse()

    async def LogOut(self, request: sessions_pb2.LogOutRequest, context: Any) -> sessions_pb2.LogOutResponse:
        await self.meet("LogOut", context)
        self.logged_out.append(request)
        self.end_session(request.user_id, request.session_id)
        return sessions_pb2.LogOutResponse()

    async def ListPublicKeys(self, _: Any, context: Any) -> keys_pb2.ListPublicKeysResponse:
        await self.meet("ListPublicKeys", context)
        keys = [
            keys_pb2.PublicKey(key_id=name, algorithm="EdDSA", public_key=key.public_key().public_bytes_raw())
            for name, key in self.keys.items()
        ]
        return keys_pb2.ListPublicKeysResponse(keys=keys, issuer=ISSUER, audience=AUDIENCE)

    async def ListRevocations(
        self, request: keys_pb2.ListRevocationsRequest, context: Any
    ) -> keys_pb2.ListRevocationsResponse:
        await self.meet("ListRevocations", context)
        begin = int(request.page_token or 0)
        end = begin + request.page_size if request.page_size else len(self.revocations)
        return keys_pb2.ListRevocationsResponse(
            revocations=self.revocations[begin:end],
            next_page_token=str(end) if end < len(self.revocations) else "",
            is_beating=self.is_beating,
        )

    async def GetContact(
        self, request: contacts_pb2.GetContactRequest, context: Any
    ) -> contacts_pb2.GetContactResponse:
        await self.meet("GetContact", context)
        return contacts_pb2.GetContactResponse(contact=self.contact(request.user_id))

    async def SetMailLists(
        self, request: contacts_pb2.SetMailListsRequest, context: Any
    ) -> contacts_pb2.SetMailListsResponse:
        await self.meet("SetMailLists", context)
        user = self.user(request.user_id)
        refused = self.refused.setdefault(user.email, set())
        for preference in request.preferences:
            _require_mail_list(preference.list)
        wanted_again = refused & {each.list for each in request.preferences if each.is_wanted}
        if wanted_again and not user.is_email_verified:
            message = "this address has unsubscribed from such mails; verify the address first, then ask for them"
            raise Refusal(Code.FAILED_PRECONDITION, "EMAIL_UNVERIFIED", message)
        refused -= wanted_again
        for preference in request.preferences:
            self._want(user.id, preference.list, is_wanted=preference.is_wanted)
        return contacts_pb2.SetMailListsResponse(contact=self.contact(user.id))

    async def Unsubscribe(
        self, request: contacts_pb2.UnsubscribeRequest, context: Any
    ) -> contacts_pb2.UnsubscribeResponse:
        await self.meet("Unsubscribe", context)
        _require_mail_list(request.list)
        for user_id, token in self.unsubscribe_tokens.items():
            if token == request.token:
                self._want(user_id, request.list, is_wanted=False)
                self.refused.setdefault(self.user(user_id).email, set()).add(request.list)
                return contacts_pb2.UnsubscribeResponse()
        raise Refusal(Code.INVALID_ARGUMENT, "UNSUBSCRIBE_TOKEN_INVALID", "the link to unsubscribe is not valid")

    def contact(self, user_id: str) -> contacts_pb2.Contact:
        """Return where a user is written to."""
        user = self.user(user_id)
        unwanted = self.unwanted.get(user_id, set())
        return contacts_pb2.Contact(
            user_id=user_id,
            email=user.email,
            name=user.name if user.HasField("name") else None,
            is_email_verified=user.is_email_verified,
            preferences=[contacts_pb2.MailPreference(list=each, is_wanted=each not in unwanted) for each in MAIL_LISTS],
            unsubscribe_token=self.unsubscribe_tokens.setdefault(user_id, secrets.token_urlsafe(32)),
        )

    def _want(self, user_id: str, mail_list: int, *, is_wanted: bool) -> None:
        unwanted = self.unwanted.setdefault(user_id, set())
        if is_wanted:
            unwanted.discard(mail_list)
        else:
            unwanted.add(mail_list)

    async def RequestPasswordReset(
        self, request: recovery_pb2.RequestPasswordResetRequest, context: Any
    ) -> recovery_pb2.RequestPasswordResetResponse:
        await self.meet("RequestPasswordReset", context)
        self.reset_requests.append(request)
        if "@" not in request.email:
            raise Refusal(Code.INVALID_ARGUMENT, "EMAIL_INVALID", "email must be an address such as name@example.com")
        if request.email in self.passwords:
            self.mail("reset", self.users[request.email].id)
        return recovery_pb2.RequestPasswordResetResponse()

    async def ResetPassword(
        self, request: recovery_pb2.ResetPasswordRequest, context: Any
    ) -> recovery_pb2.ResetPasswordResponse:
        await self.meet("ResetPassword", context)
        if len(request.password) < 8:
            raise Refusal(Code.INVALID_ARGUMENT, "PASSWORD_TOO_SHORT", "password must have at least 8 characters")
        user = self._use("reset", request.token)
        self.passwords[user.email] = request.password
        user.is_email_verified = True
        self.sessions.pop(user.id, None)
        return recovery_pb2.ResetPasswordResponse()

    async def RequestEmailVerification(
        self, request: recovery_pb2.RequestEmailVerificationRequest, context: Any
    ) -> recovery_pb2.RequestEmailVerificationResponse:
        await self.meet("RequestEmailVerification", context)
        user = self.user(request.user_id)
        if not user.is_email_verified:
            self.mail("verify", user.id)
        return recovery_pb2.RequestEmailVerificationResponse(is_email_verified=user.is_email_verified)

    async def VerifyEmail(
        self, request: recovery_pb2.VerifyEmailRequest, context: Any
    ) -> recovery_pb2.VerifyEmailResponse:
        await self.meet("VerifyEmail", context)
        user = self._use("verify", request.token)
        user.is_email_verified = True
        return recovery_pb2.VerifyEmailResponse(user=user)

    def mail(self, kind: str, user_id: str) -> str:
        """Send a token."""
        token = secrets.token_urlsafe(32)
        self.mailed.setdefault((kind, user_id), []).append(token)
        return token

    def _use(self, kind: str, token: str) -> accounts_pb2.User:
        for (mailed_kind, user_id), tokens in self.mailed.items():
            if mailed_kind == kind and token in tokens:
                tokens.clear()
                return self.user(user_id)
        raise Refusal(Code.INVALID_ARGUMENT, "MAIL_TOKEN_INVALID", "the link is unknown, used or expired")

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: accounts_pb2_grpc.add_AccountServiceServicer_to_server(fake, server),
            lambda server: sessions_pb2_grpc.add_SessionServiceServicer_to_server(fake, server),
            lambda server: keys_pb2_grpc.add_KeyServiceServicer_to_server(fake, server),
            lambda server: contacts_pb2_grpc.add_ContactServiceServicer_to_server(fake, server),
            lambda server: recovery_pb2_grpc.add_RecoveryServiceServicer_to_server(fake, server),
        ]


def _require_mail_list(mail_list: int) -> None:
    if mail_list not in MAIL_LISTS:
        raise Refusal(Code.INVALID_ARGUMENT, "MAIL_LIST_INVALID", "there is no such list")
