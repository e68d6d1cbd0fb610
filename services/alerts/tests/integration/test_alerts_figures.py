"""What alerts counts moves when the thing happens, and is what the README says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import grpc
import nats as nats_client
import pytest
from pydantic import SecretStr

from alerts.app import build
from alerts.domain.alerts import Alert, AlertType, FiringPrice, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.continuity import NotEvaluated, Reason
from alerts.domain.deliveries import GIVE_UP_AFTER, DeliveryReason, FireId, MailPolicy, MailTry, Outcome, WaitingMails
from alerts.domain.leases import Lease
from alerts.domain.positions import Position
from alerts.domain.ticks import SHARDS, shard_of
from alerts.domain.watch import Candidate
from alerts.messages import fired_event
from alerts.settings import Settings
from alerts.storage.alerts import Alerts
from alerts.storage.deliveries import Deliveries
from alerts.storage.fires import Fires
from alerts.storage.leases import Leases
from alerts.storage.progress import SavedProgress
from alerts.testing import SmallAuth, SmallMarket, TickPublisher
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from chassis.database import Database, ensure_schema
from chassis.metrics import value_of
from chassis.testing import NatsServer, free_port, promised_metrics, told_metrics

README = Path(__file__).parents[2] / "README.md"
START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
AAPL = "NASDAQ:AAPL"
LEASE = Lease(shard_of(AAPL), 1)
PATIENCE_SECONDS = 30.0


def count_of(name: str, **labels: str) -> float:
    return value_of(name, labels) or 0.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "alerts")
        yield opened


@pytest.fixture
async def alerts(database: Database) -> Alerts:
    await Leases(database, "replica-1").renew()
    return Alerts(database)


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    policy = MailPolicy(100, verified_only=False, lease=timedelta(minutes=1))
    return Deliveries(database, policy, sender="bourse@example.com")


async def armed(alerts: Alerts, alert_id: int, *, expires_at: datetime | None = None) -> Candidate:
    """Save an alert and return a tick that reaches it a second behind `START`."""
    alert = Alert(alert_id, str(alert_id), AlertType.BUY, AAPL, "AAPL", Decimal(150), 1, START)
    alert = replace(alert, armed=Position(1, 40)).with_terms(note=None, expires_at=expires_at)
    await alerts.save(alert, replaces=None, lease=LEASE)
    return Candidate(
        alert_id=alert_id,
        generation=1,
        price=FiringPrice(START + timedelta(seconds=1), 149.0, source="sample", freshness=Freshness.SIMULATED),
        publisher_id="feed-1",
        epoch=1,
        shard=LEASE.shard,
        sequence=9,
        position=Position(1, 41),
        mark=Mark(Position(1, 40), START),
        lease=LEASE,
    )


@pytest.fixture
async def mail(alerts: Alerts, database: Database, deliveries: Deliveries) -> MailTry:
    """Return the mail of a fire, taken to be tried."""
    await Fires(database, fired_event).fire([await armed(alerts, 1)], committed_at=START)
    mail = await deliveries.begin(FireId(1, 1), told_at=START, now=START)
    assert mail is not None
    return mail


async def test_a_fire_is_counted_once_with_the_time_it_took(alerts: Alerts, database: Database) -> None:
    fires = Fires(database, fired_event)
    candidates = [
        await armed(alerts, 1),
        await armed(alerts, 2),
        replace(await armed(alerts, 3), crossed_during_gap=True),
    ]
    in_time, in_gap = (count_of("bourse_alerts_fired_total", crossed_during_gap=each) for each in ("no", "yes"))
    took, seconds = count_of("bourse_alerts_fire_seconds_count"), count_of("bourse_alerts_fire_seconds_sum")
    for _ in range(2):
        await fires.fire(candidates, committed_at=START + timedelta(seconds=3))
    assert count_of("bourse_alerts_fired_total", crossed_during_gap="no") == in_time + 2
    assert count_of("bourse_alerts_fired_total", crossed_during_gap="yes") == in_gap + 1
    assert count_of("bourse_alerts_fire_seconds_count") == took + 2
    # Two seconds each from the tick to the beginning of the transaction, and that.
    assert count_of("bourse_alerts_fire_seconds_sum") > seconds + 4


async def test_a_tick_of_a_clock_that_is_ahead_took_no_time(alerts: Alerts, database: Database) -> None:
    seconds = count_of("bourse_alerts_fire_seconds_sum")
    await Fires(database, fired_event).fire([await armed(alerts, 1)], committed_at=START - timedelta(days=1))
    assert count_of("bourse_alerts_fire_seconds_sum") == seconds


async def test_alerts_that_expire_are_counted_by_what_found_them(alerts: Alerts, database: Database) -> None:
    swept, reached = (count_of("bourse_alerts_expired_total", found_by=each) for each in ("sweep", "tick"))
    late = await armed(alerts, 1, expires_at=START)
    await Fires(database, fired_event).fire([late], committed_at=START)
    await armed(alerts, 2, expires_at=START)
    (alert,) = await alerts.list_of("2")
    await alerts.expire([(LEASE, alert), (Lease(LEASE.shard, 9), alert)])
    assert count_of("bourse_alerts_expired_total", found_by="tick") == reached + 1
    assert count_of("bourse_alerts_expired_total", found_by="sweep") == swept + 1


async def test_what_was_not_evaluated_is_counted_when_it_is_recorded(alerts: Alerts, database: Database) -> None:
    saved = SavedProgress(database)
    await saved.load(range(SHARDS), now=START)
    jumps = count_of("bourse_alerts_not_evaluated_total", reason="sequence_jump")
    unarmed = count_of("bourse_alerts_not_evaluated_total", reason="not_armed")
    checkpoint = Checkpoint(began_at=START, resume=Mark(Position(1, 1), START), evaluated=Position(1, 1), seen=())
    missing = NotEvaluated(Reason.SEQUENCE_JUMP, START, START, LEASE.shard)
    ours, lost = (Progress(Lease(LEASE.shard, fence), checkpoint, (missing,)) for fence in (1, 9))
    await saved.save([ours])
    await saved.save([lost])
    waiting = Alert(1, "7", AlertType.BUY, AAPL, "AAPL", Decimal(150), 1, START)
    await alerts.save(waiting, replaces=None, lease=None)
    for _ in range(2):
        await alerts.arm_waiting(LEASE, Mark(Position(1, 1), START), at=START, watch=lambda _: None)
    assert count_of("bourse_alerts_not_evaluated_total", reason="sequence_jump") == jumps + 1
    assert count_of("bourse_alerts_not_evaluated_total", reason="not_armed") == unarmed + 1


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        (Outcome.sent(START), "sent"),
        (Outcome.later(1, now=START), "later"),
        (Outcome.failed(DeliveryReason.REFUSED), "refused"),
        (Outcome.skipped(DeliveryReason.TOO_MANY), "too_many"),
    ],
)
async def test_a_mail_is_counted_by_what_became_of_it(
    mail: MailTry, deliveries: Deliveries, outcome: Outcome, label: str
) -> None:
    before = count_of("bourse_alerts_mails_total", outcome=label)
    await deliveries.settle(mail, outcome)
    assert count_of("bourse_alerts_mails_total", outcome=label) == before + 1
    await deliveries.settle(replace(mail, attempts=7), outcome)
    assert count_of("bourse_alerts_mails_total", outcome=label) == before + 1


async def test_mails_that_are_held_back_or_given_up_are_counted(
    alerts: Alerts, database: Database, deliveries: Deliveries
) -> None:
    fires = Fires(database, fired_event)
    held_back = count_of("bourse_alerts_mails_total", outcome="held_back")
    given_up = count_of("bourse_alerts_mails_total", outcome="undeliverable")
    (fired,) = await fires.fire([await armed(alerts, 1)], committed_at=START)
    fire_id = FireId(fired.id, 1)
    assert await deliveries.count_waiting() == WaitingMails(0, None)
    for _ in range(2):
        await deliveries.postpone(fire_id, told_at=START, due_at=START)
    assert await deliveries.count_waiting() == WaitingMails(1, START)
    for _ in range(2):
        assert await deliveries.claim(fire_id, now=START + GIVE_UP_AFTER + timedelta(seconds=1)) is None
    assert await deliveries.count_waiting() == WaitingMails(0, None)
    assert count_of("bourse_alerts_mails_total", outcome="held_back") == held_back + 1
    assert count_of("bourse_alerts_mails_total", outcome="undeliverable") == given_up + 1


@pytest.fixture
def settings(tmp_path: Path, nats: NatsServer) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=nats.url,
        alerts_database_url=SecretStr(f"sqlite+aiosqlite:///{tmp_path / 'alerts.sqlite3'}"),
        alerts_address=f"127.0.0.1:{free_port()}",
        auth_address=f"127.0.0.1:{free_port()}",
        market_address=f"127.0.0.1:{free_port()}",
    )


async def until(name: str, is_reached: Callable[[float | None], bool], **labels: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_reached(value_of(name, labels)):
            await asyncio.sleep(0.02)


async def test_the_readme_names_what_a_running_service_tells_and_it_moves(settings: Settings) -> None:
    market, auth = SmallMarket.serving(settings.market_address), SmallAuth().serving(settings.auth_address)
    sent = count_of("bourse_alerts_mails_total", outcome="sent")
    async with market, auth, build(settings), grpc.aio.insecure_channel(settings.alerts_address) as channel:
        assert told_metrics("bourse_alerts_") == promised_metrics(README)
        await until("bourse_alerts_stream_lag_batches", lambda lag: lag == 0)
        await until("bourse_alerts_shards_held", lambda shards: shards == SHARDS)
        assert count_of("bourse_alerts_shard_changes_total", change="taken") == SHARDS
        stub = alerts_pb2_grpc.AlertServiceStub(channel)
        for price in ("150", "10"):
            request = alerts_pb2.SetAlertRequest(
                user_id=price, type=alerts_pb2.ALERT_TYPE_BUY, symbol="AAPL", price=price
            )
            await stub.SetAlert(request, timeout=5, wait_for_ready=True)
        assert value_of("bourse_alerts_watched") == 2
        client = await nats_client.connect(settings.nats_url.get_secret_value())
        await TickPublisher(client, epoch=1).publish(AAPL, 151.0, 149.0, at=START)
        await client.publish("ticks.9", b"\xff")
        await client.close()
        await until("bourse_alerts_batches_total", lambda batches: batches == 1, outcome="unreadable")
        assert count_of("bourse_alerts_batches_total", outcome="evaluated") == 1
        assert value_of("bourse_alerts_ticks_total") == 2
        assert value_of("bourse_alerts_watched") == 1
        # Shards that have had no tick follow within a second.
        await until("bourse_alerts_evaluated_age_seconds", lambda age: age is not None and age > 3_600)
        await until("bourse_alerts_mails_total", lambda mails: mails == sent + 1, outcome="sent")
        await until("bourse_alerts_fires_pending", lambda fires: fires == 0)
        assert (value_of("bourse_alerts_checkpoint_age_seconds") or 0.0) < PATIENCE_SECONDS
        assert value_of("bourse_alerts_mails_held_back") == 0
    assert value_of("bourse_alerts_watched") is None
