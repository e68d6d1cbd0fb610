"""Auth's composition root: what is opened, in which order, and what health is made of."""

import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bourse.auth.v1.accounts_pb2_grpc import add_AccountServiceServicer_to_server
from bourse.auth.v1.contacts_pb2_grpc import add_ContactServiceServicer_to_server
from bourse.auth.v1.keys_pb2_grpc import add_KeyServiceServicer_to_server
from bourse.auth.v1.recovery_pb2_grpc import add_RecoveryServiceServicer_to_server
from bourse.auth.v1.sessions_pb2_grpc import add_SessionServiceServicer_to_server
from limits import RateLimitItem, parse

from auth.domain import accounts
from auth.domain.accounts import Accounts
from auth.domain.contacts import Contacts
from auth.domain.expiry import Expiry
from auth.domain.google_login import GoogleLogin
from auth.domain.keys import PublicKey
from auth.domain.login import PasswordLogin
from auth.domain.mail_orders import MailOrders
from auth.domain.ports import IdTokens, Limit
from auth.domain.postman import Postman
from auth.domain.recovery import Recovery
from auth.domain.sessions import Sessions
from auth.domain.throttle import Throttle
from auth.domain.users import User
from auth.feed.beat import Beat
from auth.feed.mails import wanted_mail_reader
from auth.figures import telling
from auth.handlers.accounts import AccountService
from auth.handlers.contacts import ContactService
from auth.handlers.keys import KeyService
from auth.handlers.recovery import RecoveryService
from auth.handlers.sessions import SessionService
from auth.providers.attempts import WindowedAttempts
from auth.providers.google.fetch import KeyAddress
from auth.providers.google.id_tokens import GoogleIdTokens
from auth.providers.google.keys import GoogleKeys
from auth.providers.key_files import KeyFile, KeyFolder
from auth.providers.passwords import Argon2Passwords
from auth.providers.signing import KeySource, TokenSigner
from auth.settings import Settings
from auth.storage.store import AuthStore
from auth.storage.tables import OUTBOX
from chassis.bus import EVENTS, Bus
from chassis.clock import Clock, SystemClock
from chassis.database import Database, ensure_schema
from chassis.health import Health
from chassis.outbox import OutboxRelay
from chassis.rpc_server import Register, serving
from chassis.tasks import running
from mail.mailers import make_mailer

log = logging.getLogger(__name__)

# OWASP's floor for Argon2id; below it is for tests and benches.
WEAK_MEMORY_KIB = 19 * 1024


class KeyFileIsGiven(RuntimeError):
    """The signing key comes from outside, so that it is rotated there."""

    def __init__(self) -> None:
        super().__init__(
            "AUTH_SIGNING_KEY_FILE is set: add the new private key to that file, and put it first once all know it"
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    store: AuthStore
    signer: TokenSigner
    passwords: Argon2Passwords
    throttle: Throttle
    id_tokens: IdTokens | None
    clock: Clock


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[None]:
    """Open auth and serve until the block is left; then close in reverse order.

    Raises:
        DatabaseUnavailable: the database did not answer at start.
        SchemaBehind: the schema is old and migrating at start is switched off.
        KeyFileInvalid, KeyFileExposed: the signing keys cannot be used.
        AddressInUse: the address to listen on is taken.
    """
    clock = SystemClock()
    health = Health()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(Database.open(settings.database_url))
        await ensure_schema(database, "auth", migrate=settings.auth_migrate_on_start)
        bus = await enter(Bus.open(settings, name="auth", streams=[EVENTS]))
        relay = await enter(OutboxRelay(database, OUTBOX, bus).running())
        attempts = await enter(WindowedAttempts.open(_windows(settings), settings.redis_url, clock))
        parts = _Parts(
            store=AuthStore(database, announce=relay.notify),
            signer=TokenSigner(_key_source(settings, clock), clock=clock),
            passwords=await enter(_open_passwords(settings)),
            throttle=Throttle(attempts),
            id_tokens=await enter(_open_id_tokens(settings, clock)),
            clock=clock,
        )
        stack.enter_context(telling(passwords=parts.passwords, attempts=attempts, signer=parts.signer, clock=clock))
        mails = wanted_mail_reader(bus, _postman(settings, parts))
        beat = Beat(bus, clock=clock)
        await enter(running(parts.signer.follow(), Expiry(parts.store, clock=clock).run(), mails.run(), beat.run()))
        health.add("database", database.is_answering)
        health.add("nats", bus.is_answering, critical=False)
        health.add("mails", mails.is_following, critical=False)
        await enter(serving(settings.auth_address, _services(settings, parts), health=health, settings=settings))
        yield


def _services(settings: Settings, parts: _Parts) -> list[Register]:
    policy = settings.token_policy
    sessions = Sessions(parts.store, parts.signer, clock=parts.clock, policy=policy, random_bytes=secrets.token_bytes)
    orders = MailOrders(clock=parts.clock, random_bytes=secrets.token_bytes)
    registered = Accounts(
        parts.store,
        sessions,
        orders=orders,
        passwords=parts.passwords,
        throttle=parts.throttle,
        clock=parts.clock,
    )
    recovery = Recovery(
        parts.store,
        sessions,
        orders=orders,
        passwords=parts.passwords,
        throttle=parts.throttle,
        clock=parts.clock,
    )
    login = PasswordLogin(parts.store, sessions, passwords=parts.passwords, throttle=parts.throttle, clock=parts.clock)
    google = GoogleLogin(parts.store, sessions, id_tokens=parts.id_tokens, throttle=parts.throttle, clock=parts.clock)
    keys = KeyService(parts.signer, parts.store, policy=policy, clock=parts.clock)
    return [
        partial(add_AccountServiceServicer_to_server, AccountService(registered)),
        partial(add_SessionServiceServicer_to_server, SessionService(login, google, sessions)),
        partial(add_KeyServiceServicer_to_server, keys),
        partial(add_ContactServiceServicer_to_server, ContactService(Contacts(parts.store))),
        partial(add_RecoveryServiceServicer_to_server, RecoveryService(recovery)),
    ]


def _postman(settings: Settings, parts: _Parts) -> Postman:
    return Postman(
        parts.store,
        make_mailer(settings),
        public_url=settings.public_url,
        clock=parts.clock,
        random_bytes=secrets.token_bytes,
    )


def _key_source(settings: Settings, clock: Clock) -> KeySource:
    if settings.auth_signing_key_file is not None:
        return KeyFile(settings.auth_signing_key_file)
    folder = KeyFolder(settings.key_folder, settings.rotation_policy)
    folder.prepare(clock.now())
    return folder


@asynccontextmanager
async def _open_id_tokens(settings: Settings, clock: Clock) -> AsyncIterator[IdTokens | None]:
    if settings.google_client_id is None:
        yield None
        return
    address = KeyAddress(settings.google_jwks_url)
    async with GoogleKeys.open(address.fetch, clock=clock) as keys:
        yield GoogleIdTokens(keys, client_id=settings.google_client_id)


def _open_passwords(settings: Settings) -> AbstractAsyncContextManager[Argon2Passwords]:
    if settings.auth_argon2_memory_kib < WEAK_MEMORY_KIB:
        log.warning("password hashes are weak", extra={"memory_kib": settings.auth_argon2_memory_kib})
    return Argon2Passwords.open(
        settings.argon2_cost, workers=settings.auth_password_workers, max_waiting=settings.auth_password_queue
    )


def _windows(settings: Settings) -> Mapping[Limit, RateLimitItem]:
    return {
        Limit.REGISTRATION_BY_NETWORK: parse(settings.auth_registration_limit),
        Limit.RECOVERY_BY_NETWORK: parse(settings.auth_recovery_limit),
        Limit.LOGIN_BY_NETWORK: parse(settings.auth_login_limit),
        Limit.LOGIN_BY_ACCOUNT: parse(settings.auth_login_account_limit),
        Limit.LOGIN_BY_ACCOUNT_AT_HOME: parse(settings.auth_login_account_limit),
    }


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "auth")


async def grant_admin(settings: Settings, email: str, *, is_unverified_enough: bool = False) -> User:
    """Make an account an administrator's and return it; its next tokens say so.

    Args:
        settings: where the database is.
        email: the account's address.
        is_unverified_enough: whether the address need not be verified.

    Raises:
        EmailInvalid: the text is not an address.
        AccountNotFound: no password account has it.
        AccountUnverified: it is not verified, as it has to be.
        SchemaBehind: the schema is old.
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "auth", migrate=False)
        store = AuthStore(database, announce=lambda: None)
        return await accounts.grant_admin(store, email, is_unverified_enough=is_unverified_enough)


def rotate_key(settings: Settings) -> PublicKey:
    """Add a signing key, which signs after AUTH_KEY_PUBLISH_AHEAD_SECONDS, and return its public half.

    Raises:
        KeyFileIsGiven: the key comes from outside.
        KeyFileInvalid, KeyFileExposed: a key that is there cannot be used.
    """
    if settings.auth_signing_key_file is not None:
        raise KeyFileIsGiven
    return KeyFolder(settings.key_folder, settings.rotation_policy).rotate(SystemClock().now())
