"""What the domain needs from outside; adapters fit these shapes without inheriting from them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import SecretStr

from auth.domain.google_identities import GoogleIdentity
from auth.domain.keys import PublicKey
from auth.domain.mail_lists import Contact, MailList
from auth.domain.mail_tokens import MailToken
from auth.domain.revocations import PAGE_LENGTH, PageEnd, Revocation
from auth.domain.tokens import AccessClaims, RefreshToken, Session
from auth.domain.users import NewPasswordAccount, PasswordAccount, User
from auth.domain.wanted_mails import MailKind, WantedMail
from mail.messages import Letter


class Users(Protocol):
    """The accounts."""

    async def add(self, account: NewPasswordAccount) -> User:
        """Store a password account under a new id.

        Raises:
            EmailTaken: another password account has the address, be it from a moment ago.
        """
        ...

    async def keep_google_account(self, identity: GoogleIdentity, now: datetime) -> User | None:
        """Make the account of an identity, or refresh it; what the identity does not say stays as it was.

        Returns:
            The account; None when its id is that of an account of another kind, which stays untouched.
        """
        ...

    async def find(self, user_id: str) -> User | None:
        """Return the account with this id."""
        ...

    async def find_of_session(self, session_id: str) -> User | None:
        """Return the account that a session belongs to."""
        ...

    async def find_password_account(self, email_key: str) -> PasswordAccount | None:
        """Return the password account of a normalised address."""
        ...

    async def replace_password_hash(self, user_id: str, *, old: str, new: str) -> None:
        """Store a new hash of the same password, unless the password was changed meanwhile."""
        ...

    async def has_password_hash(self, user_id: str, password_hash: str) -> bool:
        """Say whether this is still the account's hash."""
        ...

    async def set_password_hash(self, user_id: str, password_hash: str, now: datetime) -> None:
        """Store the hash of a new password and that it was changed now."""
        ...

    async def password_changed_at(self, user_id: str) -> datetime | None:
        """Return when an account's password was last changed; None when it never was, or there is no account."""
        ...

    async def verify_email(self, user_id: str, email: str, now: datetime) -> User | None:
        """Count an account's address as verified if it is still this one; None when it is not, or the account gone."""
        ...

    async def grant_admin(self, user_id: str) -> None:
        """Let the account's future tokens say that it is an administrator's."""
        ...

    async def lock(self, user_id: str) -> bool:
        """Keep an account as it is, without new sessions, until the transaction ends; say whether there is one."""
        ...

    async def delete(self, user_id: str, now: datetime) -> None:
        """Delete an account and, in the same transaction, store the event that tells everyone."""
        ...


class SessionRecords(Protocol):
    """The sessions and their refresh tokens."""

    async def add(self, session: Session, token: RefreshToken) -> None:
        """Store a new session with its first refresh token.

        Raises:
            UserNotFound: its account was deleted a moment ago.
        """
        ...

    async def spend(self, digest: bytes, now: datetime) -> str | None:
        """Use up a refresh token and return its session's id; None when it is unknown, used or expired.

        Of two that spend one token at once, exactly one succeeds.
        """
        ...

    async def find_spent(self, digest: bytes) -> str | None:
        """Return the session whose refresh token was used before; None when it is unknown or unused."""
        ...

    async def renew(self, session_id: str, token: RefreshToken, *, access_expires_at: datetime) -> Session | None:
        """Give a session its next refresh token and return it; None when it is revoked or gone.

        Args:
            session_id: the session.
            token: the refresh token.
            access_expires_at: when the access token that is given with it expires. One given earlier may live longer,
                since operators can shorten lifetimes: the session keeps the later of both.
        """
        ...

    async def revoke(self, session_id: str, now: datetime) -> Session | None:
        """End a session and return it; None when it was ended before or is gone."""
        ...

    async def revoke_all(self, user_id: str, now: datetime) -> tuple[Session, ...]:
        """End all sessions of an account that were not ended before, and return them."""
        ...

    async def is_owned(self, session_id: str, user_id: str) -> bool:
        """Say whether the session is this account's."""
        ...

    async def is_open(self, session_id: str, user_id: str, now: datetime) -> bool:
        """Say whether the session is this account's and one of its tokens can still be used."""
        ...

    async def list_open(self, user_id: str, now: datetime, *, at_most: int) -> tuple[Session, ...]:
        """Return the account's sessions of which a token can still be used, newest first."""
        ...

    async def delete_of(self, user_id: str) -> datetime | None:
        """Delete an account's sessions and refresh tokens.

        Returns:
            When the last of their access tokens expires; None when there were no sessions.
        """
        ...

    async def has_live_from(self, user_id: str, network: str, now: datetime) -> bool:
        """Say whether the account holds an unexpired session that was opened from a network."""
        ...

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        """Delete sessions and refresh tokens that nothing can be done with any more; return how many rows went."""
        ...


class Revocations(Protocol):
    """What is refused before it expires by itself."""

    async def add(self, revocations: Sequence[Revocation], now: datetime) -> None:
        """Store revocations and, in the same transaction, the event that tells everyone; the later expiry stands."""
        ...

    async def user_refused_until(self, user_id: str, now: datetime) -> datetime | None:
        """Return until when all tokens of a user are refused; None when they are not."""
        ...

    async def standing(
        self, now: datetime, *, after: PageEnd | None = None, at_most: int = PAGE_LENGTH
    ) -> tuple[Revocation, ...]:
        """Return those that have not expired, in an order that stays.

        Args:
            now: the moment.
            after: where the page before ended; None for the first page.
            at_most: how many; where there are fewer, no more stand.
        """
        ...

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        """Delete those that have expired; return how many."""
        ...


class Contacts(Protocol):
    """Where accounts are written to and about what they want to be."""

    async def find(self, user_id: str) -> Contact | None:
        """Return the contact of an account."""
        ...

    async def set_lists(self, user_id: str, wanted: Mapping[MailList, bool]) -> Contact | None:
        """Keep which lists an account wants, those not named as they were, and return how it stands."""
        ...

    async def end_list(self, unsubscribe_token: str, mail_list: MailList) -> User | None:
        """End a list of the account with this token and return the account; None when there is none."""
        ...


class MailRefusals(Protocol):
    """Which lists the readers of addresses have refused, whichever accounts have the addresses now."""

    async def add(self, address_digest: bytes, mail_list: MailList) -> None:
        """Store that an address refuses a list, be it stored already."""
        ...

    async def list_of(self, address_digest: bytes) -> frozenset[MailList]:
        """Return the lists that an address refuses."""
        ...

    async def delete(self, address_digest: bytes, mail_lists: Collection[MailList]) -> None:
        """Forget that an address refuses some lists."""
        ...


class WantedMails(Protocol):
    """The mails that were asked for lately, counted by the digests of normalised addresses."""

    async def add(self, mail: WantedMail, address_digest: bytes) -> None:
        """Store that a mail is wanted and, in the same transaction, the event that gets it sent."""
        ...

    async def list_since(self, since: datetime, address_digest: bytes, kind: MailKind) -> tuple[datetime, ...]:
        """Return when mails of a kind to an address were asked for after `since`, oldest first."""
        ...

    async def delete_before(self, moment: datetime, *, at_most: int) -> int:
        """Forget those asked for before; return how many."""
        ...


class MailTokens(Protocol):
    """The tokens that mails carry."""

    async def add(self, token: MailToken) -> None:
        """Store a new token.

        Raises:
            UserNotFound: its account was deleted a moment ago.
        """
        ...

    async def find_owner(self, digest: bytes, kind: MailKind, now: datetime) -> str | None:
        """Return the id of the account that a usable token acts for; None when it is unknown, used or expired."""
        ...

    async def consume(self, digest: bytes, kind: MailKind, now: datetime) -> MailToken | None:
        """Use up a token and return it; None when it is unknown, used or expired.

        Of two that consume one token at once, exactly one succeeds.
        """
        ...

    async def consume_all(self, user_id: str, kind: MailKind, now: datetime) -> None:
        """Use up all tokens of a kind that an account has."""
        ...

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        """Delete those that have expired; return how many."""
        ...


class Unit(Protocol):
    """The repositories in one transaction."""

    @property
    def users(self) -> Users:
        """Return the accounts."""
        ...

    @property
    def sessions(self) -> SessionRecords:
        """Return the sessions."""
        ...

    @property
    def revocations(self) -> Revocations:
        """Return the revocations."""
        ...

    @property
    def contacts(self) -> Contacts:
        """Return the contacts."""
        ...

    @property
    def mail_refusals(self) -> MailRefusals:
        """Return what addresses have refused."""
        ...

    @property
    def wanted_mails(self) -> WantedMails:
        """Return the mails that were asked for."""
        ...

    @property
    def mail_tokens(self) -> MailTokens:
        """Return the tokens of mails."""
        ...


class Store(Protocol):
    """Where auth's facts are kept."""

    def transaction(self) -> AbstractAsyncContextManager[Unit]:
        """Open a transaction: everything in it is durable when the block ends, nothing when it raises."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Unit]:
        """Open a transaction that only reads."""
        ...


class Passwords(Protocol):
    """A slow hash, computed beside the event loop."""

    async def hash(self, password: SecretStr) -> str:
        """Return a salted hash, its parameters included."""
        ...

    async def verify(self, password: SecretStr, password_hash: str | None) -> bool:
        """Say whether the password fits; with None it fits nothing, and takes as long."""
        ...

    def is_outdated(self, password_hash: str) -> bool:
        """Say whether the hash was made with other parameters than today's."""
        ...


class Limit(StrEnum):
    """What attempts are counted by."""

    REGISTRATION_BY_NETWORK = "registration-by-network"
    RECOVERY_BY_NETWORK = "recovery-by-network"
    LOGIN_BY_NETWORK = "login-by-network"
    LOGIN_BY_ACCOUNT = "login-by-account"
    LOGIN_BY_ACCOUNT_AT_HOME = "login-by-account-at-home"


class AttemptCounter(Protocol):
    """Counts attempts in windows of time."""

    async def count(self, limit: Limit, key: str) -> float | None:
        """Count one attempt; None when it is within the limit, else the seconds until one will be again."""
        ...

    async def forget(self, limit: Limit, key: str) -> None:
        """Start the count anew."""
        ...


class Signer(Protocol):
    """Holds the private key."""

    def sign(self, claims: AccessClaims) -> SecretStr:
        """Return the claims as a signed token."""
        ...

    def published_keys(self) -> tuple[PublicKey, ...]:
        """Return the keys that verify unexpired tokens, the one that signs now first."""
        ...


class IdTokens(Protocol):
    """Knows Google's keys."""

    async def verify(self, id_token: SecretStr) -> GoogleIdentity:
        """Return whom an ID token is about.

        Raises:
            IdTokenInvalid: it is not one that Google gave out for us, or it is over.
            GoogleUnavailable: the keys are out of reach.
        """
        ...


class Outgoing(Protocol):
    """Takes letters to people."""

    async def send(self, letter: Letter) -> None:
        """Return when the letter was taken.

        Raises:
            ServiceError: it was not taken, or will never be.
        """
        ...
