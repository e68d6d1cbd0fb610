"""Nobody reaches what is another's, whichever operation is tried; and of who leaves, nothing is left.

The operations are those of the description that the suite serves. A parameter or a body that this file does not know
fails its test, so that a new operation cannot be forgotten.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import Column, MetaData, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from contract.documents import read_error
from contract.vendors import Vendors, icici_body, zerodha_body
from harness.backends import DATABASES
from harness.clients import PASSWORD, Account, register
from harness.processes import RunningSuite
from upstreams.breeze_accounts import BreezeAccount
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.payloads import breeze_demat, breeze_holding, kite_holding, kite_position

METHODS = ("get", "post", "put", "patch", "delete")
# Names of the parameters that say whose, or which of somebody's; the others name what is everybody's.
OWNER = "user_id"
RESOURCES = frozenset({"session_id", "watchlist_id", "portfolio_id"})
EVERYBODYS = frozenset({"exchange", "exchanges", "index_name", "instrument_id", "symbols"})
NAMES_AN_ALERT = frozenset({"alert_type", "symbol"})

NEVER, ALREADY = 0.01, 99_000_000
ALERT_SYMBOL, FIRED_SYMBOL, STOCK = "AAPL", "MSFT", "GOOGL"
NOBODY = "987654321"
SETTLE_SECONDS = 30.0
REFUSED_SECONDS = 1.0
# Answers that change by themselves: prices, and how far ticks were evaluated.
LIVE = (
    "/api/alerts/{user_id}/{alert_type}/{symbol}/explain",
    "/api/portfolio/holdings",
    "/api/portfolio/positions",
    "/api/portfolio/pnl",
    "/api/watchlist/{user_id}/{watchlist_id}",
    "/api/stream",
)
# What a good request of each operation says, by its method and path.
BODIES: Mapping[str, Mapping[str, object]] = {
    "post /api/alerts/{user_id}": {"type": "buy", "symbol": "NVDA", "price": NEVER},
    "put /api/alerts/{user_id}/{alert_type}/{symbol}": {"price": 0.02},
    "post /api/watchlists/{user_id}": {"name": "Stolen"},
    "post /api/watchlist/{user_id}/{watchlist_id}": {"tickers": ["TSLA"]},
    "post /api/portfolios/{user_id}": {"name": "Stolen"},
    "put /api/portfolios/{user_id}/{portfolio_id}": {"name": "Stolen"},
    "post /api/portfolios/{user_id}/{portfolio_id}/stock": {"symbol": "TSLA", "quantity": 1, "total_cost": 1},
    "put /api/email/preferences/{user_id}": {"alerts": False, "portfolio_summary": False},
    "post /api/email/portfolio-summary/{user_id}": {},
    # Somebody else's codes are as good as none: the broker refuses them, and that is not ours to test.
    "post /api/portfolio/sync": {"api_key": "k", "api_secret": "s", "request_token": "t"},
    "post /api/portfolio/icici-sync": {"api_key": "k", "api_secret": "s", "session_token": "t"},
    "post /icici/activate": {"api_key": "k", "api_secret": "s", "session_token": "t", "secret": "wrong"},
    "post /zerodha/activate": {"api_key": "k", "api_secret": "s", "request_token": "t", "secret": "wrong"},
}
# What is no user's, though it may be sent with a token.
SERVER_WIDE = ("/icici/activate", "/zerodha/activate")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the description."""

    method: str
    path: str
    parameters: frozenset[str]
    has_body: bool
    needs_token: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_owned(self) -> bool:
        return bool(self.parameters & ({OWNER} | RESOURCES))

    @property
    def names_a_resource(self) -> bool:
        return bool(self.parameters & RESOURCES) or self.parameters >= NAMES_AN_ALERT

    def filled(self, values: Mapping[str, object]) -> str:
        return self.path.format_map({name: values[name] for name in self.parameters})

    def body(self) -> Mapping[str, object] | None:
        if not self.has_body:
            return None
        assert self.name in BODIES, f"{self.name} takes a body that this test does not know"
        return BODIES[self.name]


async def operations_of(client: httpx.AsyncClient) -> list[Operation]:
    """Read every operation from the description, and require that its parameters are known here."""
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200, answer.text
    found = [
        _operation(method, path, operation)
        for path, item in answer.json()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]
    known = {OWNER} | RESOURCES | EVERYBODYS | NAMES_AN_ALERT
    unknown = {each.name: sorted(each.parameters - known) for each in found if each.parameters - known}
    assert not unknown, f"say whose these are: {unknown}"
    return found


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Operation:
    parameters = frozenset(each["name"] for each in operation.get("parameters", ()) if each["in"] == "path")
    security = operation.get("security") or [{}]
    return Operation(method, path, parameters, "requestBody" in operation, {} not in security)


# --- what is somebody's, as the databases have it -----------------------------------------------------------------


@dataclass(slots=True)
class Store:
    """One service's database, by reflection: whatever tables it has."""

    name: str
    engine: AsyncEngine
    tables: Sequence[Table]

    async def rows_of(self, user_id: str) -> dict[str, set[tuple[str, ...]]]:
        """Return, by table, the rows that name a user, and the rows that hang on those."""
        found: dict[str, set[tuple[str, ...]]] = {}
        keys: dict[Column[Any], set[Any]] = {}
        async with self.engine.connect() as connection:
            for table in self.tables:
                rows = await _owned(connection, table, user_id, keys)
                if rows:
                    found[f"{self.name}.{table.name}"] = {tuple(map(repr, row)) for row in rows}
                    for column in table.primary_key.columns:
                        keys[column] = {row._mapping[column] for row in rows}
        return found

    async def mentions(self, words: Sequence[str]) -> list[str]:
        """Name the tables of which a row holds one of the words anywhere."""
        found: list[str] = []
        async with self.engine.connect() as connection:
            for table in self.tables:
                texts = [" ".join(map(repr, row)) for row in await connection.execute(select(table))]
                found += [f"{self.name}.{table.name}" for text in texts if any(word in text for word in words)]
        return found


async def _owned(
    connection: AsyncConnection, table: Table, user_id: str, keys: Mapping[Column[Any], set[Any]]
) -> Sequence[Any]:
    for column in table.columns:
        is_owner = column.name == OWNER or (table.name, column.name) == ("users", "id")
        if is_owner:
            return (await connection.execute(select(table).where(column == user_id))).all()
    for column in table.columns:
        for foreign in column.foreign_keys:
            if values := keys.get(foreign.column):
                return (await connection.execute(select(table).where(column.in_(values)))).all()
    return ()


@pytest.fixture
async def stores(suite: RunningSuite) -> AsyncIterator[list[Store]]:
    async with _open_stores(suite) as opened:
        yield opened


@asynccontextmanager
async def _open_stores(suite: RunningSuite) -> AsyncIterator[list[Store]]:
    stores: list[Store] = []
    try:
        for name in DATABASES:
            engine = create_async_engine(suite.database_url(name))
            stores.append(Store(name, engine, ()))
            metadata = MetaData()
            async with engine.connect() as connection:
                await connection.run_sync(metadata.reflect)
            stores[-1].tables = metadata.sorted_tables
        yield stores
    finally:
        for store in stores:
            await store.engine.dispose()


async def rows_of(stores: Sequence[Store], user_id: str) -> dict[str, set[tuple[str, ...]]]:
    found: dict[str, set[tuple[str, ...]]] = {}
    for store in stores:
        found |= await store.rows_of(user_id)
    return found


# --- a user who has one of everything -----------------------------------------------------------------------------


@dataclass(slots=True)
class Owner:
    """A user with data in every service, and the ids that paths name it by."""

    account: Account
    ids: dict[str, object]
    words: list[str] = field(default_factory=list)


async def owner_of_everything(client: httpx.AsyncClient, vendors: Vendors) -> Owner:
    account = await register(client)
    secret = f"word-{uuid.uuid4().hex}"

    async def post(path: str, body: Mapping[str, object]) -> Any:
        answer = await client.post(path, json=body, headers=account.bearer)
        assert answer.status_code in (200, 201), answer.text
        client.cookies.clear()
        return answer.json()

    watchlist = (await post("/api/watchlists/me", {"name": secret[:30]}))["watchlist"]["id"]
    await post(f"/api/watchlist/me/{watchlist}", {"tickers": [STOCK, ALERT_SYMBOL]})
    portfolio = (await post("/api/portfolios/me", {"name": secret[:30]}))["id"]
    await post(f"/api/portfolios/me/{portfolio}/stock", {"symbol": STOCK, "quantity": 7, "total_cost": 700})
    await post("/api/alerts/me", {"type": "buy", "symbol": ALERT_SYMBOL, "price": NEVER, "note": secret})
    await post("/api/alerts/me", {"type": "buy", "symbol": FIRED_SYMBOL, "price": ALREADY, "note": secret})
    await post("/api/portfolio/sync", zerodha_body(_at_zerodha(vendors)))
    await post("/api/portfolio/icici-sync", icici_body(_at_icici(vendors)))
    await post("/api/email/portfolio-summary/me", {})
    await post("/api/auth/login", {"email": account.email, "password": PASSWORD})
    await _told_by_mail(client, account)
    sessions = (await client.get("/api/auth/sessions", headers=account.bearer)).json()["sessions"]
    return Owner(
        account,
        {
            OWNER: account.user_id,
            "session_id": sessions[-1]["id"],
            "watchlist_id": watchlist,
            "portfolio_id": portfolio,
            "alert_type": "buy",
            "symbol": ALERT_SYMBOL,
        },
        [secret[:30], account.email],
    )


def _at_zerodha(vendors: Vendors) -> KiteAccount:
    tcs, sbin = BY_KEY["NSE:TCS"], BY_KEY["NSE:SBIN"]
    return vendors.open_zerodha(holdings=[kite_holding(tcs, 10, 3600.0)], net=[kite_position(sbin, 25, 790.1)])


def _at_icici(vendors: Vendors) -> BreezeAccount:
    sbin = BY_KEY["NSE:SBIN"]
    return vendors.open_icici(holdings=[breeze_holding(sbin, 4, 700)], demat=[breeze_demat(sbin, 4)])


async def _told_by_mail(client: httpx.AsyncClient, account: Account) -> None:
    """Wait until the alert that is true has fired, and nothing more will happen to it."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        history = (await client.get("/api/alerts/me/history", headers=account.bearer)).json()
        states = {each["channel"]: each["state"] for fire in history["fires"] for each in fire["deliveries"]}
        if states == {"event": "sent", "email": "sent"}:
            return
        assert time.monotonic() < deadline, history
        await asyncio.sleep(0.2)


async def answers_to(client: httpx.AsyncClient, owner: Owner, operations: Sequence[Operation]) -> dict[str, object]:
    """Return what an owner reads of everything that does not change by itself."""
    read: dict[str, object] = {}
    for operation in operations:
        if operation.method == "get" and operation.needs_token and operation.path not in LIVE:
            answer = await client.get(operation.filled(owner.ids), headers=owner.account.bearer)
            assert answer.status_code == 200, f"{operation.name}: {answer.text}"
            read[operation.name] = answer.json()
    return read


# --- the walk -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Walk:
    """Tries every operation that is somebody's, as nobody, as another, and as another who says it is theirs."""

    client: httpx.AsyncClient
    owner: Owner
    counts: Counter[str] = field(default_factory=Counter)

    async def send(
        self,
        operation: Operation,
        values: Mapping[str, object],
        account: Account | None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        headers = {} if account is None else account.bearer
        path = operation.filled({**self.owner.ids, **values})
        body = operation.body()
        answer = await self.client.request(
            operation.method.upper(),
            path,
            params=query,
            json=None if body is None else dict(body),
            headers=headers,
        )
        self.client.cookies.clear()
        return answer

    async def try_out(self, operation: Operation) -> None:
        intruder = await register(self.client)
        if operation.needs_token:
            read_error(await self.send(operation, {}, None), 401, "AUTH_REQUIRED")
            self.counts["without a token: 401"] += 1
        if OWNER in operation.parameters:
            for user_id in (self.owner.account.user_id, NOBODY):
                read_error(await self.send(operation, {OWNER: user_id}, intruder), 403, "ACCESS_DENIED")
                self.counts["on another's id: 403"] += 1
        else:
            # Where the user is not in the path, there is no saying it beside it.
            saying_whose = await self.send(operation, {}, intruder, {OWNER: self.owner.account.user_id})
            read_error(saying_whose, 400, "INVALID_REQUEST")
            self.counts["another named in the query: 400"] += 1
        if operation.names_a_resource:
            for user_id in ("me", intruder.user_id) if OWNER in operation.parameters else ("",):
                read_error(await self.send(operation, {OWNER: user_id}, intruder), 404)
                self.counts["another's thing under one's own id: 404"] += 1
            return
        values = {OWNER: intruder.user_id}
        await self._see_nothing(operation, values, intruder)

    async def _see_nothing(self, operation: Operation, values: Mapping[str, object], intruder: Account) -> None:
        """Let the intruder do it with what is theirs; what is the owner's must not be in the answer."""
        answer = await self.send(operation, values, intruder)
        assert answer.status_code < 500, f"{operation.name}: {answer.text}"
        assert not [word for word in self.owner.words if word in answer.text], operation.name
        self.counts["with one's own id: nothing of another's"] += 1


async def test_nobody_reaches_what_is_anothers(
    client: httpx.AsyncClient, vendors: Vendors, stores: list[Store]
) -> None:
    operations = await operations_of(client)
    walked = [
        each
        for each in operations
        if (each.needs_token or each.is_owned) and each.path not in (*SERVER_WIDE, "/api/stream")
    ]
    owner = await owner_of_everything(client, vendors)
    before, rows_before = await answers_to(client, owner, operations), await rows_of(stores, owner.account.user_id)
    walk = Walk(client, owner)

    for operation in walked:
        await walk.try_out(operation)

    assert await answers_to(client, owner, operations) == before
    assert await rows_of(stores, owner.account.user_id) == rows_before
    print(f"{len(walked)} of {len(operations)} operations: {dict(walk.counts)}")  # noqa: T201  # shown by -s
    assert walk.counts["on another's id: 403"] >= 2 * 20


# --- the end of an account ----------------------------------------------------------------------------------------

# What must have been there, so that its end says something.
KEPT = {
    "auth.users",
    "auth.sessions",
    "auth.refresh_tokens",
    "auth.mail_tokens",
    "portfolio.broker_syncs",
    "portfolio.holdings",
    "portfolio.positions",
    "portfolio.snapshots",
    "portfolio.watchlists",
    "portfolio.watched_tickers",
    "portfolio.manual_portfolios",
    "portfolio.manual_stocks",
    "alerts.alerts",
    "alerts.fires",
    "alerts.deliveries",
}
# What is kept of an account that is gone, so that a request under way does not revive it: by portfolio its id and two
# moments, by alerts its id and one, for a day.
TOMBSTONES = {"portfolio.portfolios": 3, "alerts.ended_accounts": 2}
SERVED = ("/api/auth/user/me", "/api/alerts/me", "/api/watchlists/me", "/api/portfolios/me", "/api/portfolio/holdings")


async def test_of_a_deleted_account_nothing_is_left_anywhere(
    client: httpx.AsyncClient, vendors: Vendors, stores: list[Store]
) -> None:
    owner, other = await owner_of_everything(client, vendors), await owner_of_everything(client, vendors)
    there, others = await rows_of(stores, owner.account.user_id), await rows_of(stores, other.account.user_id)
    assert there.keys() >= KEPT, f"missing: {sorted(KEPT - there.keys())}"

    answer = await client.delete("/api/auth/user/me", headers=owner.account.bearer)

    assert answer.status_code == 200, answer.text
    client.cookies.clear()
    for path in SERVED:
        await refused_soon(client, path, owner.account)
    refresh = await client.post("/api/auth/refresh", json={"refresh_token": owner.account.refresh_token})
    read_error(refresh, 401)
    await nothing_left(stores, owner)
    assert await rows_of(stores, other.account.user_id) == others
    print(f"{sum(map(len, there.values()))} rows of {len(there)} tables gone")  # noqa: T201  # shown by -s


async def refused_soon(client: httpx.AsyncClient, path: str, account: Account) -> None:
    """Ask until a token is refused; until then the account is there, or is not found."""
    deadline = time.monotonic() + REFUSED_SECONDS
    while (answer := await client.get(path, headers=account.bearer)).status_code in (200, 404):
        assert time.monotonic() < deadline, f"{path} is still served"
        await asyncio.sleep(0.02)
    read_error(answer, 401, "TOKEN_REVOKED")


async def nothing_left(stores: Sequence[Store], owner: Owner) -> None:
    """Wait until no table has a row of a user, or mentions what only they have written."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        left = await rows_of(stores, owner.account.user_id)
        for table, columns in TOMBSTONES.items():
            assert {len(row) for row in left.pop(table, ())} <= {columns}, table
        mentions = [name for store in stores for name in await store.mentions(owner.words)]
        if not left and not mentions:
            return
        assert time.monotonic() < deadline, f"left: {left}; mentioned in {mentions}"
        await asyncio.sleep(0.2)
