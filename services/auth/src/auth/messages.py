"""The domain's values as the contract's messages; what the handlers answer and the outbox tells."""

from google.protobuf.timestamp_pb2 import Timestamp

from auth.domain.keys import PublicKey
from auth.domain.revocations import Revocation, RevocationKind
from auth.domain.tokens import Session, Tokens
from auth.domain.users import IdentityProvider, User
from bourse.auth.v1 import accounts_pb2, keys_pb2, sessions_pb2

SIGNATURE_ALGORITHM = "EdDSA"

_IDENTITY_PROVIDERS = {
    IdentityProvider.PASSWORD: accounts_pb2.IDENTITY_PROVIDER_PASSWORD,
    IdentityProvider.GOOGLE: accounts_pb2.IDENTITY_PROVIDER_GOOGLE,
}


def user_message(user: User) -> accounts_pb2.User:
    """Return what others may know of an account."""
    created_at = Timestamp()
    created_at.FromDatetime(user.created_at)
    return accounts_pb2.User(
        id=user.id,
        identity_provider=_IDENTITY_PROVIDERS[user.identity_provider],
        email=user.email,
        name=user.name,
        picture=user.picture,
        created_at=created_at,
    )


def tokens_message(tokens: Tokens) -> accounts_pb2.Tokens:
    """Return a session's tokens in clear, for the one message that hands them out."""
    return accounts_pb2.Tokens(
        access_token=tokens.access_token.get_secret_value(),
        refresh_token=tokens.refresh_token.get_secret_value(),
        expires_in_seconds=tokens.expires_in_seconds,
    )


def open_session_message(session: Session) -> sessions_pb2.OpenSession:
    """Return what its owner may know of a session; from where it was opened is kept for throttling alone."""
    created_at, expires_at = Timestamp(), Timestamp()
    created_at.FromDatetime(session.created_at)
    expires_at.FromDatetime(session.refresh_expires_at)
    return sessions_pb2.OpenSession(
        id=session.id, created_at=created_at, expires_at=expires_at, opened_from=session.opened_by.value
    )


def public_key_message(key: PublicKey) -> keys_pb2.PublicKey:
    """Return a verification key."""
    return keys_pb2.PublicKey(key_id=key.id, algorithm=SIGNATURE_ALGORITHM, public_key=key.raw)


def revocation_message(revocation: Revocation) -> keys_pb2.Revocation:
    """Return what is refused and until when."""
    expires_at = Timestamp()
    expires_at.FromDatetime(revocation.expires_at)
    match revocation.kind:
        case RevocationKind.TOKEN:
            return keys_pb2.Revocation(token_id=revocation.subject, expires_at=expires_at)
        case RevocationKind.SESSION:
            return keys_pb2.Revocation(session_id=revocation.subject, expires_at=expires_at)
        case RevocationKind.USER:
            return keys_pb2.Revocation(user_id=revocation.subject, expires_at=expires_at)
