"""The services the gateway calls, and how a route asks for one of them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import grpc
from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from google.protobuf.descriptor import FileDescriptor

from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
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
from bourse.brokers.v1 import sessions_pb2 as broker_sessions_pb2
from bourse.brokers.v1 import sessions_pb2_grpc as broker_sessions_pb2_grpc
from bourse.brokers.v1 import syncs_pb2, syncs_pb2_grpc
from bourse.market.v1 import (
    after_market_pb2,
    after_market_pb2_grpc,
    companies_pb2,
    companies_pb2_grpc,
    earnings_pb2,
    earnings_pb2_grpc,
    exchanges_pb2,
    exchanges_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    indices_pb2,
    indices_pb2_grpc,
    instruments_pb2,
    instruments_pb2_grpc,
    news_pb2,
    news_pb2_grpc,
    quotes_pb2,
    quotes_pb2_grpc,
    snapshot_pb2,
    snapshot_pb2_grpc,
    treasury_pb2,
    treasury_pb2_grpc,
)
from bourse.portfolio.v1 import (
    holdings_pb2,
    holdings_pb2_grpc,
    manual_portfolios_pb2,
    manual_portfolios_pb2_grpc,
    pnl_pb2,
    pnl_pb2_grpc,
    positions_pb2,
    positions_pb2_grpc,
    summaries_pb2,
    summaries_pb2_grpc,
    watchlists_pb2,
    watchlists_pb2_grpc,
)
from bourse.portfolio.v1 import syncs_pb2 as synced_portfolios_pb2
from bourse.portfolio.v1 import syncs_pb2_grpc as synced_portfolios_pb2_grpc
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
    AfterMarketStub = after_market_pb2_grpc.AfterMarketServiceAsyncStub
    CompanyStub = companies_pb2_grpc.CompanyServiceAsyncStub
    EarningsStub = earnings_pb2_grpc.EarningsServiceAsyncStub
    ExchangeStub = exchanges_pb2_grpc.ExchangeServiceAsyncStub
    HistoryStub = history_pb2_grpc.HistoryServiceAsyncStub
    IndexStub = indices_pb2_grpc.IndexServiceAsyncStub
    InstrumentStub = instruments_pb2_grpc.InstrumentServiceAsyncStub
    NewsStub = news_pb2_grpc.NewsServiceAsyncStub
    TreasuryStub = treasury_pb2_grpc.TreasuryServiceAsyncStub
    AlertStub = alerts_pb2_grpc.AlertServiceAsyncStub
    SyncStub = syncs_pb2_grpc.SyncServiceAsyncStub
    BrokerSessionStub = broker_sessions_pb2_grpc.SessionServiceAsyncStub
    HoldingStub = holdings_pb2_grpc.HoldingServiceAsyncStub
    PositionStub = positions_pb2_grpc.PositionServiceAsyncStub
    PnlStub = pnl_pb2_grpc.PnlServiceAsyncStub
    SyncedPortfolioStub = synced_portfolios_pb2_grpc.SyncedPortfolioServiceAsyncStub
    ContactStub = contacts_pb2_grpc.ContactServiceAsyncStub
    RecoveryStub = recovery_pb2_grpc.RecoveryServiceAsyncStub
    ManualPortfolioStub = manual_portfolios_pb2_grpc.ManualPortfolioServiceAsyncStub
    WatchlistStub = watchlists_pb2_grpc.WatchlistServiceAsyncStub
    SummaryStub = summaries_pb2_grpc.SummaryServiceAsyncStub
else:
    AccountStub = accounts_pb2_grpc.AccountServiceStub
    SessionStub = sessions_pb2_grpc.SessionServiceStub
    KeyStub = keys_pb2_grpc.KeyServiceStub
    QuoteStub = quotes_pb2_grpc.QuoteServiceStub
    SnapshotStub = snapshot_pb2_grpc.SnapshotServiceStub
    AfterMarketStub = after_market_pb2_grpc.AfterMarketServiceStub
    CompanyStub = companies_pb2_grpc.CompanyServiceStub
    EarningsStub = earnings_pb2_grpc.EarningsServiceStub
    ExchangeStub = exchanges_pb2_grpc.ExchangeServiceStub
    HistoryStub = history_pb2_grpc.HistoryServiceStub
    IndexStub = indices_pb2_grpc.IndexServiceStub
    InstrumentStub = instruments_pb2_grpc.InstrumentServiceStub
    NewsStub = news_pb2_grpc.NewsServiceStub
    TreasuryStub = treasury_pb2_grpc.TreasuryServiceStub
    AlertStub = alerts_pb2_grpc.AlertServiceStub
    SyncStub = syncs_pb2_grpc.SyncServiceStub
    BrokerSessionStub = broker_sessions_pb2_grpc.SessionServiceStub
    HoldingStub = holdings_pb2_grpc.HoldingServiceStub
    PositionStub = positions_pb2_grpc.PositionServiceStub
    PnlStub = pnl_pb2_grpc.PnlServiceStub
    SyncedPortfolioStub = synced_portfolios_pb2_grpc.SyncedPortfolioServiceStub
    ContactStub = contacts_pb2_grpc.ContactServiceStub
    RecoveryStub = recovery_pb2_grpc.RecoveryServiceStub
    ManualPortfolioStub = manual_portfolios_pb2_grpc.ManualPortfolioServiceStub
    WatchlistStub = watchlists_pb2_grpc.WatchlistServiceStub
    SummaryStub = summaries_pb2_grpc.SummaryServiceStub

AUTH_CONTRACTS = [
    accounts_pb2.DESCRIPTOR,
    contacts_pb2.DESCRIPTOR,
    keys_pb2.DESCRIPTOR,
    recovery_pb2.DESCRIPTOR,
    sessions_pb2.DESCRIPTOR,
]
MARKET_CONTRACTS = [
    after_market_pb2.DESCRIPTOR,
    companies_pb2.DESCRIPTOR,
    earnings_pb2.DESCRIPTOR,
    exchanges_pb2.DESCRIPTOR,
    history_pb2.DESCRIPTOR,
    indices_pb2.DESCRIPTOR,
    instruments_pb2.DESCRIPTOR,
    news_pb2.DESCRIPTOR,
    quotes_pb2.DESCRIPTOR,
    snapshot_pb2.DESCRIPTOR,
    treasury_pb2.DESCRIPTOR,
]
ALERTS_CONTRACTS = [alerts_pb2.DESCRIPTOR]
BROKERS_CONTRACTS = [syncs_pb2.DESCRIPTOR, broker_sessions_pb2.DESCRIPTOR]
PORTFOLIO_CONTRACTS = [
    holdings_pb2.DESCRIPTOR,
    pnl_pb2.DESCRIPTOR,
    positions_pb2.DESCRIPTOR,
    synced_portfolios_pb2.DESCRIPTOR,
    manual_portfolios_pb2.DESCRIPTOR,
    watchlists_pb2.DESCRIPTOR,
    summaries_pb2.DESCRIPTOR,
]


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
    """One stub for each service that is called, and each process's channel by name.

    Attributes:
        syncs: waits longer than others, as long as a broker may take.
        activations: as long, too.
    """

    accounts: AccountStub
    sessions: SessionStub
    keys: KeyStub
    quotes: QuoteStub
    snapshots: SnapshotStub
    after_market: AfterMarketStub
    companies: CompanyStub
    earnings: EarningsStub
    exchanges: ExchangeStub
    history: HistoryStub
    indices: IndexStub
    instruments: InstrumentStub
    news: NewsStub
    treasury: TreasuryStub
    alerts: AlertStub
    syncs: SyncStub
    activations: BrokerSessionStub
    broker_sessions: BrokerSessionStub
    holdings: HoldingStub
    positions: PositionStub
    pnl: PnlStub
    synced_portfolios: SyncedPortfolioStub
    contacts: ContactStub
    recovery: RecoveryStub
    manual_portfolios: ManualPortfolioStub
    watchlists: WatchlistStub
    summaries: SummaryStub
    channels: dict[str, grpc.aio.Channel]


@asynccontextmanager
async def open_clients(settings: Settings) -> AsyncIterator[Clients]:
    """Open a channel to every service; a service that is away is an error of the call, not of this."""
    wanted: dict[str, tuple[str, Sequence[FileDescriptor]]] = {
        "auth": (settings.auth_address, AUTH_CONTRACTS),
        "market": (settings.market_address, MARKET_CONTRACTS),
        "portfolio": (settings.portfolio_address, PORTFOLIO_CONTRACTS),
        "brokers": (settings.brokers_address, BROKERS_CONTRACTS),
        "alerts": (settings.alerts_address, ALERTS_CONTRACTS),
    }
    patient = settings.model_copy(update={"rpc_deadline_seconds": settings.gateway_sync_deadline_seconds})
    interceptors = [CachePolicyInterceptor()]
    async with AsyncExitStack() as stack:
        channels = {}
        for name, (address, contracts) in wanted.items():
            channel = open_channel(address, contracts, settings=settings, interceptors=interceptors)
            channels[name] = await stack.enter_async_context(channel)
        broker_work = open_channel(
            settings.brokers_address, BROKERS_CONTRACTS, settings=patient, interceptors=interceptors
        )
        broker_work = await stack.enter_async_context(broker_work)
        yield Clients(
            accounts=AccountStub(channels["auth"]),
            sessions=SessionStub(channels["auth"]),
            keys=KeyStub(channels["auth"]),
            quotes=QuoteStub(channels["market"]),
            snapshots=SnapshotStub(channels["market"]),
            after_market=AfterMarketStub(channels["market"]),
            companies=CompanyStub(channels["market"]),
            earnings=EarningsStub(channels["market"]),
            exchanges=ExchangeStub(channels["market"]),
            history=HistoryStub(channels["market"]),
            indices=IndexStub(channels["market"]),
            instruments=InstrumentStub(channels["market"]),
            news=NewsStub(channels["market"]),
            treasury=TreasuryStub(channels["market"]),
            alerts=AlertStub(channels["alerts"]),
            syncs=SyncStub(broker_work),
            activations=BrokerSessionStub(broker_work),
            broker_sessions=BrokerSessionStub(channels["brokers"]),
            holdings=HoldingStub(channels["portfolio"]),
            positions=PositionStub(channels["portfolio"]),
            pnl=PnlStub(channels["portfolio"]),
            synced_portfolios=SyncedPortfolioStub(channels["portfolio"]),
            contacts=ContactStub(channels["auth"]),
            recovery=RecoveryStub(channels["auth"]),
            manual_portfolios=ManualPortfolioStub(channels["portfolio"]),
            watchlists=WatchlistStub(channels["portfolio"]),
            summaries=SummaryStub(channels["portfolio"]),
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


async def _after_market(clients: _Clients) -> AfterMarketStub:
    return clients.after_market


async def _companies(clients: _Clients) -> CompanyStub:
    return clients.companies


async def _earnings(clients: _Clients) -> EarningsStub:
    return clients.earnings


async def _exchanges(clients: _Clients) -> ExchangeStub:
    return clients.exchanges


async def _history(clients: _Clients) -> HistoryStub:
    return clients.history


async def _indices(clients: _Clients) -> IndexStub:
    return clients.indices


async def _instruments(clients: _Clients) -> InstrumentStub:
    return clients.instruments


async def _news(clients: _Clients) -> NewsStub:
    return clients.news


async def _treasury(clients: _Clients) -> TreasuryStub:
    return clients.treasury


async def _alerts(clients: _Clients) -> AlertStub:
    return clients.alerts


async def _syncs(clients: _Clients) -> SyncStub:
    return clients.syncs


async def _activations(clients: _Clients) -> BrokerSessionStub:
    return clients.activations


async def _broker_sessions(clients: _Clients) -> BrokerSessionStub:
    return clients.broker_sessions


async def _holdings(clients: _Clients) -> HoldingStub:
    return clients.holdings


async def _positions(clients: _Clients) -> PositionStub:
    return clients.positions


async def _pnl(clients: _Clients) -> PnlStub:
    return clients.pnl


async def _synced_portfolios(clients: _Clients) -> SyncedPortfolioStub:
    return clients.synced_portfolios


async def _contacts(clients: _Clients) -> ContactStub:
    return clients.contacts


async def _recovery(clients: _Clients) -> RecoveryStub:
    return clients.recovery


async def _manual_portfolios(clients: _Clients) -> ManualPortfolioStub:
    return clients.manual_portfolios


async def _watchlists(clients: _Clients) -> WatchlistStub:
    return clients.watchlists


async def _summaries(clients: _Clients) -> SummaryStub:
    return clients.summaries


# Whom a stub calls; those of market, which are most, are not listed.
_SERVICES: dict[Callable[..., Any] | None, str] = {
    _accounts: "auth",
    _sessions: "auth",
    _contacts: "auth",
    _recovery: "auth",
    _alerts: "alerts",
    _syncs: "brokers",
    _activations: "brokers",
    _broker_sessions: "brokers",
    _holdings: "portfolio",
    _positions: "portfolio",
    _pnl: "portfolio",
    _synced_portfolios: "portfolio",
    _manual_portfolios: "portfolio",
    _watchlists: "portfolio",
    _summaries: "portfolio",
}


def service_of(dependant: Dependant) -> str | None:
    """Return the service that an operation calls, by its signature; None when it calls none."""
    for each in dependant.dependencies:
        if each.call is not _clients and any(below.call is _clients for below in each.dependencies):
            return _SERVICES.get(each.call, "market")
    return next(filter(None, map(service_of, dependant.dependencies)), None)


Accounts = Annotated[AccountStub, Depends(_accounts)]
Sessions = Annotated[SessionStub, Depends(_sessions)]
Quotes = Annotated[QuoteStub, Depends(_quotes)]
Snapshots = Annotated[SnapshotStub, Depends(_snapshots)]
AfterMarket = Annotated[AfterMarketStub, Depends(_after_market)]
Companies = Annotated[CompanyStub, Depends(_companies)]
Earnings = Annotated[EarningsStub, Depends(_earnings)]
Exchanges = Annotated[ExchangeStub, Depends(_exchanges)]
History = Annotated[HistoryStub, Depends(_history)]
Indices = Annotated[IndexStub, Depends(_indices)]
Instruments = Annotated[InstrumentStub, Depends(_instruments)]
News = Annotated[NewsStub, Depends(_news)]
Treasury = Annotated[TreasuryStub, Depends(_treasury)]
Alerts = Annotated[AlertStub, Depends(_alerts)]
Syncs = Annotated[SyncStub, Depends(_syncs)]
Activations = Annotated[BrokerSessionStub, Depends(_activations)]
BrokerSessions = Annotated[BrokerSessionStub, Depends(_broker_sessions)]
Holdings = Annotated[HoldingStub, Depends(_holdings)]
Positions = Annotated[PositionStub, Depends(_positions)]
Pnl = Annotated[PnlStub, Depends(_pnl)]
SyncedPortfolios = Annotated[SyncedPortfolioStub, Depends(_synced_portfolios)]
Contacts = Annotated[ContactStub, Depends(_contacts)]
Recovery = Annotated[RecoveryStub, Depends(_recovery)]
ManualPortfolios = Annotated[ManualPortfolioStub, Depends(_manual_portfolios)]
Watchlists = Annotated[WatchlistStub, Depends(_watchlists)]
Summaries = Annotated[SummaryStub, Depends(_summaries)]
