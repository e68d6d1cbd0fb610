"""Fake services with behaviour, served over real gRPC, and a gateway in front of them."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import nats
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client

from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from bourse.auth.v1 import accounts_pb2, accounts_pb2_grpc, keys_pb2, keys_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from bourse.brokers.v1 import brokers_pb2, syncs_pb2, syncs_pb2_grpc
from bourse.brokers.v1 import sessions_pb2 as broker_sessions_pb2
from bourse.brokers.v1 import sessions_pb2_grpc as broker_sessions_pb2_grpc
from bourse.market.v1 import quotes_pb2, quotes_pb2_grpc, snapshot_pb2, snapshot_pb2_grpc, ticks_pb2
from bourse.portfolio.v1 import (
    holdings_pb2,
    holdings_pb2_grpc,
    pnl_pb2,
    pnl_pb2_grpc,
    positions_pb2,
    positions_pb2_grpc,
)
from bourse.portfolio.v1 import syncs_pb2 as synced_portfolios_pb2
from bourse.portfolio.v1 import syncs_pb2_grpc as synced_portfolios_pb2_grpc
from chassis.errors import Code, ServiceError
from chassis.health import Health
from chassis.rpc_server import serving
from chassis.testing import NatsServer, free_port, nats_server
from fakes.other_market import OtherMarket
from gateway.app import Gateway, build
from gateway.settings import Settings

ISSUER = "bourse-auth"
AUDIENCE = "bourse"
PASSWORD = "correct horse"
NOW = datetime(2026, 4, 7, 9, 0, tzinfo=UTC)


class Refusal(ServiceError):
    """A domain error of a fake service."""

    def __init__(self, code: Code, reason: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]
        self.reason = reason  # type: ignore[misc]
        self.retry_after_seconds = retry_after_seconds


@dataclass
class Faults:
    """How a fake service misbehaves."""

    failure: ServiceError | None = None
    delay_seconds: float = 0.0
    calls: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    async def meet(self, call: str, context: Any) -> None:
        self.calls.append(call)
        self.request_ids += [value for key, value in context.invocation_metadata() if key == "x-request-id"]
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.failure is not None:
            raise self.failure


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


def provenance(freshness: int = quotes_pb2.FRESHNESS_LIVE) -> quotes_pb2.Provenance:
    made = quotes_pb2.Provenance(source="zerodha", freshness=freshness)  # type: ignore[arg-type]
    made.as_of.FromDatetime(NOW)
    return made


EXCHANGES_OF_BARE_SYMBOLS = {
    quotes_pb2.LISTING_INDIA: "NSE",
    quotes_pb2.LISTING_UNITED_STATES: "NASDAQ",
    quotes_pb2.LISTING_CURRENCIES: "FX",
}


class FakeMarket(Faults):
    """Quotes by instrument, and a snapshot; `other` is the rest of it."""

    def __init__(self) -> None:
        super().__init__()
        self.other = OtherMarket(self.meet, self._allow_keeping)
        self.prices = {
            "NSE:TCS": 3842.5,
            "NSE:INFY": 1500.0,
            "BSE:HDFCBANK": 1600.25,
            "NASDAQ:AAPL": 201.28,
            "NASDAQ:MSFT": 415.5,
            "FX:EURUSD": 1.08415,
        }
        self.unpriced: set[str] = set()
        self.cache_control: str | None = None
        self.nifty_price = 22_500.5

    async def GetQuotes(self, request: quotes_pb2.GetQuotesRequest, context: Any) -> quotes_pb2.GetQuotesResponse:
        await self.meet("GetQuotes", context)
        self._allow_keeping(context)
        return self._quotes(request)

    def _quotes(
        self, request: quotes_pb2.GetQuotesRequest | quotes_pb2.GetDetailedQuotesRequest
    ) -> quotes_pb2.GetQuotesResponse:
        reply = quotes_pb2.GetQuotesResponse()
        for symbol in request.symbols:
            upper = symbol.upper()
            instrument = upper if ":" in upper else f"{EXCHANGES_OF_BARE_SYMBOLS[request.listing]}:{upper}"
            if instrument in self.unpriced:
                reply.missing.add(symbol=symbol, code="NO_PRICE")
            elif instrument not in self.prices:
                reply.missing.add(symbol=symbol, code="SYMBOL_UNKNOWN")
            else:
                price = self.prices[instrument]
                quote = reply.quotes.add(
                    instrument=instrument, symbol=symbol, name=instrument, last_price=price, currency="INR"
                )
                quote.previous_close = price - 12.3
                quote.change = price - quote.previous_close
                quote.change_percent = quote.change / quote.previous_close * 100
                quote.provenance.CopyFrom(provenance())
        if not reply.quotes and not any(missing.code == "NO_PRICE" for missing in reply.missing):
            raise Refusal(Code.NOT_FOUND, "SYMBOL_UNKNOWN", f"no market knows {request.symbols[0]}")
        return reply

    async def GetDetailedQuotes(
        self, request: quotes_pb2.GetDetailedQuotesRequest, context: Any
    ) -> quotes_pb2.GetDetailedQuotesResponse:
        await self.meet("GetDetailedQuotes", context)
        self._allow_keeping(context)
        short = self._quotes(request)
        detailed = [
            quotes_pb2.DetailedQuote(
                quote=quote,
                exchange=quote.instrument.partition(":")[0],
                year_high=quote.last_price * 1.5,
                price_avg50=3.5,
            )
            for quote in short.quotes
        ]
        return quotes_pb2.GetDetailedQuotesResponse(quotes=detailed, missing=short.missing)

    async def GetSnapshot(self, _: Any, context: Any) -> snapshot_pb2.GetSnapshotResponse:
        await self.meet("GetSnapshot", context)
        self._allow_keeping(context)
        reply = snapshot_pb2.GetSnapshotResponse(provenance=provenance())
        reply.nifty.CopyFrom(
            snapshot_pb2.IndexLevel(
                instrument="INDEX:NIFTY50", price=self.nifty_price, change_percent=0.123456, provenance=provenance()
            )
        )
        reply.bank_nifty.CopyFrom(snapshot_pb2.IndexLevel(instrument="INDEX:BANKNIFTY", price=48_000.0))
        reply.signals.add(
            instrument="NSE:TCS",
            pattern="engulfing",
            direction=snapshot_pb2.SIGNAL_DIRECTION_BULLISH,
            confidence=0.53,
            cases=120,
            confidence_low=0.44,
            confidence_high=0.62,
            base_rate=0.51,
            session="2026-04-06",
        )
        reply.signals.add(instrument="NSE:INFY", pattern="doji", cases=3, session="2026-04-06")
        reply.sectors.add(sector="Information Technology", change_percent=-1.23456, instruments=12)
        reply.market.is_open = True
        reply.market.as_of.FromDatetime(NOW)
        reply.market.next_close.FromDatetime(NOW)
        return reply

    def _allow_keeping(self, context: Any) -> None:
        if self.cache_control is not None:
            context.set_trailing_metadata((("cache-control", self.cache_control),))

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: quotes_pb2_grpc.add_QuoteServiceServicer_to_server(fake, server),
            lambda server: snapshot_pb2_grpc.add_SnapshotServiceServicer_to_server(fake, server),
            *self.other.registrations(),
        ]


class FakeAlerts(Faults):
    """Alerts by user."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, list[alerts_pb2.Alert]] = {}

    async def ListAlerts(self, request: alerts_pb2.ListAlertsRequest, context: Any) -> alerts_pb2.ListAlertsResponse:
        await self.meet("ListAlerts", context)
        alerts = self.alerts.get(request.user_id, [])
        return alerts_pb2.ListAlertsResponse(
            buy=[alert for alert in alerts if alert.type == alerts_pb2.ALERT_TYPE_BUY],
            sell=[alert for alert in alerts if alert.type == alerts_pb2.ALERT_TYPE_SELL],
        )

    async def SetAlert(self, request: alerts_pb2.SetAlertRequest, context: Any) -> alerts_pb2.SetAlertResponse:
        await self.meet("SetAlert", context)
        if request.symbol == "NOPE":
            raise Refusal(Code.NOT_FOUND, "SYMBOL_UNKNOWN", "no market knows NOPE")
        alert = alerts_pb2.Alert(
            id=uuid.uuid4().hex,
            user_id=request.user_id,
            type=request.type,
            instrument=f"NASDAQ:{request.symbol}",
            symbol=request.symbol,
            price=request.price,
            generation=1,
        )
        alert.created_at.FromDatetime(NOW)
        self.alerts.setdefault(request.user_id, []).append(alert)
        return alerts_pb2.SetAlertResponse(alert=alert)

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [lambda server: alerts_pb2_grpc.add_AlertServiceServicer_to_server(fake, server)]


class FakePortfolio(Faults):
    """What each user holds, as the last sync left it."""

    def __init__(self) -> None:
        super().__init__()
        self.holdings: dict[str, holdings_pb2.ListHoldingsResponse] = {}
        self.positions: dict[str, list[positions_pb2.Position]] = {}
        self.points: dict[str, list[pnl_pb2.PnlPoint]] = {}

    def sync(self, user_id: str, *, is_simulated: bool = False) -> holdings_pb2.ListHoldingsResponse:
        """Give a user the holding of the StockTrendz document."""
        reply = holdings_pb2.ListHoldingsResponse(is_synced=True)
        reply.syncs.add(broker=brokers_pb2.BROKER_ZERODHA, is_simulated=is_simulated).synced_at.FromDatetime(NOW)
        row = reply.holdings.add(
            broker=brokers_pb2.BROKER_ZERODHA,
            exchange="NSE",
            tradingsymbol="TCS",
            instrument="NSE:TCS",
            quantity="10",
            t1_quantity="0",
            average_price="3600.00",
            last_price="3842.50",
            invested="36000.00",
            current_value="38425.00",
            pnl="2425.00",
            pnl_percent="6.74",
            split_factor="1",
            is_simulated=is_simulated,
        )
        row.provenance.CopyFrom(
            provenance(quotes_pb2.FRESHNESS_SIMULATED if is_simulated else quotes_pb2.FRESHNESS_LIVE)
        )
        row.synced_at.FromDatetime(NOW)
        reply.summary.total_invested = "36000.00"
        reply.summary.total_current_value = "38425.00"
        reply.summary.total_pnl = "2425.00"
        reply.summary.total_pnl_percent = "6.74"
        self.holdings[user_id] = reply
        return reply

    def open_position(self, user_id: str, **fields: Any) -> positions_pb2.Position:
        known = {
            "broker": brokers_pb2.BROKER_ICICI,
            "type": synced_portfolios_pb2.POSITION_TYPE_NET,
            "exchange": "NFO",
            "tradingsymbol": "NIFTY26APRFUT",
            "instrument": "NFO:NIFTY26APRFUT",
            "quantity": "-75",
            "multiplier": "1",
        }
        position = positions_pb2.Position(**{**known, **fields})
        position.synced_at.FromDatetime(NOW)
        self.positions.setdefault(user_id, []).append(position)
        return position

    async def ListHoldings(
        self, request: holdings_pb2.ListHoldingsRequest, context: Any
    ) -> holdings_pb2.ListHoldingsResponse:
        await self.meet("ListHoldings", context)
        nothing = holdings_pb2.HoldingsSummary(total_invested="0.00", total_current_value="0.00", total_pnl="0.00")
        return self.holdings.get(request.user_id) or holdings_pb2.ListHoldingsResponse(summary=nothing)

    async def ListPositions(
        self, request: positions_pb2.ListPositionsRequest, context: Any
    ) -> positions_pb2.ListPositionsResponse:
        await self.meet("ListPositions", context)
        rows = [row for row in self.positions.get(request.user_id, []) if request.type in (0, row.type)]
        return positions_pb2.ListPositionsResponse(
            positions=[row for row in rows if row.quantity != "0"],
            closed=[row for row in rows if row.quantity == "0"],
            summary=positions_pb2.PositionsSummary(total_pnl="0.00", day_pnl="0.00"),
            is_synced=bool(rows),
        )

    async def GetPnl(self, request: pnl_pb2.GetPnlRequest, context: Any) -> pnl_pb2.GetPnlResponse:
        await self.meet("GetPnl", context)
        zero = "0.00"
        points = self.points.get(request.user_id, [])
        return pnl_pb2.GetPnlResponse(
            summary=pnl_pb2.PnlSummary(
                total_invested=zero, total_current_value=zero, total_pnl=zero, positions_pnl=zero
            ),
            trend=points[-request.days :],
            days=request.days,
            is_synced=bool(points),
        )

    async def ReplaceBrokerRows(self, _: Any, __: Any) -> Any:
        raise AssertionError("only brokers says what a user holds")

    async def DeleteSyncedData(
        self, request: synced_portfolios_pb2.DeleteSyncedDataRequest, context: Any
    ) -> synced_portfolios_pb2.DeleteSyncedDataResponse:
        await self.meet("DeleteSyncedData", context)
        held = self.holdings.pop(request.user_id, holdings_pb2.ListHoldingsResponse())
        return synced_portfolios_pb2.DeleteSyncedDataResponse(
            holdings_count=len(held.holdings),
            positions_count=len(self.positions.pop(request.user_id, [])),
            snapshots_count=len(self.points.pop(request.user_id, [])),
        )

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: holdings_pb2_grpc.add_HoldingServiceServicer_to_server(fake, server),
            lambda server: positions_pb2_grpc.add_PositionServiceServicer_to_server(fake, server),
            lambda server: pnl_pb2_grpc.add_PnlServiceServicer_to_server(fake, server),
            lambda server: synced_portfolios_pb2_grpc.add_SyncedPortfolioServiceServicer_to_server(fake, server),
        ]


class FakeBrokers(Faults):
    """Syncs that succeed unless told otherwise, and server-wide sessions that an admin may open."""

    def __init__(self, portfolio: FakePortfolio) -> None:
        super().__init__()
        self.portfolio = portfolio
        self.admin_secret = uuid.uuid4().hex
        self.requests: list[Any] = []
        self.statuses: dict[int, broker_sessions_pb2.SessionStatus] = {}
        self.was_cancelled = asyncio.Event()

    async def SyncZerodha(self, request: syncs_pb2.SyncZerodhaRequest, context: Any) -> syncs_pb2.SyncZerodhaResponse:
        return syncs_pb2.SyncZerodhaResponse(sync=await self._sync(request, brokers_pb2.BROKER_ZERODHA, context))

    async def SyncIcici(self, request: syncs_pb2.SyncIciciRequest, context: Any) -> syncs_pb2.SyncIciciResponse:
        return syncs_pb2.SyncIciciResponse(sync=await self._sync(request, brokers_pb2.BROKER_ICICI, context))

    async def _sync(self, request: Any, broker: Any, context: Any) -> syncs_pb2.Sync:
        self.requests.append(request)
        try:
            await self.meet("Sync", context)
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        self.portfolio.sync(request.user_id)
        sync = syncs_pb2.Sync(id="sync-1", broker=broker, holdings_count=1, positions_count=3, net_positions_count=2)
        sync.synced_at.FromDatetime(NOW)
        return sync

    async def GetSessionStatus(
        self, request: broker_sessions_pb2.GetSessionStatusRequest, context: Any
    ) -> broker_sessions_pb2.GetSessionStatusResponse:
        await self.meet("GetSessionStatus", context)
        none = broker_sessions_pb2.SessionStatus(broker=request.broker, feed=broker_sessions_pb2.FEED_STATE_OFF)
        return broker_sessions_pb2.GetSessionStatusResponse(status=self.statuses.get(request.broker, none))

    async def ActivateZerodha(
        self, request: broker_sessions_pb2.ActivateZerodhaRequest, context: Any
    ) -> broker_sessions_pb2.ActivateZerodhaResponse:
        status = await self._activate(request, brokers_pb2.BROKER_ZERODHA, context)
        status.token_type = "access_token"
        return broker_sessions_pb2.ActivateZerodhaResponse(status=status)

    async def ActivateIcici(
        self, request: broker_sessions_pb2.ActivateIciciRequest, context: Any
    ) -> broker_sessions_pb2.ActivateIciciResponse:
        status = await self._activate(request, brokers_pb2.BROKER_ICICI, context)
        return broker_sessions_pb2.ActivateIciciResponse(status=status)

    async def _activate(self, request: Any, broker: Any, context: Any) -> broker_sessions_pb2.SessionStatus:
        self.requests.append(request)
        await self.meet("Activate", context)
        if not request.caller_is_admin and request.secret != self.admin_secret:
            raise Refusal(Code.PERMISSION_DENIED, "ADMIN_REQUIRED", "only an administrator can open this session")
        status = broker_sessions_pb2.SessionStatus(
            broker=broker, initialized=True, valid=True, feed=broker_sessions_pb2.FEED_STATE_CONNECTING
        )
        status.set_at.FromDatetime(NOW)
        status.expires_at.FromDatetime(NOW)
        self.statuses[broker] = status
        return status

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: syncs_pb2_grpc.add_SyncServiceServicer_to_server(fake, server),
            lambda server: broker_sessions_pb2_grpc.add_SessionServiceServicer_to_server(fake, server),
        ]


@dataclass
class World:
    """Everything around a gateway, and the gateway."""

    auth: FakeAuth
    market: FakeMarket
    alerts: FakeAlerts
    portfolio: FakePortfolio
    brokers: FakeBrokers
    healths: dict[str, Health]
    nats: NatsServer
    addresses: dict[str, str]
    stack: AsyncExitStack
    gateway: Gateway | None = None
    client: httpx.AsyncClient | None = None
    gateway_stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _servers: dict[str, AsyncExitStack] = field(default_factory=dict)
    _publisher: Client | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        assert self.client is not None
        return self.client

    async def start_service(self, name: str) -> None:
        registrations = getattr(self, name).registrations()
        server = AsyncExitStack()
        settings = self.settings(shutdown_grace_seconds=0)
        health = self.healths.setdefault(name, Health())
        await server.enter_async_context(serving(self.addresses[name], registrations, health=health, settings=settings))
        self._servers[name] = server

    async def stop_service(self, name: str) -> None:
        self.healths.pop(name, None)
        await self._servers.pop(name).aclose()

    async def close(self) -> None:
        if self._publisher is not None:
            await self._publisher.close()
            await asyncio.sleep(0)
        for name in list(self._servers):
            await self.stop_service(name)

    def settings(self, **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "gateway_port": 0,
            "nats_url": self.nats.url,
            "rpc_deadline_seconds": 2.0,
            "shutdown_grace_seconds": 1.0,
            "gateway_limit_register": "1000/minute",
            "gateway_limit_login": "1000/minute",
            "gateway_limit_refresh": "1000/minute",
            "gateway_limit_sync": "1000/minute",
            **{f"{name}_address": address for name, address in self.addresses.items()},
            **changes,
        }
        return Settings(**values)

    async def open(self, **changes: Any) -> httpx.AsyncClient:
        """Open the gateway and wait until it is ready."""
        self.gateway_stack = await self.stack.enter_async_context(AsyncExitStack())
        self.gateway = await self.gateway_stack.enter_async_context(build(self.settings(**changes)))
        self.client = await self.stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.gateway.port}", timeout=5)
        )
        return self.client

    async def until_ready(self) -> None:
        async with asyncio.timeout(5):
            while (await self.http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)

    def sign_in(self, user_id: str = "42", **changes: Any) -> dict[str, str]:
        """Return the header of a token that auth would give out."""
        return {"Authorization": f"Bearer {self.auth.mint(user_id, **changes)}"}

    def error_of(self, response: httpx.Response) -> dict[str, str]:
        """Return an error's body, after checking that it is the envelope."""
        body: dict[str, str] = json.loads(response.content)
        assert set(body) == {"error", "message", "code", "request_id"}, body
        assert body["request_id"] == response.headers["x-request-id"]
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"
        return body

    async def tick(self, prices: dict[str, float], **changes: Any) -> None:
        """Publish a batch and wait until the board has it."""
        assert self.gateway is not None
        before = self.gateway.board.batches
        await self.publish("ticks.3", tick_batch(prices, **changes).SerializeToString())
        async with asyncio.timeout(5):
            while self.gateway.board.batches == before:
                await asyncio.sleep(0.005)

    async def publish(self, subject: str, payload: bytes) -> None:
        if self._publisher is None:
            self._publisher = await nats.connect(self.nats.url)
        await self._publisher.publish(subject, payload)
        await self._publisher.flush()


@pytest.fixture(scope="session")
def nats_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@asynccontextmanager
async def a_world(nats_at: NatsServer) -> AsyncIterator[World]:
    names = ("auth", "market", "portfolio", "brokers", "alerts")
    addresses = {name: f"127.0.0.1:{free_port()}" for name in names}
    async with AsyncExitStack() as stack:
        portfolio = FakePortfolio()
        world = World(
            auth=FakeAuth(),
            market=FakeMarket(),
            alerts=FakeAlerts(),
            portfolio=portfolio,
            brokers=FakeBrokers(portfolio),
            healths={},
            nats=nats_at,
            addresses=addresses,
            stack=stack,
        )
        stack.push_async_callback(world.close)
        for name in names:
            await world.start_service(name)
        yield world


@pytest.fixture
async def world(nats_one: NatsServer) -> AsyncIterator[World]:
    """Services and NATS without a gateway: the test opens one with its own settings."""
    async with a_world(nats_one) as made:
        yield made


@pytest.fixture
async def running(world: World) -> World:
    """A gateway that is ready, and everything around it."""
    await world.open()
    await world.until_ready()
    return world


def tick_batch(
    prices: dict[str, float],
    *,
    sequence: int = 1,
    freshness: int = quotes_pb2.FRESHNESS_SIMULATED,
    previous_close: float | None = None,
) -> ticks_pb2.TickBatch:
    batch = ticks_pb2.TickBatch(
        publisher_id="test",
        epoch=1,
        shard=0,
        sequence=sequence,
        source="sample",
        freshness=freshness,  # type: ignore[arg-type]
    )
    batch.base_time.FromDatetime(NOW)
    for instrument, price in prices.items():
        batch.ticks.add(
            instrument=instrument, last_price=price, previous_close=previous_close, offset_microseconds=1500
        )
    return batch


@pytest.fixture
def make_batch() -> Callable[..., ticks_pb2.TickBatch]:
    return tick_batch


@pytest.fixture
def auth() -> FakeAuth:
    return FakeAuth()


@pytest.fixture(scope="session")
def make_world(nats_one: NatsServer) -> Callable[..., Any]:
    return lambda server=None: a_world(server or nats_one)


@pytest.fixture(scope="session")
def make_refusal() -> type[Refusal]:
    return Refusal
