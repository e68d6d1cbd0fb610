import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, delete, func, insert, inspect, select

from auth.app import migrate
from auth.domain.accounts import EmailTaken
from auth.domain.credentials import parse_email
from auth.domain.google_identities import GoogleIdentity
from auth.domain.revocations import PageEnd, Revocation, RevocationKind
from auth.domain.tokens import Opening, RefreshToken, Session
from auth.domain.users import IdentityProvider, NewPasswordAccount, User, UserNotFound
from auth.settings import Settings
from auth.storage.store import AuthStore, StoredUnit
from auth.storage.tables import METADATA, OUTBOX, REFRESH_TOKENS, SESSIONS, USERS
from bourse.auth.v1 import events_pb2
from chassis.database import Database, ensure_schema

NOW = datetime(2026, 3, 2, 9, 15, 30, 250_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
SUBJECT = "110169484474386276334"
ASHA = GoogleIdentity(SUBJECT, "asha@example.com", "Asha Rao", "https://example.com/asha")

Columns = dict[str, tuple[str, bool]]


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


def account(email: str = "Asha@example.com") -> NewPasswordAccount:
    return NewPasswordAccount(email=parse_email(email), name="Asha", password_hash="hash-1", created_at=NOW)


def session(user: User, session_id: str = "session-1") -> Session:
    return Session(
        id=session_id,
        user_id=user.id,
        opened_by=Opening.REGISTER,
        opened_from="192.0.2.1",
        created_at=NOW,
        access_expires_at=NOW + HOUR,
        refresh_expires_at=NOW + 2 * HOUR,
    )


def token(name: str, expires_at: datetime = NOW + 2 * HOUR) -> RefreshToken:
    return RefreshToken(name.encode().ljust(32, b"."), expires_at)


async def open_session(store: AuthStore, session_id: str = "session-1") -> User:
    async with store.transaction() as unit:
        user = await unit.users.add(account(f"{session_id}@example.com"))
        await unit.sessions.add(session(user, session_id), token(session_id))
    return user


async def count(database: Database, table: str) -> int:
    async with database.reading() as connection:
        query = select(func.count()).select_from(METADATA.tables[table])
        return int((await connection.execute(query)).scalar_one())


def columns_of(connection: Connection) -> dict[str, tuple[Columns, set[str]]]:
    inspector = inspect(connection)
    return {
        table: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)},
            {str(index["name"]) for index in inspector.get_indexes(table)},
        )
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


async def test_the_migrations_make_the_tables_the_code_declares(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", database_url)
    settings = Settings()
    await migrate(settings)
    async with Database.open(settings.database_url) as database, database.transaction() as connection:
        migrated = await connection.run_sync(columns_of)
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert migrated == await connection.run_sync(columns_of)


async def test_an_account_is_read_back_whole(store: AuthStore) -> None:
    async with store.transaction() as unit:
        added = await unit.users.add(account())
    async with store.reading() as unit:
        found = await unit.users.find(added.id)
        by_email = await unit.users.find_password_account("asha@example.com")
    assert found == added == User(added.id, IdentityProvider.PASSWORD, "Asha@example.com", "Asha", None, NOW)
    assert found is not None
    assert found.created_at.utcoffset() == timedelta(0)
    assert by_email is not None
    assert (by_email.user, by_email.password_hash) == (added, "hash-1")


async def test_what_is_not_there_is_none(store: AuthStore) -> None:
    async with store.reading() as unit:
        assert await unit.users.find("1") is None
        assert await unit.users.find_password_account("asha@example.com") is None
        assert await unit.sessions.find_spent(b"x" * 32) is None
        assert not await unit.sessions.is_owned("session-1", "1")
        assert await unit.revocations.standing(NOW) == ()


async def test_ids_are_integers_and_never_used_twice(store: AuthStore, database: Database) -> None:
    async with store.transaction() as unit:
        first = await unit.users.add(account("one@example.com"))
    async with database.transaction() as connection:
        await connection.execute(delete(USERS))
    async with store.transaction() as unit:
        second = await unit.users.add(account("two@example.com"))
    assert int(second.id) > int(first.id)


async def test_a_taken_address_is_refused_and_its_transaction_undone(store: AuthStore, database: Database) -> None:
    async with store.transaction() as unit:
        await unit.users.add(account())
    with pytest.raises(EmailTaken):
        async with store.transaction() as unit:
            await unit.users.add(account("ASHA@example.com"))
    assert await count(database, "users") == 1


async def test_of_registrations_at_once_one_wins(store: AuthStore, database: Database) -> None:
    async def add() -> User:
        async with store.transaction() as unit:
            added = await unit.users.add(account())
            await asyncio.sleep(0.01)
            return added

    results = await asyncio.gather(*(add() for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, EmailTaken) for result in results) == 7
    assert await count(database, "users") == 1


async def test_a_hash_is_replaced_only_while_it_is_the_old_one(store: AuthStore) -> None:
    async with store.transaction() as unit:
        user = await unit.users.add(account())
        await unit.users.replace_password_hash(user.id, old="hash-1", new="hash-2")
        await unit.users.replace_password_hash(user.id, old="hash-1", new="hash-3")
        found = await unit.users.find_password_account("asha@example.com")
    assert found is not None
    assert found.password_hash == "hash-2"


async def test_an_administrator_is_remembered(store: AuthStore) -> None:
    async with store.transaction() as unit:
        user = await unit.users.add(account())
        await unit.users.grant_admin(user.id)
    async with store.reading() as unit:
        found = await unit.users.find(user.id)
    assert found is not None
    assert found.is_admin


async def test_a_refresh_token_is_spent_once_by_whoever_comes_first(store: AuthStore) -> None:
    await open_session(store)

    async def spend() -> str | None:
        async with store.transaction() as unit:
            spent = await unit.sessions.spend(token("session-1").digest, NOW)
            await asyncio.sleep(0.01)
            return spent

    results = await asyncio.gather(*(spend() for _ in range(8)))
    assert sorted(result for result in results if result is not None) == ["session-1"]
    async with store.reading() as unit:
        assert await unit.sessions.find_spent(token("session-1").digest) == "session-1"


async def test_an_unspent_token_is_not_found_among_the_spent(store: AuthStore) -> None:
    await open_session(store)
    async with store.reading() as unit:
        assert await unit.sessions.find_spent(token("session-1").digest) is None


async def test_an_expired_refresh_token_cannot_be_spent(store: AuthStore) -> None:
    await open_session(store)
    async with store.transaction() as unit:
        assert await unit.sessions.spend(token("session-1").digest, NOW + 2 * HOUR) is None
        assert await unit.sessions.spend(token("session-1").digest, NOW + 2 * HOUR - timedelta(microseconds=1))


async def test_a_renewed_session_has_its_new_times(store: AuthStore) -> None:
    user = await open_session(store)
    async with store.transaction() as unit:
        renewed = await unit.sessions.renew(
            "session-1", token("next", NOW + 4 * HOUR), access_expires_at=NOW + 3 * HOUR
        )
    assert renewed is not None
    assert (renewed.user_id, renewed.created_at) == (user.id, NOW)
    assert (renewed.access_expires_at, renewed.refresh_expires_at) == (NOW + 3 * HOUR, NOW + 4 * HOUR)
    async with store.transaction() as unit:
        assert await unit.sessions.spend(token("next").digest, NOW) == "session-1"


async def test_a_session_renewed_for_a_shorter_time_keeps_the_end_of_its_older_access_token(store: AuthStore) -> None:
    user = await open_session(store)
    await open_session(store, "session-2")
    async with store.transaction() as unit:
        renewed = await unit.sessions.renew(
            "session-1", token("next", NOW + HOUR / 2), access_expires_at=NOW + HOUR / 2
        )
        assert renewed is not None
        assert (renewed.access_expires_at, renewed.refresh_expires_at) == (NOW + HOUR, NOW + HOUR / 2)
        await unit.sessions.renew("session-2", token("last"), access_expires_at=NOW + HOUR / 2)
    async with store.transaction() as unit:
        revoked = await unit.sessions.revoke("session-2", NOW)
        assert revoked is not None
        assert revoked.access_expires_at == NOW + HOUR
        assert await unit.sessions.delete_of(user.id) == NOW + HOUR


async def test_a_revoked_session_is_neither_renewed_nor_revoked_again(store: AuthStore) -> None:
    await open_session(store)
    async with store.transaction() as unit:
        revoked = await unit.sessions.revoke("session-1", NOW)
        assert revoked is not None
        assert revoked.access_expires_at == NOW + HOUR
        assert await unit.sessions.revoke("session-1", NOW) is None
        assert await unit.sessions.renew("session-1", token("next"), access_expires_at=NOW) is None
        assert await unit.sessions.spend(token("next").digest, NOW) is None


async def test_a_revocation_at_the_time_of_a_renewal_sees_its_token_or_stops_it(store: AuthStore) -> None:
    for number in range(10):
        session_id = f"session-{number}"
        await open_session(store, session_id)

        async def renew(session_id: str = session_id) -> Session | None:
            async with store.transaction() as unit:
                await unit.sessions.spend(token(session_id).digest, NOW)
                await asyncio.sleep(0.002)
                return await unit.sessions.renew(
                    session_id, token(f"{session_id}-next"), access_expires_at=NOW + 5 * HOUR
                )

        async def revoke(session_id: str = session_id, wait: float = number / 2_500) -> Session | None:
            await asyncio.sleep(wait)
            async with store.transaction() as unit:
                return await unit.sessions.revoke(session_id, NOW)

        renewed, revoked = await asyncio.gather(renew(), revoke())
        assert revoked is not None
        assert renewed is None or revoked.access_expires_at == renewed.access_expires_at


async def test_a_home_is_a_live_session_of_the_account_from_the_network(store: AuthStore) -> None:
    user = await open_session(store)
    other = await open_session(store, "session-2")
    async with store.transaction() as unit:
        sessions = unit.sessions
        assert await sessions.has_live_from(user.id, "192.0.2.1", NOW)
        assert not await sessions.has_live_from(user.id, "192.0.2.2", NOW)
        assert not await sessions.has_live_from(user.id, "192.0.2.1", NOW + 2 * HOUR)
        assert await sessions.is_owned("session-1", user.id)
        assert not await sessions.is_owned("session-1", other.id)
        await sessions.revoke("session-1", NOW)
        assert not await sessions.has_live_from(user.id, "192.0.2.1", NOW)


async def test_a_revocation_and_its_event_are_written_together_or_not_at_all(
    store: AuthStore, database: Database, announced: list[str]
) -> None:
    refused = [
        Revocation(RevocationKind.SESSION, "session-1", NOW + HOUR),
        Revocation(RevocationKind.TOKEN, "token-1", NOW + HOUR),
        Revocation(RevocationKind.USER, "42", NOW + HOUR),
    ]

    async def add_and_fail() -> None:
        async with store.transaction() as unit:
            await unit.revocations.add(refused, NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await add_and_fail()
    assert (await count(database, "revocations"), await count(database, "outbox"), announced) == (0, 0, [])
    async with store.transaction() as unit:
        await unit.revocations.add(refused, NOW)
        assert not announced
    assert announced == ["committed"]
    async with store.reading() as unit:
        assert set(await unit.revocations.standing(NOW)) == set(refused)
    async with database.reading() as connection:
        row = (await connection.execute(select(OUTBOX))).one()
    event = events_pb2.TokensRevoked.FromString(row.payload)
    assert row.subject == "events.auth.revoked"
    assert [each.WhichOneof("subject") for each in event.revocations] == ["session_id", "token_id", "user_id"]
    assert {each.expires_at.ToDatetime(UTC) for each in event.revocations} == {NOW + HOUR}


async def test_standing_revocations_are_read_in_pages_of_which_none_repeats_or_leaves_out(store: AuthStore) -> None:
    subjects = ["a", "B", "-b", "_b", "aB", "Ab", "1", "10", "9", "é", "%", "a b"]
    kinds = (RevocationKind.TOKEN, RevocationKind.SESSION, RevocationKind.USER)
    refused = [Revocation(kind, subject, NOW + HOUR) for kind in kinds for subject in subjects]
    over = [Revocation(kind, "over", NOW) for kind in kinds]
    async with store.transaction() as unit:
        await unit.revocations.add([*refused, *over], NOW)
    read: list[Revocation] = []
    after = None
    async with store.reading() as unit:
        while page := await unit.revocations.standing(NOW, after=after, at_most=5):
            read += page
            after = PageEnd.read(PageEnd.of(page[-1]).written)
    assert len(read) == len(refused)
    assert set(read) == set(refused)


async def test_a_transaction_without_revocations_announces_nothing(store: AuthStore, announced: list[str]) -> None:
    await open_session(store)
    assert not announced


async def test_the_same_revocation_twice_is_kept_once(store: AuthStore, database: Database) -> None:
    for _ in range(2):
        async with store.transaction() as unit:
            await unit.revocations.add([Revocation(RevocationKind.TOKEN, "token-1", NOW + HOUR)], NOW)
    assert await count(database, "revocations") == 1


async def test_only_what_has_expired_is_deleted_a_piece_at_a_time(store: AuthStore, database: Database) -> None:
    for number in range(3):
        await open_session(store, f"session-{number}")
    async with store.transaction() as unit:
        await unit.sessions.renew("session-2", token("kept", NOW + 9 * HOUR), access_expires_at=NOW + 3 * HOUR)
        await unit.revocations.add([Revocation(RevocationKind.TOKEN, str(n), NOW + n * HOUR) for n in range(1, 5)], NOW)
    later = NOW + 2 * HOUR
    async with store.transaction() as unit:
        assert await unit.sessions.delete_expired(later, at_most=2) == 2
        assert await unit.sessions.delete_expired(later, at_most=2) == 1
        assert await unit.sessions.delete_expired(later, at_most=2) == 0
        assert await unit.revocations.delete_expired(later, at_most=1) == 1
        assert await unit.revocations.delete_expired(later, at_most=5) == 1
        assert await unit.revocations.delete_expired(later, at_most=5) == 0
        assert {each.subject for each in await unit.revocations.standing(later)} == {"3", "4"}
    assert (await count(database, "sessions"), await count(database, "refresh_tokens")) == (1, 1)


async def test_a_deleted_user_takes_sessions_and_refresh_tokens_along(store: AuthStore, database: Database) -> None:
    user = await open_session(store)
    async with database.transaction() as connection:
        await connection.execute(delete(USERS).where(USERS.c.id == user.id))
    assert (await count(database, SESSIONS.name), await count(database, REFRESH_TOKENS.name)) == (0, 0)


async def test_what_opened_a_session_is_remembered_and_those_from_before_were_opened_by_password(
    store: AuthStore, database: Database
) -> None:
    user = await open_session(store)
    async with store.reading() as unit:
        assert await unit.sessions.list_open(user.id, NOW, at_most=9) == (session(user),)
    row = {
        "id": "session-0",
        "user_id": user.id,
        "opened_from": "192.0.2.1",
        "created_at": NOW - HOUR,
        "access_expires_at": NOW + HOUR,
        "refresh_expires_at": NOW + HOUR,
    }
    async with database.transaction() as connection:
        await connection.execute(insert(SESSIONS).values(row))
    async with store.reading() as unit:
        listed = await unit.sessions.list_open(user.id, NOW, at_most=9)
    assert [(each.id, each.opened_by) for each in listed] == [
        ("session-1", Opening.REGISTER),
        ("session-0", Opening.PASSWORD),
    ]


async def test_open_sessions_are_the_users_own_newest_first_and_bounded(store: AuthStore) -> None:
    user = await open_session(store, "stranger")
    async with store.transaction() as unit:
        user = await unit.users.add(account())
        for number in range(4):
            made = replace(session(user, f"session-{number}"), created_at=NOW + number * HOUR / 60)
            await unit.sessions.add(made, token(f"session-{number}"))
        await unit.sessions.revoke("session-2", NOW)
    async with store.reading() as unit:
        sessions = unit.sessions
        listed = await sessions.list_open(user.id, NOW, at_most=2)
        assert [each.id for each in listed] == ["session-3", "session-1"]
        assert await sessions.is_open("session-1", user.id, NOW)
        assert not await sessions.is_open("session-2", user.id, NOW)
        assert not await sessions.is_open("stranger", user.id, NOW)
        assert await sessions.is_open("session-1", user.id, NOW + 2 * HOUR - timedelta(seconds=1))
        assert not await sessions.is_open("session-1", user.id, NOW + 2 * HOUR)
        assert await sessions.list_open(user.id, NOW + 2 * HOUR, at_most=9) == ()


async def test_a_session_whose_access_token_outlives_its_refresh_token_is_open(store: AuthStore) -> None:
    async with store.transaction() as unit:
        user = await unit.users.add(account())
        await unit.sessions.add(replace(session(user), access_expires_at=NOW + 5 * HOUR), token("session-1"))
        assert await unit.sessions.is_open("session-1", user.id, NOW + 3 * HOUR)


async def test_a_sessions_account_is_found(store: AuthStore) -> None:
    user = await open_session(store)
    async with store.reading() as unit:
        assert await unit.users.find_of_session("session-1") == user
        assert await unit.users.find_of_session("session-2") is None


async def test_a_google_account_is_made_then_refreshed(store: AuthStore) -> None:
    async with store.transaction() as unit:
        made = await unit.users.keep_google_account(ASHA, NOW)
    expected = User(SUBJECT, IdentityProvider.GOOGLE, ASHA.email, ASHA.name, ASHA.picture, NOW, is_email_verified=True)
    assert made == expected
    changed = GoogleIdentity(SUBJECT, "asha.rao@example.com", "Asha R", None)
    async with store.transaction() as unit:
        refreshed = await unit.users.keep_google_account(changed, NOW + HOUR)
    assert refreshed == replace(expected, email=changed.email, name=changed.name)
    async with store.reading() as unit:
        assert await unit.users.find(SUBJECT) == refreshed
        assert await unit.users.find_password_account(ASHA.email) is None


async def test_an_administrators_google_account_stays_one(store: AuthStore) -> None:
    async with store.transaction() as unit:
        await unit.users.keep_google_account(ASHA, NOW)
        await unit.users.grant_admin(SUBJECT)
        again = await unit.users.keep_google_account(ASHA, NOW)
    assert again is not None
    assert again.is_admin


async def test_a_password_account_is_not_taken_over_by_its_id(store: AuthStore) -> None:
    async with store.transaction() as unit:
        user = await unit.users.add(account())
    async with store.transaction() as unit:
        taken = await unit.users.keep_google_account(replace(ASHA, subject=user.id), NOW)
    assert taken is None
    async with store.reading() as unit:
        assert await unit.users.find(user.id) == user


async def test_of_first_sign_ins_at_once_all_get_the_one_account(store: AuthStore, database: Database) -> None:
    async def keep() -> User | None:
        async with store.transaction() as unit:
            kept = await unit.users.keep_google_account(ASHA, NOW)
            await asyncio.sleep(0.01)
            return kept

    kept = await asyncio.gather(*(keep() for _ in range(8)))
    assert {None if each is None else each.id for each in kept} == {SUBJECT}
    assert await count(database, "users") == 1


async def test_one_address_may_be_a_password_accounts_and_two_google_accounts(
    store: AuthStore, database: Database
) -> None:
    async with store.transaction() as unit:
        await unit.users.add(account(ASHA.email))
        await unit.users.keep_google_account(ASHA, NOW)
        await unit.users.keep_google_account(replace(ASHA, subject="1" * 255), NOW)
    assert await count(database, "users") == 3


async def test_an_account_is_deleted_with_its_events_or_not_at_all(
    store: AuthStore, database: Database, announced: list[str]
) -> None:
    user, other = await open_session(store), await open_session(store, "session-2")

    async def remove(unit: StoredUnit) -> None:
        assert await unit.users.lock(user.id)
        assert await unit.sessions.delete_of(user.id) == NOW + HOUR
        await unit.users.delete(user.id, NOW)

    async def remove_and_fail() -> None:
        async with store.transaction() as unit:
            await remove(unit)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await remove_and_fail()
    assert (await count(database, "users"), await count(database, "outbox"), announced) == (2, 0, [])
    async with store.transaction() as unit:
        await remove(unit)
    assert announced == ["committed"]
    async with store.transaction() as unit:
        assert not await unit.users.lock(user.id)
        assert await unit.users.lock(other.id)
        assert await unit.sessions.delete_of(user.id) is None
    assert [await count(database, name) for name in ("users", "sessions", "refresh_tokens")] == [1, 1, 1]
    async with database.reading() as connection:
        row = (await connection.execute(select(OUTBOX))).one()
    event = events_pb2.UserDeleted.FromString(row.payload)
    assert row.subject == "events.auth.user_deleted"
    assert row.message_id.startswith(f"user_deleted:{user.id}:")
    assert (event.user_id, event.deleted_at.ToDatetime(UTC)) == (user.id, NOW)


async def test_an_account_of_the_longest_id_can_be_deleted_again_and_again(
    store: AuthStore, database: Database
) -> None:
    longest = replace(ASHA, subject="g" * 255)
    for _ in range(2):
        async with store.transaction() as unit:
            await unit.users.keep_google_account(longest, NOW)
            await unit.users.delete(longest.subject, NOW)
    assert await count(database, "outbox") == 2


async def test_a_session_that_is_opened_while_its_account_is_deleted_is_refused(
    store: AuthStore, database: Database
) -> None:
    user = await open_session(store)
    is_locked = asyncio.Event()

    async def remove() -> datetime | None:
        async with store.transaction() as unit:
            assert await unit.users.lock(user.id)
            is_locked.set()
            await asyncio.sleep(0.05)
            last_expires_at = await unit.sessions.delete_of(user.id)
            await unit.users.delete(user.id, NOW)
            return last_expires_at

    async def add() -> None:
        await is_locked.wait()
        async with store.transaction() as unit:
            await unit.sessions.add(session(user, "session-2"), token("session-2"))

    removed, added = await asyncio.gather(remove(), add(), return_exceptions=True)
    assert removed == NOW + HOUR
    assert isinstance(added, UserNotFound)
    assert await count(database, "sessions") == 0


async def test_a_users_refusal_is_found_until_it_ends(store: AuthStore) -> None:
    async with store.transaction() as unit:
        await unit.revocations.add(
            [Revocation(RevocationKind.USER, "42", NOW + HOUR), Revocation(RevocationKind.TOKEN, "43", NOW + HOUR)], NOW
        )
    async with store.reading() as unit:
        assert await unit.revocations.user_refused_until("42", NOW) == NOW + HOUR
        assert await unit.revocations.user_refused_until("42", NOW + HOUR) is None
        assert await unit.revocations.user_refused_until("43", NOW) is None


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
async def test_of_two_revocations_the_later_end_stands(store: AuthStore, first: int, second: int) -> None:
    for hours in (first, second):
        async with store.transaction() as unit:
            await unit.revocations.add([Revocation(RevocationKind.USER, "42", NOW + hours * HOUR)], NOW)
    async with store.reading() as unit:
        assert await unit.revocations.user_refused_until("42", NOW) == NOW + 2 * HOUR
