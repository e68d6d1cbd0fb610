"""Alerts' composition root: what is opened, in which order, and what health is made of."""

import asyncio
import logging
import re
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from bourse.alerts.v1.alerts_pb2_grpc import add_AlertServiceServicer_to_server
from bourse.auth.v1.contacts_pb2_grpc import ContactServiceStub
from bourse.market.v1.instruments_pb2_grpc import InstrumentServiceStub

from alerts.domain.deliveries import MailPolicy
from alerts.domain.desk import AlertDesk
from alerts.domain.expiry import ExpirySweep
from alerts.domain.explanations import Explainer
from alerts.domain.firing import Firing
from alerts.domain.history import History
from alerts.domain.ids import AlertIds
from alerts.domain.instruments import RememberedInstruments
from alerts.domain.leftovers import LeftoverSweep
from alerts.domain.progress import ProgressKeeper
from alerts.domain.shards import ShardKeeper, ShardLoader
from alerts.domain.watches import Watches
from alerts.feed.changes import Changes
from alerts.feed.mails import AT_ONCE, DURABLE, Mails, make_policy
from alerts.feed.stream import TickStream
from alerts.feed.ticks import TickFeed
from alerts.feed.users import EndedAccounts
from alerts.figures import telling_of_evaluation, telling_of_mails
from alerts.handlers.alerts import AlertService
from alerts.messages import FIRED_SUBJECT, fired_event
from alerts.providers.contacts import AuthContacts
from alerts.providers.instruments import MarketInstruments
from alerts.settings import Settings
from alerts.storage.alerts import Alerts
from alerts.storage.deliveries import Deliveries
from alerts.storage.fires import Fires
from alerts.storage.leases import Leases
from alerts.storage.leftovers import Leftovers
from alerts.storage.progress import SavedProgress
from alerts.storage.tables import OUTBOX
from alerts.storage.tick_streams import TickStreams
from bourse.auth.v1 import contacts_pb2
from bourse.market.v1 import instruments_pb2
from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import Clock, SystemClock
from chassis.database import Database, ensure_schema
from chassis.errors import DatabaseUnavailable
from chassis.event_reader import EventReader
from chassis.health import Health
from chassis.outbox import OutboxRelay
from chassis.rpc_client import open_channel
from chassis.rpc_server import serving
from chassis.tasks import running
from mail.mailers import make_mailer

log = logging.getLogger(__name__)

LAST_SAVE_SECONDS = 2.0
MANY_FIRES = 1_000
MAX_HOST_LENGTH = 40  # what names a replica is an application's name on PostgreSQL, which has 63 characters


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What runs from tick to fire."""

    watches: Watches
    changes: Changes
    firing: Firing
    progress: ProgressKeeper
    stream: TickStream
    feed: TickFeed


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[None]:
    """Open alerts and serve until the block is left; then close in reverse order.

    Raises:
        DatabaseUnavailable: the database did not answer at start.
        SchemaBehind: the schema is old and migrating at start is switched off.
        AddressInUse: the address to listen on is taken.
    """
    clock = SystemClock()
    health = Health()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        holder = _holder()
        database = await enter(Database.open(settings.database_url, application_name=holder))
        await ensure_schema(database, "alerts", migrate=settings.alerts_migrate_on_start)
        bus = await enter(Bus.open(settings, name="alerts", streams=[EVENTS, TICKS]))
        relay = await enter(OutboxRelay(database, OUTBOX, bus).running())
        evaluation = await enter(_evaluating(database, bus, relay, leases=Leases(database, holder), clock=clock))
        desk = await enter(_desk(settings, database, evaluation, clock))
        await enter(running(EndedAccounts(desk.forget_user).reader(bus).run()))
        deliveries = Deliveries(database, _mail_policy(settings), sender=settings.mail_from)
        mails = await enter(_mailing(settings, deliveries, bus, evaluation=evaluation, clock=clock))
        health.add("database", database.is_answering)
        health.add("nats", bus.is_answering, critical=False)
        health.add("matcher", partial(_is_current, evaluation.feed), critical=False)
        history = History(Fires(database, fired_event), deliveries, sender=settings.mail_from)
        health.add("mails", mails.is_following, critical=False)
        register = partial(add_AlertServiceServicer_to_server, _service(database, desk, evaluation, history))
        await enter(serving(settings.alerts_address, [register], health=health, settings=settings))
        yield


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "alerts")


def _service(database: Database, desk: AlertDesk, evaluation: _Evaluation, history: History) -> AlertService:
    fires = Fires(database, fired_event)
    explainer = Explainer(
        evaluation.watches, SavedProgress(database), fires, is_following=lambda: evaluation.feed.is_current
    )
    return AlertService(desk, history, explainer)


@asynccontextmanager
async def _evaluating(
    database: Database, bus: Bus, relay: OutboxRelay, *, leases: Leases, clock: Clock
) -> AsyncIterator[_Evaluation]:
    """Evaluate ticks until the block is left; then commit what they fired and save how far that was."""
    watches = Watches()
    alerts, saved = Alerts(database), SavedProgress(database)
    firing = Firing(watches, Fires(database, fired_event), clock, on_committed=relay.notify)
    progress = ProgressKeeper(watches, saved, clock)
    stream = TickStream(bus, TickStreams(database))
    feed = TickFeed(bus, stream, alerts, watches=watches, firing=firing, clock=clock)
    changes = Changes(bus, watches)
    keeper = ShardKeeper(
        watches,
        leases,
        ShardLoader(alerts, saved, clock),
        firing=firing,
        progress=progress,
        announcer=changes,
        follow=feed.follow,
        clock=clock,
    )
    await keeper.begin()
    await changes.listen(on_waiting=feed.notify_waiting, on_released=keeper.look)
    sweeps = ExpirySweep(watches, alerts, clock).run(), LeftoverSweep(watches, Leftovers(database), clock).run()
    works = (keeper.run(), keeper.run_settling(), feed.run(), firing.run(), progress.run(), *sweeps)
    try:
        with telling_of_evaluation(feed, watches=watches, keeper=keeper, progress=progress, clock=clock):
            async with running(*works):
                yield _Evaluation(watches, changes, firing, progress, stream, feed)
    finally:
        with suppress(TimeoutError, DatabaseUnavailable):
            async with asyncio.timeout(LAST_SAVE_SECONDS):
                await firing.commit_pending()
                await progress.save()
                await keeper.leave()


def _holder() -> str:
    """Name this life of this replica, so that operators can tell where it is."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:MAX_HOST_LENGTH]
    return f"{host}-{secrets.token_hex(8)}"


@asynccontextmanager
async def _desk(
    settings: Settings, database: Database, evaluation: _Evaluation, clock: Clock
) -> AsyncIterator[AlertDesk]:
    channel = open_channel(settings.market_address, [instruments_pb2.DESCRIPTOR], settings=settings)
    source = MarketInstruments(InstrumentServiceStub(channel))
    desk = AlertDesk(
        Alerts(database),
        RememberedInstruments(source, clock),
        evaluation.stream,
        watches=evaluation.watches,
        announcer=evaluation.changes,
        clock=clock,
        new_id=AlertIds(clock, secrets.randbits),
        max_per_user=settings.alerts_max_per_user,
        on_armed=evaluation.firing.notify,
        on_waiting=evaluation.feed.notify_waiting,
    )
    try:
        yield desk
    finally:
        await desk.finish()
        await channel.close()


def _mail_policy(settings: Settings) -> MailPolicy:
    return make_policy(
        mails_per_hour=settings.alerts_mails_per_hour,
        verified_only=settings.mail_verified_only,
        try_seconds=settings.mail_timeout_seconds + settings.rpc_deadline_seconds,
    )


@asynccontextmanager
async def _mailing(
    settings: Settings, deliveries: Deliveries, bus: Bus, *, evaluation: _Evaluation, clock: Clock
) -> AsyncIterator[EventReader]:
    """Tell of fires by mail until the block is left; then let what is being sent end."""
    channel = open_channel(settings.auth_address, [contacts_pb2.DESCRIPTOR], settings=settings)
    mails = Mails(
        deliveries,
        AuthContacts(ContactServiceStub(channel)),
        make_mailer(settings),
        policy=_mail_policy(settings),
        public_url=settings.public_url,
        clock=clock,
        is_busy=lambda: evaluation.watches.backlog > MANY_FIRES,
    )
    reader = EventReader(bus, FIRED_SUBJECT, DURABLE, mails.take, at_once=AT_ONCE)
    try:
        with telling_of_mails(mails, clock=clock):
            async with running(reader.run(), mails.run_repeats()):
                yield reader
    finally:
        await mails.finish()
        await channel.close()


async def _is_current(feed: TickFeed) -> bool:
    return feed.is_current
