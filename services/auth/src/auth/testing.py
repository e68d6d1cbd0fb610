"""Stand-ins with behaviour for tests that do no I/O: a store in memory, a cheap hash, a signer, counted attempts."""

import asyncio
import copy
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from auth.domain.accounts import Accounts, EmailTaken
from auth.domain.contacts import Contacts
from auth.domain.google_identities import GoogleIdentity, IdTokenInvalid
from auth.domain.google_login import GoogleLogin
from auth.domain.keys import PublicKey
from auth.domain.login import PasswordLogin
from auth.domain.mail_lists import Contact, MailList
from auth.domain.mail_orders import MailOrders
from auth.domain.mail_tokens import MailToken
from auth.domain.ports import Limit
from auth.domain.postman import Postman
from auth.domain.recovery import Recovery
from auth.domain.revocations import PAGE_LENGTH, PageEnd, Revocation, RevocationKind
from auth.domain.sessions import Sessions, SignedIn
from auth.domain.throttle import Throttle
from auth.domain.tokens import AccessClaims, RefreshToken, Session, TokenPolicy
from auth.domain.users import IdentityProvider, NewPasswordAccount, PasswordAccount, User, UserNotFound
from auth.domain.wanted_mails import MailKind, WantedMail
from chassis.clock import ManualClock
from mail.messages import Letter

EMAIL = "asha@example.com"
PASSWORD = "correct horse"  # noqa: S105  # nobody's
HOME_ADDRESS = "192.0.2.1"
PUBLIC_URL = "https://bourse.example.com"


@dataclass(slots=True)
class _Token:
    session_id: str
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(slots=True)
class _State:
    accounts: dict[str, PasswordAccount] = field(default_factory=dict)
    google_accounts: dict[str, User] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    tokens: dict[bytes, _Token] = field(default_factory=dict)
    revocations: list[Revocation] = field(default_factory=list)
    announced: list[tuple[Revocation, ...]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unwanted: set[tuple[str, MailList]] = field(default_factory=set)
    refusals: set[tuple[bytes, MailList]] = field(default_factory=set)
    password_changes: dict[str, datetime] = field(default_factory=dict)
    wanted_mails: list[WantedMail] = field(default_factory=list)
    addresses_written_to: dict[str, bytes] = field(default_factory=dict)
    mail_tokens: dict[bytes, MailToken] = field(default_factory=dict)
    used_mail_tokens: set[bytes] = field(default_factory=set)

    @property
    def users(self) -> dict[str, User]:
        return {each.user.id: each.user for each in self.accounts.values()} | self.google_accounts

    def replace_account(self, user_id: str, **changes: Any) -> None:
        self.accounts = {
            key: replace(account, **changes) if account.user.id == user_id else account
            for key, account in self.accounts.items()
        }


class MemoryStore:
    """Auth's facts in memory, with transactions that roll back; also one transaction's repositories."""

    def __init__(self) -> None:
        self.state = _State()
        self._numbers = itertools.count(1)
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["_Unit"]:
        """Run one writer at a time; forget what it did when it raises."""
        async with self._writer:
            before = copy.deepcopy(self.state)
            try:
                yield _Unit(self.state, self._numbers)
            except BaseException:
                self.state = before
                raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["_Unit"]:
        """Read what is there."""
        yield _Unit(self.state, self._numbers)

    def delete_user(self, user_id: str) -> None:
        """Delete an account but, unlike a database, leave its sessions."""
        self.state.accounts = {
            key: account for key, account in self.state.accounts.items() if account.user.id != user_id
        }


class _Unit:
    def __init__(self, state: _State, numbers: "itertools.count[int]") -> None:
        self.users = _MemoryUsers(state, numbers)
        self.sessions = _MemorySessions(state)
        self.revocations = _MemoryRevocations(state)
        self.contacts = _MemoryContacts(state)
        self.mail_refusals = _MemoryMailRefusals(state)
        self.wanted_mails = _MemoryWantedMails(state)
        self.mail_tokens = _MemoryMailTokens(state)


class _MemoryUsers:
    def __init__(self, state: _State, numbers: "itertools.count[int]") -> None:
        self._state = state
        self._numbers = numbers

    async def add(self, account: NewPasswordAccount) -> User:
        if account.email.key in self._state.accounts:
            raise EmailTaken
        user = User(
            id=str(next(self._numbers)),
            identity_provider=IdentityProvider.PASSWORD,
            email=account.email.address,
            name=account.name,
            picture=None,
            created_at=account.created_at,
        )
        self._state.accounts[account.email.key] = PasswordAccount(user, account.password_hash)
        return user

    async def keep_google_account(self, identity: GoogleIdentity, now: datetime) -> User | None:
        known = self._state.users.get(identity.subject)
        if known is not None and known.identity_provider is not IdentityProvider.GOOGLE:
            return None
        user = User(
            id=identity.subject,
            identity_provider=IdentityProvider.GOOGLE,
            email=identity.email,
            name=identity.name or (known.name if known else None),
            picture=identity.picture or (known.picture if known else None),
            created_at=known.created_at if known else now,
            is_email_verified=True,
        )
        self._state.google_accounts[user.id] = user
        return user

    async def find(self, user_id: str) -> User | None:
        return self._state.users.get(user_id)

    async def find_of_session(self, session_id: str) -> User | None:
        session = self._state.sessions.get(session_id)
        return None if session is None else await self.find(session.user_id)

    async def find_password_account(self, email_key: str) -> PasswordAccount | None:
        return self._state.accounts.get(email_key)

    async def replace_password_hash(self, user_id: str, *, old: str, new: str) -> None:
        if await self.has_password_hash(user_id, old):
            self._state.replace_account(user_id, password_hash=new)

    async def has_password_hash(self, user_id: str, password_hash: str) -> bool:
        return any(
            each.user.id == user_id and each.password_hash == password_hash for each in self._state.accounts.values()
        )

    async def set_password_hash(self, user_id: str, password_hash: str, now: datetime) -> None:
        self._state.replace_account(user_id, password_hash=password_hash)
        self._state.password_changes[user_id] = now

    async def password_changed_at(self, user_id: str) -> datetime | None:
        return self._state.password_changes.get(user_id)

    async def verify_email(self, user_id: str, email: str, now: datetime) -> User | None:  # noqa: ARG002  # not kept
        user = self._state.users.get(user_id)
        if user is None or user.email != email:
            return None
        verified = replace(user, is_email_verified=True)
        self._state.replace_account(user_id, user=verified)
        return verified

    async def grant_admin(self, user_id: str) -> None:
        user = self._state.users[user_id]
        self._state.replace_account(user_id, user=replace(user, is_admin=True))

    async def lock(self, user_id: str) -> bool:
        return user_id in self._state.users

    async def delete(self, user_id: str, now: datetime) -> None:  # noqa: ARG002  # when is not kept
        self._state.accounts = {key: each for key, each in self._state.accounts.items() if each.user.id != user_id}
        self._state.google_accounts.pop(user_id, None)
        self._state.deleted.append(user_id)


class _MemorySessions:
    def __init__(self, state: _State) -> None:
        self._state = state

    async def add(self, session: Session, token: RefreshToken) -> None:
        if session.user_id not in self._state.users:
            raise UserNotFound
        self._state.sessions[session.id] = session
        self._state.tokens[token.digest] = _Token(session.id, token.expires_at)

    async def spend(self, digest: bytes, now: datetime) -> str | None:
        token = self._state.tokens.get(digest)
        if token is None or token.used_at is not None or token.expires_at <= now:
            return None
        token.used_at = now
        return token.session_id

    async def find_spent(self, digest: bytes) -> str | None:
        token = self._state.tokens.get(digest)
        return None if token is None or token.used_at is None else token.session_id

    async def renew(self, session_id: str, token: RefreshToken, *, access_expires_at: datetime) -> Session | None:
        session = self._live(session_id)
        if session is None:
            return None
        last_expires_at = max(session.access_expires_at, access_expires_at)
        renewed = replace(session, access_expires_at=last_expires_at, refresh_expires_at=token.expires_at)
        await self.add(renewed, token)
        return renewed

    async def revoke(self, session_id: str, now: datetime) -> Session | None:  # noqa: ARG002  # when is not kept
        session = self._live(session_id)
        self._state.revoked.add(session_id)
        return session

    async def revoke_all(self, user_id: str, now: datetime) -> tuple[Session, ...]:
        own = [each.id for each in self._state.sessions.values() if each.user_id == user_id]
        revoked = [await self.revoke(session_id, now) for session_id in own]
        return tuple(session for session in revoked if session is not None)

    async def is_owned(self, session_id: str, user_id: str) -> bool:
        session = self._state.sessions.get(session_id)
        return session is not None and session.user_id == user_id

    async def is_open(self, session_id: str, user_id: str, now: datetime) -> bool:
        return any(
            each.id == session_id for each in await self.list_open(user_id, now, at_most=len(self._state.sessions))
        )

    async def list_open(self, user_id: str, now: datetime, *, at_most: int) -> tuple[Session, ...]:
        open_ones = [
            session
            for session in self._state.sessions.values()
            if session.user_id == user_id
            and session.id not in self._state.revoked
            and max(session.refresh_expires_at, session.access_expires_at) > now
        ]
        return tuple(sorted(open_ones, key=lambda session: session.created_at, reverse=True)[:at_most])

    async def delete_of(self, user_id: str) -> datetime | None:
        gone = {session.id: session for session in self._state.sessions.values() if session.user_id == user_id}
        self._state.sessions = {name: each for name, each in self._state.sessions.items() if name not in gone}
        self._state.tokens = {name: each for name, each in self._state.tokens.items() if each.session_id not in gone}
        return max((session.access_expires_at for session in gone.values()), default=None)

    async def has_live_from(self, user_id: str, network: str, now: datetime) -> bool:
        return any(
            session.user_id == user_id and session.opened_from == network and session.refresh_expires_at > now
            for session in self._state.sessions.values()
            if session.id not in self._state.revoked
        )

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        tokens = [digest for digest, token in self._state.tokens.items() if token.expires_at <= now][:at_most]
        for digest in tokens:
            del self._state.tokens[digest]
        return len(tokens)

    def _live(self, session_id: str) -> Session | None:
        return None if session_id in self._state.revoked else self._state.sessions.get(session_id)


class _MemoryRevocations:
    def __init__(self, state: _State) -> None:
        self._state = state

    async def add(self, revocations: Sequence[Revocation], now: datetime) -> None:  # noqa: ARG002  # when is not kept
        self._state.revocations.extend(revocations)
        self._state.announced.append(tuple(revocations))

    async def user_refused_until(self, user_id: str, now: datetime) -> datetime | None:
        refusals = (each for each in self._state.revocations if each.kind is RevocationKind.USER)
        ends = (each.expires_at for each in refusals if each.subject == user_id and each.expires_at > now)
        return max(ends, default=None)

    async def standing(
        self, now: datetime, *, after: PageEnd | None = None, at_most: int = PAGE_LENGTH
    ) -> tuple[Revocation, ...]:
        behind = ("", "") if after is None else (after.kind.value, after.subject)
        ordered = sorted(self._state.revocations, key=lambda each: (each.kind.value, each.subject))
        standing = (each for each in ordered if each.expires_at > now and (each.kind.value, each.subject) > behind)
        return tuple(itertools.islice(standing, at_most))

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        expired = [each for each in self._state.revocations if each.expires_at <= now][:at_most]
        for revocation in expired:
            self._state.revocations.remove(revocation)
        return len(expired)


class _MemoryContacts:
    def __init__(self, state: _State) -> None:
        self._state = state

    async def find(self, user_id: str) -> Contact | None:
        user = self._state.users.get(user_id)
        if user is None:
            return None
        wanted = frozenset(each for each in MailList if (user_id, each) not in self._state.unwanted)
        return Contact(user, wanted, unsubscribe_token_of(user_id))

    async def set_lists(self, user_id: str, wanted: Mapping[MailList, bool]) -> Contact | None:
        self._state.unwanted -= {(user_id, each) for each, is_wanted in wanted.items() if is_wanted}
        self._state.unwanted |= {(user_id, each) for each, is_wanted in wanted.items() if not is_wanted}
        return await self.find(user_id)

    async def end_list(self, unsubscribe_token: str, mail_list: MailList) -> User | None:
        users = self._state.users.values()
        user = next((each for each in users if unsubscribe_token_of(each.id) == unsubscribe_token), None)
        if user is not None:
            self._state.unwanted.add((user.id, mail_list))
        return user


class _MemoryMailRefusals:
    def __init__(self, state: _State) -> None:
        self._state = state

    async def add(self, address_digest: bytes, mail_list: MailList) -> None:
        self._state.refusals.add((address_digest, mail_list))

    async def list_of(self, address_digest: bytes) -> frozenset[MailList]:
        return frozenset(mail_list for digest, mail_list in self._state.refusals if digest == address_digest)

    async def delete(self, address_digest: bytes, mail_lists: Collection[MailList]) -> None:
        self._state.refusals -= {(address_digest, each) for each in mail_lists}


class _MemoryWantedMails:
    def __init__(self, state: _State) -> None:
        self._state = state

    async def add(self, mail: WantedMail, address_digest: bytes) -> None:
        self._state.wanted_mails.append(mail)
        self._state.addresses_written_to[mail.id] = address_digest

    async def list_since(self, since: datetime, address_digest: bytes, kind: MailKind) -> tuple[datetime, ...]:
        written_to = self._state.addresses_written_to
        of_kind = (each for each in self._state.wanted_mails if each.kind is kind)
        asked = (each for each in of_kind if written_to[each.id] == address_digest)
        return tuple(sorted(each.requested_at for each in asked if each.requested_at > since))

    async def delete_before(self, moment: datetime, *, at_most: int) -> int:
        old = [each for each in self._state.wanted_mails if each.requested_at <= moment][:at_most]
        self._state.wanted_mails = [each for each in self._state.wanted_mails if each not in old]
        return len(old)


class _MemoryMailTokens:
    def __init__(self, state: _State) -> None:
        self._state = state

    async def add(self, token: MailToken) -> None:
        if token.user_id not in self._state.users:
            raise UserNotFound
        self._state.mail_tokens[token.digest] = token

    async def find_owner(self, digest: bytes, kind: MailKind, now: datetime) -> str | None:
        token = self._usable(digest, kind, now)
        return None if token is None else token.user_id

    async def consume(self, digest: bytes, kind: MailKind, now: datetime) -> MailToken | None:
        token = self._usable(digest, kind, now)
        self._state.used_mail_tokens.add(digest)
        return token

    async def consume_all(self, user_id: str, kind: MailKind, now: datetime) -> None:  # noqa: ARG002  # not kept
        tokens = self._state.mail_tokens.values()
        self._state.used_mail_tokens |= {each.digest for each in tokens if (each.user_id, each.kind) == (user_id, kind)}

    async def delete_expired(self, now: datetime, *, at_most: int) -> int:
        expired = [each.digest for each in self._state.mail_tokens.values() if each.expires_at <= now][:at_most]
        for digest in expired:
            del self._state.mail_tokens[digest]
        return len(expired)

    def _usable(self, digest: bytes, kind: MailKind, now: datetime) -> MailToken | None:
        token = self._state.mail_tokens.get(digest)
        if token is None or digest in self._state.used_mail_tokens:
            return None
        return token if token.kind is kind and token.expires_at > now else None


def unsubscribe_token_of(user_id: str) -> str:
    """Return the token that ends lists of an account in memory."""
    return user_id.rjust(43, "u")


class Letterbox:
    """Keeps what is sent, or fails as it is told to."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.failure: Exception | None = None

    async def send(self, letter: Letter) -> None:
        """Keep a letter."""
        if self.failure is not None:
            raise self.failure
        self.letters.append(letter)


class PlainPasswords:
    """Hashes by writing a version before the password; counts how often it was asked."""

    def __init__(self) -> None:
        self.version = 1
        self.verifications = 0

    async def hash(self, password: SecretStr) -> str:
        """Return the version and the password."""
        return f"v{self.version}:{password.get_secret_value()}"

    async def verify(self, password: SecretStr, password_hash: str | None) -> bool:
        """Compare; None fits nothing."""
        self.verifications += 1
        return password_hash is not None and password_hash.partition(":")[2] == password.get_secret_value()

    def is_outdated(self, password_hash: str) -> bool:
        """Say whether the hash is of an earlier version."""
        return not password_hash.startswith(f"v{self.version}:")


class CountedAttempts:
    """Counts attempts in one window that never ends."""

    def __init__(self, limits: dict[Limit, int], *, wait_seconds: float) -> None:
        self.limits = limits
        self.wait_seconds = wait_seconds
        self.counts: Counter[tuple[Limit, str]] = Counter()

    async def count(self, limit: Limit, key: str) -> float | None:
        """Count one attempt."""
        self.counts[limit, key] += 1
        return None if self.counts[limit, key] <= self.limits[limit] else self.wait_seconds

    async def forget(self, limit: Limit, key: str) -> None:
        """Start the count anew."""
        self.counts.pop((limit, key), None)


class RecordingSigner:
    """Signs by numbering, and remembers the claims of each token."""

    def __init__(self) -> None:
        self.claims: dict[str, AccessClaims] = {}

    def sign(self, claims: AccessClaims) -> SecretStr:
        """Return a token that stands for the claims."""
        token = f"token-{len(self.claims) + 1}"
        self.claims[token] = claims
        return SecretStr(token)

    def published_keys(self) -> tuple[PublicKey, ...]:
        """Return the one key there is."""
        return (PublicKey("key-1", bytes(32)),)


class NamedIdentities:
    """Takes an ID token for the identity it was given for, and no other token."""

    def __init__(self) -> None:
        self.identities: dict[str, GoogleIdentity] = {}

    async def verify(self, id_token: SecretStr) -> GoogleIdentity:
        """Return the identity.

        Raises:
            IdTokenInvalid: the token stands for nobody.
        """
        identity = self.identities.get(id_token.get_secret_value())
        if identity is None:
            raise IdTokenInvalid("it stands for nobody")
        return identity


class InMemoryAuth:
    """The whole domain on the stand-ins above."""

    def __init__(self, *, clock: ManualClock, policy: TokenPolicy) -> None:
        self.clock = clock
        self.policy = policy
        self.store = MemoryStore()
        self.passwords = PlainPasswords()
        self.signer = RecordingSigner()
        self.attempts = CountedAttempts(dict.fromkeys(Limit, 1_000), wait_seconds=42.5)
        seeds = itertools.count(1)
        throttle = Throttle(self.attempts)

        def random_bytes(length: int) -> bytes:
            return next(seeds).to_bytes(length, "big")

        self.sessions = Sessions(self.store, self.signer, clock=clock, policy=policy, random_bytes=random_bytes)
        orders = MailOrders(clock=clock, random_bytes=random_bytes)
        self.accounts = Accounts(
            self.store, self.sessions, orders=orders, passwords=self.passwords, throttle=throttle, clock=clock
        )
        self.recovery = Recovery(
            self.store, self.sessions, orders=orders, passwords=self.passwords, throttle=throttle, clock=clock
        )
        self.contacts = Contacts(self.store)
        self.letterbox = Letterbox()
        self.postman = Postman(
            self.store, self.letterbox, public_url=PUBLIC_URL, clock=clock, random_bytes=random_bytes
        )
        self.login = PasswordLogin(self.store, self.sessions, passwords=self.passwords, throttle=throttle, clock=clock)
        self.id_tokens = NamedIdentities()
        self.google_login = GoogleLogin(
            self.store, self.sessions, id_tokens=self.id_tokens, throttle=throttle, clock=clock
        )

    async def register(self, email: str = EMAIL, password: str = PASSWORD) -> SignedIn:
        """Register from the home address."""
        return await self.accounts.register(
            email=email, password=SecretStr(password), name="Asha", client_address=HOME_ADDRESS
        )

    async def verify(self, user: User) -> None:
        """Count an account's address as verified, without a mail."""
        async with self.store.transaction() as unit:
            await unit.users.verify_email(user.id, user.email, self.clock.now())

    async def log_in(
        self, email: str = EMAIL, password: str = PASSWORD, client_address: str = HOME_ADDRESS
    ) -> SignedIn:
        """Log in."""
        return await self.login.log_in(email=email, password=SecretStr(password), client_address=client_address)

    def claims_of(self, signed_in: SignedIn) -> AccessClaims:
        """Return what the access token says."""
        return self.signer.claims[signed_in.tokens.access_token.get_secret_value()]
