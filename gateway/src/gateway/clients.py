"""The services the gateway calls, and how a route asks for one of them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import grpc
from fastapi import Depends, Request
from google.protobuf.descriptor import FileDescriptor

from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from bourse.auth.v1 import accounts_pb2, accounts_pb2_grpc, keys_pb2, keys_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from bourse.market.v1 import quotes_pb2, quotes_pb2_grpc, snapshot_pb2, snapshot_pb2_grpc
from chassis.rpc_client import open_channel
from gateway.http_cache import parse_policy, policy_note
from gateway.settings import Settings

if TYPE_CHECKING:
    # The asynchronous stubs exist for type checkers alone.
    AccountStub = accounts_pb2_grpc.AccountServiceAsyncStub
    SessionStub = sessions_pb2_grpc.SessionServiceAsyncStub
    KeyStub = keys_pb2_grpc.KeyServiceAsyncStub
    QuoteStub = quotes_pb2_grpc.QuoteServiceAsyncStub
    SnapshotStub = snapshot_pb2_grpc.SnapshotServiceAsyncStub
    AlertStub = alerts_pb2_grpc.AlertServiceAsyncStub
else:
    AccountStub = accounts_pb2_grpc.AccountServiceStub
    SessionStub = sessions_pb2_grpc.SessionServiceStub
    KeyStub = keys_pb2_grpc.KeyServiceStub
    QuoteStub = quotes_pb2_grpc.QuoteServiceStub
    SnapshotStub = snapshot_pb2_grpc.SnapshotServiceStub
    AlertStub = alerts_pb2_grpc.AlertServiceStub

AUTH_CONTRACTS = [accounts_pb2.DESCRIPTOR, keys_pb2.DESCRIPTOR, sessions_pb2.DESCRIPTOR]
MARKET_CONTRACTS = [quotes_pb2.DESCRIPTOR, snapshot_pb2.DESCRIPTOR]
ALERTS_CONTRACTS = [alerts_pb2.DESCRIPTOR]


class CachePolicyInterceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc, unused-ignore]
    """Notes what a reply's metadata says about keeping it, where somebody wants to know."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Read `cache-control` when the call has succeeded."""
        call = await continuation(client_call_details, request)
        note = policy_note.get()
        if note is not None and await call.code() is grpc.StatusCode.OK:
            for key, value in [*(await call.initial_metadata() or ()), *(await call.trailing_metadata() or ())]:
                if key == "cache-control":
                    note.policy = parse_policy(value)
        return call


@dataclass(frozen=True, slots=True)
class Clients:
    """One stub for each service that is called, and each process's channel by name."""

    accounts: AccountStub
    sessions: SessionStub
    keys: KeyStub
    quotes: QuoteStub
    snapshots: SnapshotStub
    alerts: AlertStub
    channels: dict[str, grpc.aio.Channel]


@asynccontextmanager
async def open_clients(settings: Settings) -> AsyncIterator[Clients]:
    """Open a channel to every service; a service that is away is an error of the call, not of this."""
    wanted: dict[str, tuple[str, Sequence[FileDescriptor]]] = {
        "auth": (settings.auth_address, AUTH_CONTRACTS),
        "market": (settings.market_address, MARKET_CONTRACTS),
        "portfolio": (settings.portfolio_address, []),
        "brokers": (settings.brokers_address, []),
        "alerts": (settings.alerts_address, ALERTS_CONTRACTS),
    }
    interceptors = [CachePolicyInterceptor()]
    async with AsyncExitStack() as stack:
        channels = {}
        for name, (address, contracts) in wanted.items():
            channel = open_channel(address, contracts, settings=settings, interceptors=interceptors)
            channels[name] = await stack.enter_async_context(channel)
        yield Clients(
            accounts=AccountStub(channels["auth"]),
            sessions=SessionStub(channels["auth"]),
            keys=KeyStub(channels["auth"]),
            quotes=QuoteStub(channels["market"]),
            snapshots=SnapshotStub(channels["market"]),
            alerts=AlertStub(channels["alerts"]),
            channels=channels,
        )


async def _clients(request: Request) -> Clients:
    clients: Clients = request.app.state.clients
    return clients


_Clients = Annotated[Clients, Depends(_clients)]


async def _accounts(clients: _Clients) -> AccountStub:
    return clients.accounts


async def _sessions(clients: _Clients) -> SessionStub:
    return clients.sessions


async def _quotes(clients: _Clients) -> QuoteStub:
    return clients.quotes


async def _snapshots(clients: _Clients) -> SnapshotStub:
    return clients.snapshots


async def _alerts(clients: _Clients) -> AlertStub:
    return clients.alerts


Accounts = Annotated[AccountStub, Depends(_accounts)]
Sessions = Annotated[SessionStub, Depends(_sessions)]
Quotes = Annotated[QuoteStub, Depends(_quotes)]
Snapshots = Annotated[SnapshotStub, Depends(_snapshots)]
Alerts = Annotated[AlertStub, Depends(_alerts)]
