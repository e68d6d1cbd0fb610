"""What mail is made of in the database: contacts, requests and tokens, on both kinds of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.domain.contacts import Contacts
from auth.domain.credentials import parse_email
from auth.domain.google_identities import GoogleIdentity
from auth.domain.mail_lists import EmailUnverified, MailList
from auth.domain.mail_orders import MailOrders
from auth.domain.mail_tokens import MailToken, MailTokenInvalid
from auth.domain.ports import Limit
from auth.domain.postman import Postman
from auth.domain.recovery import Recovery
from auth.domain.sessions import Sessions
from auth.domain.throttle import Throttle
from auth.domain.tokens import Opening, RefreshToken, Session, TokenPolicy, digest_of
from auth.domain.users import NewPasswordAccount, User, UserNotFound
from auth.domain.wanted_mails import MailKind, WantedMail
from auth.storage.store import AuthStore
from auth.storage.tables import MAIL_REFUSALS, MAIL_TOKENS, METADATA, OUTBOX, SESSIONS, USERS, WANTED_MAILS
from auth.testing import CountedAttempts, PlainPasswords, RecordingSigner
from bourse.auth.v1 import events_pb2
from chassis.clock import ManualClock
from chassis.database import Database, ensure_schema, migrations_folder
from mail.messages import Letter

NOW = datetime(2026, 3, 2, 9, 15, 30, 250_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
RESET = MailKind.RESET_PASSWORD
SECRETS = [SecretStr(str(number) * 43) for number in range(10)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "auth")
        yield opened


@pytest.fixture
def announced() -> list[str]:
    return []


@pytest.fixture
def store(database: Database, announced: list[str]) -> AuthStore:
    return AuthStore(database, announce=lambda: announced.append("committed"))


@pytest.fixture
def recovery(store: AuthStore) -> Recovery:
    clock = ManualClock(NOW)
    week = timedelta(days=7)
    policy = TokenPolicy("bourse", "bourse", week, week, week)
    numbers = iter(range(1, 1_000))

    def random_bytes(length: int) -> bytes:
        return next(numbers).to_bytes(length, "big")

    return Recovery(
        store,
        Sessions(store, RecordingSigner(), clock=clock, policy=policy, random_bytes=random_bytes),
        orders=MailOrders(clock=clock, random_bytes=random_bytes),
        passwords=PlainPasswords(),
        throttle=Throttle(CountedAttempts(dict.fromkeys(Limit, 1_000), wait_seconds=1)),
        clock=clock,
    )


async def add_account(store: AuthStore, email: str = "asha@example.com") -> User:
    account = NewPasswordAccount(email=parse_email(email), name="Asha", password_hash="hash-1", created_at=NOW)
    async with store.transaction() as unit:
        return await unit.users.add(account)


def token(user: User, number: int = 0, kind: MailKind = RESET, email: str = "asha@example.com") -> MailToken:
    return MailToken(digest_of(SECRETS[number]), user.id, kind, email, NOW, NOW + HOUR)


async def add_tokens(store: AuthStore, *tokens: MailToken) -> None:
    async with store.transaction() as unit:
        for each in tokens:
            await unit.mail_tokens.add(each)


async def count(database: Database, table: str) -> int:
    async with database.reading() as connection:
        query = select(func.count()).select_from(METADATA.tables[table])
        return int((await connection.execute(query)).scalar_one())


async def hash_of(store: AuthStore, email: str = "asha@example.com") -> str:
    async with store.reading() as unit:
        account = await unit.users.find_password_account(email)
    assert account is not None
    return account.password_hash


async def test_lists_are_wanted_until_they_are_not(store: AuthStore) -> None:
    user = await add_account(store)
    async with store.transaction() as unit:
        before = await unit.contacts.find(user.id)
        unchanged = await unit.contacts.set_lists(user.id, {})
        changed = await unit.contacts.set_lists(user.id, {MailList.ALERTS: False, MailList.PORTFOLIO_SUMMARY: True})
        assert await unit.contacts.set_lists("4711", {MailList.ALERTS: False}) is None
        assert await unit.contacts.find("4711") is None
    assert before is not None
    assert changed is not None
    assert before == unchanged
    assert (before.user, before.wanted, len(before.unsubscribe_token)) == (user, frozenset(MailList), 43)
    assert changed.wanted == {MailList.PORTFOLIO_SUMMARY}


async def test_a_token_of_unsubscribing_is_its_accounts_alone(store: AuthStore) -> None:
    asha, ravi = await add_account(store), await add_account(store, "ravi@example.com")
    async with store.transaction() as unit:
        contact, other = await unit.contacts.find(asha.id), await unit.contacts.find(ravi.id)
        assert contact is not None
        assert other is not None
        assert contact.unsubscribe_token != other.unsubscribe_token
        for _ in range(2):
            assert await unit.contacts.end_list(contact.unsubscribe_token, MailList.PORTFOLIO_SUMMARY) == asha
        assert await unit.contacts.end_list("x" * 43, MailList.ALERTS) is None
        assert (await unit.contacts.find(ravi.id)) == other
        ended = await unit.contacts.find(asha.id)
    assert ended is not None
    assert ended.wanted == {MailList.ALERTS}


async def test_what_an_address_refuses_is_kept_without_an_account_until_it_is_taken_back(store: AuthStore) -> None:
    asha, ravi = parse_email("asha@example.com").digest, parse_email("ravi@example.com").digest
    async with store.transaction() as unit:
        for _ in range(2):
            await unit.mail_refusals.add(asha, MailList.ALERTS)
        await unit.mail_refusals.add(asha, MailList.PORTFOLIO_SUMMARY)
        await unit.mail_refusals.add(ravi, MailList.ALERTS)
        assert await unit.mail_refusals.list_of(asha) == set(MailList)
        await unit.mail_refusals.delete(asha, [])
        await unit.mail_refusals.delete(asha, [MailList.ALERTS])
        assert await unit.mail_refusals.list_of(asha) == {MailList.PORTFOLIO_SUMMARY}
        assert await unit.mail_refusals.list_of(ravi) == {MailList.ALERTS}
        assert await unit.mail_refusals.list_of(b"x" * 32) == set()


async def test_of_refusals_at_once_one_is_kept(store: AuthStore, database: Database) -> None:
    async def refuse() -> None:
        async with store.transaction() as unit:
            await unit.mail_refusals.add(b"x" * 32, MailList.ALERTS)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(refuse() for _ in range(6)))
    assert await count(database, MAIL_REFUSALS.name) == 1


async def test_an_attempt_to_want_what_is_refused_changes_nothing(store: AuthStore) -> None:
    user = await add_account(store)
    contacts = Contacts(store)
    await contacts.unsubscribe((await contacts.get(user.id)).unsubscribe_token, MailList.ALERTS)
    with pytest.raises(EmailUnverified):
        await contacts.set_lists(user.id, {MailList.ALERTS: True, MailList.PORTFOLIO_SUMMARY: False})
    assert (await contacts.get(user.id)).wanted == {MailList.PORTFOLIO_SUMMARY}


async def test_a_changed_password_is_dated(store: AuthStore) -> None:
    user = await add_account(store)
    async with store.transaction() as unit:
        assert await unit.users.password_changed_at(user.id) is None
        assert await unit.users.password_changed_at("4711") is None
        await unit.users.replace_password_hash(user.id, old="hash-1", new="hash-2")
        assert await unit.users.password_changed_at(user.id) is None
        await unit.users.set_password_hash(user.id, "hash-3", NOW)
        assert await unit.users.password_changed_at(user.id) == NOW


class Letters:
    def __init__(self) -> None:
        self.sent: list[Letter] = []

    async def send(self, letter: Letter) -> None:
        self.sent.append(letter)


async def test_no_token_is_good_that_is_made_while_a_password_is_reset(store: AuthStore, recovery: Recovery) -> None:
    letters = Letters()
    numbers = iter(range(1, 1_000))
    postman = Postman(
        store,
        letters,
        public_url="https://bourse.example.com",
        clock=ManualClock(NOW),
        random_bytes=lambda length: next(numbers).to_bytes(length, "big"),
    )
    for number in range(6):
        user = await add_account(store, f"{number}@example.com")
        await add_tokens(store, token(user, number, email=user.email))
        pending = WantedMail(f"w{number}", user.id, RESET, NOW - timedelta(seconds=1))

        async def deliver(mail: WantedMail = pending, pause: float = number / 1_000) -> None:
            await asyncio.sleep(pause)
            await postman.deliver(mail)

        reset = recovery.reset_password(token=SECRETS[number], password=SecretStr("new password"))
        await asyncio.gather(deliver(), reset)
        before = len(letters.sent)
        await postman.deliver(pending)
        assert len(letters.sent) == before
    secrets = [letter.text.partition("#reset=")[2].splitlines()[0] for letter in letters.sent]
    for secret in secrets:
        with pytest.raises(MailTokenInvalid):
            await recovery.reset_password(token=SecretStr(secret), password=SecretStr("another password"))


async def test_a_google_account_keeps_its_token_lists_and_verification(store: AuthStore) -> None:
    identity = GoogleIdentity("1" * 21, "asha@example.com", None, None)
    async with store.transaction() as unit:
        await unit.users.keep_google_account(identity, NOW)
        before = await unit.contacts.set_lists(identity.subject, {MailList.ALERTS: False})
        await unit.users.keep_google_account(GoogleIdentity("1" * 21, "new@example.com", None, None), NOW + HOUR)
        after = await unit.contacts.find(identity.subject)
        verified_at = (await unit.users._connection.execute(select(USERS.c.email_verified_at))).scalar_one()
    assert before is not None
    assert after is not None
    assert (after.user.email, after.user.is_email_verified) == ("new@example.com", True)
    assert (after.wanted, after.unsubscribe_token) == (before.wanted, before.unsubscribe_token)
    assert verified_at == NOW


async def test_an_address_is_verified_once_and_only_while_it_is_the_accounts(store: AuthStore) -> None:
    user = await add_account(store)
    async with store.transaction() as unit:
        assert await unit.users.verify_email(user.id, "other@example.com", NOW) is None
        assert await unit.users.verify_email("4711", user.email, NOW) is None
        verified = await unit.users.verify_email(user.id, user.email, NOW)
        await unit.users.verify_email(user.id, user.email, NOW + HOUR)
        verified_at = (await unit.users._connection.execute(select(USERS.c.email_verified_at))).scalar_one()
    assert verified is not None
    assert verified.is_email_verified
    assert verified_at == NOW


async def test_what_is_asked_for_is_stored_with_its_event_or_not_at_all(
    store: AuthStore, database: Database, announced: list[str]
) -> None:
    mail = WantedMail("wanted-1", "7", MailKind.VERIFY_EMAIL, NOW)

    async def add_and_fail() -> None:
        async with store.transaction() as unit:
            await unit.wanted_mails.add(mail, b"x" * 32)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await add_and_fail()
    assert (await count(database, WANTED_MAILS.name), await count(database, OUTBOX.name), announced) == (0, 0, [])
    async with store.transaction() as unit:
        await unit.wanted_mails.add(mail, b"x" * 32)
    assert announced == ["committed"]
    async with database.reading() as connection:
        row = (await connection.execute(select(OUTBOX))).one()
    wanted = events_pb2.MailWanted.FromString(row.payload)
    assert (row.subject, row.message_id) == ("events.auth.mail_wanted", "mail_wanted:wanted-1")
    assert (wanted.id, wanted.user_id) == ("wanted-1", "7")
    assert wanted.mail == events_pb2.ACCOUNT_MAIL_VERIFY_EMAIL
    assert wanted.requested_at.ToDatetime(UTC) == NOW


async def test_requests_are_counted_by_address_kind_and_hour(store: AuthStore) -> None:
    asha, ravi = b"a" * 32, b"r" * 32
    async with store.transaction() as unit:
        for minutes in (30, 0, 60):
            moment = NOW + timedelta(minutes=minutes)
            await unit.wanted_mails.add(WantedMail(f"r{minutes}", str(minutes), RESET, moment), asha)
        await unit.wanted_mails.add(WantedMail("other-kind", "7", MailKind.VERIFY_EMAIL, NOW), asha)
        await unit.wanted_mails.add(WantedMail("other-address", "7", RESET, NOW), ravi)
        asked = await unit.wanted_mails.list_since(NOW, asha, RESET)
        assert asked == (NOW + HOUR / 2, NOW + HOUR)
        assert await unit.wanted_mails.delete_before(NOW, at_most=2) == 2
        assert await unit.wanted_mails.delete_before(NOW, at_most=2) == 1
        assert await unit.wanted_mails.delete_before(NOW, at_most=2) == 0
        assert await unit.wanted_mails.list_since(NOW - HOUR, asha, RESET) == asked


async def test_requests_at_once_have_one_share(store: AuthStore, recovery: Recovery, database: Database) -> None:
    await add_account(store)
    await asyncio.gather(
        *(recovery.request_password_reset(email="asha@example.com", client_address="192.0.2.1") for _ in range(12))
    )
    assert await count(database, WANTED_MAILS.name) == 5


async def test_the_same_statements_run_whether_or_not_there_is_an_account(
    store: AuthStore, recovery: Recovery, database: Database
) -> None:
    await add_account(store)
    async with store.transaction() as unit:
        await unit.users.keep_google_account(GoogleIdentity("1" * 21, "google@example.com", None, None), NOW)
    ran: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        ran.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    by_address: dict[str, list[list[str]]] = {}
    for email in ("asha@example.com", "nobody@example.com", "google@example.com"):
        for _ in range(7):
            ran.clear()
            await recovery.request_password_reset(email=email, client_address="192.0.2.1")
            by_address.setdefault(email, []).append(list(ran))
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    known, unknown, google = by_address.values()
    assert known == unknown == google
    assert len(known[0]) > len(known[6]) >= 3


async def test_a_token_is_consumed_once_by_whoever_comes_first(store: AuthStore) -> None:
    user = await add_account(store)
    await add_tokens(store, token(user))

    async def consume() -> MailToken | None:
        async with store.transaction() as unit:
            consumed = await unit.mail_tokens.consume(token(user).digest, RESET, NOW)
            await asyncio.sleep(0.01)
            return consumed

    results = await asyncio.gather(*(consume() for _ in range(8)))
    assert [each for each in results if each is not None] == [token(user)]


async def test_only_a_token_that_can_be_used_has_an_owner(store: AuthStore) -> None:
    user = await add_account(store)
    await add_tokens(store, token(user), token(user, 1), token(user, 2, MailKind.VERIFY_EMAIL))
    digests = [token(user, number).digest for number in range(4)]
    last_moment = NOW + HOUR - timedelta(microseconds=1)
    async with store.transaction() as unit:
        tokens = unit.mail_tokens
        assert await tokens.find_owner(digests[0], RESET, last_moment) == user.id
        assert await tokens.find_owner(digests[0], MailKind.VERIFY_EMAIL, NOW) is None
        assert await tokens.find_owner(digests[0], RESET, NOW + HOUR) is None
        assert await tokens.find_owner(digests[3], RESET, NOW) is None
        assert await tokens.consume(digests[0], MailKind.VERIFY_EMAIL, NOW) is None
        assert await tokens.consume(digests[0], RESET, NOW + HOUR) is None
        await tokens.consume_all(user.id, RESET, NOW)
        assert await tokens.find_owner(digests[0], RESET, NOW) is None
        assert await tokens.find_owner(digests[1], RESET, NOW) is None
        assert await tokens.find_owner(digests[2], MailKind.VERIFY_EMAIL, NOW) == user.id


async def test_expired_tokens_are_deleted_a_piece_at_a_time_and_all_with_their_account(
    store: AuthStore, database: Database
) -> None:
    user = await add_account(store)
    await add_tokens(store, *(token(user, number) for number in range(3)))
    async with store.transaction() as unit:
        assert await unit.mail_tokens.delete_expired(NOW, at_most=2) == 0
        assert await unit.mail_tokens.delete_expired(NOW + HOUR, at_most=2) == 2
        await unit.wanted_mails.add(WantedMail("w", user.id, RESET, NOW), b"a" * 32)
        await unit.users.delete(user.id, NOW)
    # What was asked for is counted past the account's end.
    assert (await count(database, MAIL_TOKENS.name), await count(database, WANTED_MAILS.name)) == (0, 1)
    with pytest.raises(UserNotFound):
        await add_tokens(store, token(user))


async def add_sessions(store: AuthStore, user: User, *ids: str) -> None:
    async with store.transaction() as unit:
        for session_id in ids:
            session = Session(session_id, user.id, Opening.PASSWORD, "192.0.2.1", NOW, NOW + HOUR, NOW + HOUR)
            await unit.sessions.add(session, RefreshToken(session_id.encode().ljust(32, b"."), NOW + HOUR))


@pytest.mark.parametrize("tokens", [1, 6])
async def test_of_resets_at_once_one_wins_with_one_token_or_several(
    store: AuthStore, recovery: Recovery, database: Database, tokens: int
) -> None:
    user = await add_account(store)
    await add_tokens(store, *(token(user, number) for number in range(tokens)))
    await add_sessions(store, user, "one", "two")
    await add_sessions(store, await add_account(store, "ravi@example.com"), "ravis")

    async def reset(number: int) -> None:
        password = SecretStr(f"password-{number}")
        await recovery.reset_password(token=SECRETS[number % tokens], password=password)

    results = await asyncio.gather(*(reset(number) for number in range(6)), return_exceptions=True)
    assert [type(each) for each in results if each is not None] == [MailTokenInvalid] * 5
    assert await hash_of(store) == f"v1:password-{results.index(None)}"
    async with store.reading() as unit:
        refused = await unit.revocations.standing(NOW)
    assert {(each.kind.value, each.subject) for each in refused} == {("session", "one"), ("session", "two")}
    async with database.reading() as connection:
        open_sessions = select(SESSIONS.c.id).where(SESSIONS.c.revoked_at.is_(None))
        assert (await connection.execute(open_sessions)).scalars().all() == ["ravis"]


async def test_a_reset_that_fails_changes_nothing(
    store: AuthStore, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await add_account(store)
    await add_tokens(store, token(user))
    await add_sessions(store, user, "one")

    async def fail(*_: object) -> int:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(Sessions, "end_all", fail)
        with pytest.raises(RuntimeError):
            await recovery.reset_password(token=SECRETS[0], password=SecretStr("new password"))
    assert await hash_of(store) == "hash-1"
    await recovery.reset_password(token=SECRETS[0], password=SecretStr("new password"))
    assert await hash_of(store) == "v1:new password"


async def test_a_session_opened_while_a_reset_is_under_way_is_ended_or_sees_the_new_password(
    store: AuthStore, recovery: Recovery, database: Database
) -> None:
    for number in range(6):
        user = await add_account(store, f"{number}@example.com")
        await add_tokens(store, token(user, number, email=user.email))

        async def log_in(user: User = user, pause: float = number / 1_000) -> bool:
            await asyncio.sleep(pause)
            async with store.transaction() as unit:
                session = Session(f"s-{user.id}", user.id, Opening.PASSWORD, "192.0.2.1", NOW, NOW + HOUR, NOW + HOUR)
                await unit.sessions.add(session, RefreshToken(user.id.encode().ljust(32, b"."), NOW + HOUR))
                return await unit.users.has_password_hash(user.id, "hash-1")

        reset = recovery.reset_password(token=SECRETS[number], password=SecretStr("new password"))
        is_old_password_good, _ = await asyncio.gather(log_in(), reset)
        async with database.reading() as connection:
            revoked_at = select(SESSIONS.c.revoked_at).where(SESSIONS.c.user_id == user.id)
            is_ended = (await connection.execute(revoked_at)).scalar_one() is not None
        assert is_ended == is_old_password_good


def _upgrade_to(connection: Any, revision: str) -> None:
    from alembic import command  # noqa: PLC0415  # as the chassis does
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(migrations_folder("auth")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def add_old_user(connection: AsyncConnection, number: int, provider: str) -> None:
    is_password = provider == "password"
    row = {
        "id": str(number),
        "provider": provider,
        "email": f"{number}@example.com",
        "key": f"{number}@example.com" if is_password else None,
        "hash": "hash-1" if is_password else None,
        "made": NOW if connection.dialect.name == "postgresql" else NOW.isoformat(" "),
    }
    adding = (
        "INSERT INTO users (id, identity_provider, email, email_key, password_hash, is_admin, created_at)"
        " VALUES (:id, :provider, :email, :key, :hash, false, :made)"
    )
    await connection.execute(text(adding), row)


async def test_accounts_from_before_get_tokens_want_all_lists_and_are_verified_if_googles(database_url: str) -> None:
    async with Database.open(database_url) as database:
        async with database.transaction() as connection:
            await connection.run_sync(_upgrade_to, "0002")
            for number, provider in enumerate(["password", "password", "google"]):
                await add_old_user(connection, number, provider)
        await ensure_schema(database, "auth")
        async with AuthStore(database, announce=lambda: None).reading() as unit:
            contacts = [await unit.contacts.find(str(number)) for number in range(3)]
        tokens = {contact.unsubscribe_token for contact in contacts if contact is not None}
        assert len(tokens) == 3
        assert all(len(each) == 43 and each.isalnum() for each in tokens)
        assert [contact and contact.wanted for contact in contacts] == [frozenset(MailList)] * 3
        assert [contact and contact.user.is_email_verified for contact in contacts] == [False, False, True]


async def test_a_replica_of_the_version_before_can_still_add_accounts_on_postgresql(database: Database) -> None:
    if database.engine.dialect.name != "postgresql":
        pytest.skip("an SQLite file has one process")
    async with database.transaction() as connection:
        for number in range(2):
            await add_old_user(connection, number, "password")
        tokens = (await connection.execute(select(USERS.c.unsubscribe_token))).scalars().all()
    assert {len(each) for each in tokens} == {43}
    assert len(set(tokens)) == 2
