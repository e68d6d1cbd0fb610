import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts.domain.accounts import LATE_REQUESTS, AccountDeleted
from alerts.domain.alerts import Alert, AlertChanged, AlertNotFound, AlertType
from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.desk import AlertDesk, TooManyAlerts, UserIdInvalid
from alerts.domain.instruments import InstrumentsUnavailable, SymbolAmbiguous, SymbolUnknown
from alerts.domain.leases import Lease, LeaseLost
from alerts.domain.matcher import Entry
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.targets import PriceInvalid
from alerts.domain.terms import ExpiryInvalid, NoteInvalid
from alerts.domain.ticks import SHARDS, shard_of
from alerts.domain.watch import Watch, entry_of
from alerts.domain.watches import Watches
from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
BUY, SELL = AlertType.BUY, AlertType.SELL


async def no_interruption() -> None:
    """Do nothing."""


@dataclass
class StoredAlerts:
    """A store of a dictionary; `before_save` runs in front of each commit, `after_save` behind it."""

    rows: dict[tuple[str, AlertType, str], Alert] = field(default_factory=dict)
    before_save: Callable[[], object] = no_interruption
    after_save: Callable[[], object] = no_interruption
    leases: list[Lease | None] = field(default_factory=list)
    lost: set[Lease] = field(default_factory=set)
    ended: dict[str, datetime] = field(default_factory=dict)

    async def find(self, user_id: str, alert_type: AlertType, instrument: str) -> Alert | None:
        return self.rows.get((user_id, alert_type, instrument))

    async def find_written(self, user_id: str, alert_type: AlertType, symbol: str) -> Alert | None:
        owned = [alert for alert in self.rows.values() if (alert.user_id, alert.type) == (user_id, alert_type)]
        return next((alert for alert in owned if symbol in (alert.symbol, alert.instrument)), None)

    async def delete(self, alert_id: int) -> Alert | None:
        deleted = self.take(lambda alert: alert.id == alert_id)
        return deleted[0] if deleted else None

    async def delete_of(self, user_id: str, alert_type: AlertType | None) -> Sequence[Alert]:
        return self.take(lambda alert: alert.user_id == user_id and alert_type in (None, alert.type))

    async def delete_user(self, user_id: str, *, through: datetime) -> Sequence[Alert]:
        self.ended[user_id] = through
        return self.take(lambda alert: alert.user_id == user_id and alert.set_at <= through)

    def take(self, is_meant: Callable[[Alert], bool]) -> Sequence[Alert]:
        taken = [key for key, alert in self.rows.items() if is_meant(alert)]
        return [self.rows.pop(key) for key in taken]

    async def expire(self, alerts: Sequence[tuple[Lease, Alert]]) -> None:
        raise NotImplementedError

    async def waiting(self, shards: Sequence[int]) -> Sequence[Alert]:
        raise NotImplementedError

    async def overdue(self, moment: datetime, *, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        yield []

    async def count(self, user_id: str) -> int:
        return sum(owner == user_id for owner, _, _ in self.rows)

    async def list_of(self, user_id: str) -> Sequence[Alert]:
        return [alert for alert in self.rows.values() if alert.user_id == user_id]

    async def save(self, alert: Alert, *, replaces: Alert | None, lease: Lease | None) -> None:
        await self.before_save()  # type: ignore[misc]
        if alert.user_id in self.ended and alert.set_at <= self.ended[alert.user_id]:
            raise AccountDeleted
        if lease in self.lost:
            raise LeaseLost
        key = (alert.user_id, alert.type, alert.instrument)
        current = self.rows.get(key)
        if (current and current.generation) != (replaces and replaces.generation):
            raise AlertChanged
        self.rows[key] = alert
        self.leases.append(lease)
        await self.after_save()  # type: ignore[misc]

    async def armed(self, shards: Sequence[int]) -> AsyncIterator[Sequence[Alert]]:
        yield list(self.rows.values())

    async def arm_waiting(
        self, lease: Lease, mark: Mark, *, at: datetime, watch: Callable[[Sequence[Alert]], None]
    ) -> Sequence[Alert]:
        raise NotImplementedError


class NasdaqOnly:
    """Takes every bare symbol for one of NASDAQ, unless it is told what to raise."""

    failure: Exception | None = None

    async def resolve(self, symbol: str) -> str:
        if self.failure is not None:
            raise self.failure
        return f"NASDAQ:{symbol.upper().removeprefix('NASDAQ:')}"


@dataclass
class Announced:
    """Remembers what was told to the other replicas."""

    changes: list[tuple[set[int], Sequence[Entry]]] = field(default_factory=list)

    async def changed(self, shards: Collection[int], forgotten: Sequence[Entry]) -> None:
        self.changes.append((set(shards), forgotten))

    async def released(self) -> None:
        raise NotImplementedError


@dataclass
class StillStream:
    """A stream that stands still; None when it cannot be asked."""

    position: Position | None

    async def latest(self) -> Position | None:
        return self.position


@dataclass
class Desk:
    """A desk with everything around it in sight."""

    store: StoredAlerts = field(default_factory=StoredAlerts)
    stream: StillStream = field(default_factory=lambda: StillStream(Position(1, 40)))
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    calls: list[str] = field(default_factory=list)
    limit: int = 3

    def __post_init__(self) -> None:
        self.watches = Watches()
        for shard in range(SHARDS):
            self.watches.add(Watch(FIRST_START, Lease(shard, 1)))
        self.announced = Announced()
        self.instruments = NasdaqOnly()
        ids = iter(range(1, 1_000))
        self.desk = AlertDesk(
            self.store,
            self.instruments,
            self.stream,
            watches=self.watches,
            announcer=self.announced,
            clock=self.clock,
            new_id=lambda: next(ids),
            max_per_user=self.limit,
            on_armed=lambda: self.calls.append("armed"),
            on_waiting=lambda: self.calls.append("waiting"),
        )

    async def set(self, price: str = "150.10", *, symbol: str = "aapl", alert_type: AlertType = BUY) -> Alert:
        return await self.desk.set_alert("7", alert_type, symbol=symbol, price=price)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_an_alert_is_saved_armed_and_watched_for(desk: Desk) -> None:
    alert = await desk.set()
    assert alert == Alert(
        1, "7", BUY, "NASDAQ:AAPL", "AAPL", Decimal("150.10"), 1, START, armed=Position(1, 40), armed_at=START
    )
    assert await desk.desk.list_alerts("7") == [alert]
    assert await desk.desk.list_alerts("8") == []
    assert desk.watches.watched == 1
    assert desk.calls == ["armed"]


async def test_the_same_type_and_instrument_is_the_same_alert_armed_again(desk: Desk) -> None:
    first = await desk.set("150", symbol="aapl")
    await desk.clock.advance(60)
    desk.stream.position = Position(1, 50)
    second = await desk.set("140", symbol="NASDAQ:AAPL")
    assert (second.id, second.generation, second.created_at) == (first.id, 2, START)
    assert (second.updated_at, second.symbol, second.armed) == (
        START + timedelta(seconds=60),
        "NASDAQ:AAPL",
        Position(1, 50),
    )
    assert desk.watches.watched == 1


async def test_buy_and_sell_are_two_alerts(desk: Desk) -> None:
    await desk.set(alert_type=BUY)
    await desk.set(alert_type=SELL)
    assert len(await desk.desk.list_alerts("7")) == 2


async def test_one_more_than_the_limit_is_refused_but_replacing_is_not(desk: Desk) -> None:
    for symbol in ("aapl", "msft", "ibm"):
        await desk.set(symbol=symbol)
    with pytest.raises(TooManyAlerts, match="3 alerts"):
        await desk.set(symbol="goog")
    assert (await desk.set("1", symbol="ibm")).generation == 2


async def test_requests_at_the_same_time_do_not_pass_the_limit(desk: Desk) -> None:
    symbols = ("aapl", "msft", "ibm", "goog", "fb")
    results = await asyncio.gather(*(desk.set(symbol=symbol) for symbol in symbols), return_exceptions=True)
    assert sum(isinstance(result, TooManyAlerts) for result in results) == 2


@pytest.mark.parametrize("user_id", ["", "a" * 256, "a\x00b", "a\nb"])
async def test_an_impossible_user_id_is_refused(desk: Desk, user_id: str) -> None:
    with pytest.raises(UserIdInvalid):
        await desk.desk.list_alerts(user_id)
    with pytest.raises(UserIdInvalid):
        await desk.desk.set_alert(user_id, BUY, symbol="AAPL", price="1")


async def test_an_impossible_price_is_refused(desk: Desk) -> None:
    with pytest.raises(PriceInvalid):
        await desk.set("NaN")
    assert desk.watches.watched == 0


async def test_while_the_stream_cannot_be_asked_an_alert_is_saved_to_be_armed_later(desk: Desk) -> None:
    await desk.set("150")
    desk.stream.position = None
    alert = await desk.set("140")
    assert alert.armed is None
    assert desk.calls == ["armed", "waiting"]
    assert desk.watches.watched == 0


async def test_an_alert_changed_by_somebody_else_is_read_again(desk: Desk) -> None:
    await desk.set("150")
    key = ("7", BUY, "NASDAQ:AAPL")

    async def somebody_else_sets_it_once() -> None:
        desk.store.before_save = no_interruption
        desk.store.rows[key] = desk.store.rows[key].set_again(symbol="AAPL", price=Decimal(1), at=START)

    desk.store.before_save = somebody_else_sets_it_once
    assert (await desk.set("140")).generation == 3


async def test_an_alert_that_others_keep_changing_is_given_up_and_not_watched_for(desk: Desk) -> None:
    async def somebody_else_is_faster() -> None:
        raise AlertChanged

    desk.store.before_save = somebody_else_is_faster
    with pytest.raises(AlertChanged):
        await desk.set()
    assert desk.watches.watched == 0


async def test_an_alert_that_may_be_committed_stays_watched_for(desk: Desk) -> None:
    async def connection_lost() -> None:
        raise DatabaseUnavailable

    desk.store.after_save = connection_lost
    with pytest.raises(DatabaseUnavailable):
        await desk.set()
    assert desk.watches.watched == 1
    watch = desk.watches.of("NASDAQ:AAPL")
    assert watch is not None
    assert watch.progress().checkpoint.resume.position == NOWHERE


async def test_an_alert_without_position_that_may_be_committed_is_to_be_armed(desk: Desk) -> None:
    async def connection_lost() -> None:
        raise DatabaseUnavailable

    desk.store.after_save = connection_lost
    desk.stream.position = None
    with pytest.raises(DatabaseUnavailable):
        await desk.set()
    assert desk.calls == ["waiting"]


async def test_a_caller_that_goes_away_does_not_stop_the_commit(desk: Desk) -> None:
    is_committing, may_commit = asyncio.Event(), asyncio.Event()

    async def commit_slowly() -> None:
        is_committing.set()
        await may_commit.wait()

    desk.store.before_save = commit_slowly
    caller = asyncio.create_task(desk.set())
    await is_committing.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    may_commit.set()
    await desk.desk.finish()
    assert len(desk.store.rows) == 1
    assert desk.calls == ["armed"]


async def test_an_alert_carries_a_note_and_an_expiry(desk: Desk) -> None:
    end = START + timedelta(hours=1)
    alert = await desk.desk.set_alert("7", BUY, symbol="aapl", price="1", note=" half ", expires_at=end)
    assert (alert.note, alert.expires_at, alert.has_expired) == ("half", end, False)
    await desk.clock.advance(3_601)
    (expired,) = await desk.desk.list_alerts("7")
    assert expired.has_expired
    assert not (await desk.set("1", symbol="aapl")).has_expired
    assert (await desk.desk.find_alert("7", BUY, symbol="AAPL")).expires_at is None


async def test_terms_that_cannot_be_are_refused_before_anything_happens(desk: Desk) -> None:
    await desk.set()
    for change in (desk.desk.set_alert, desk.desk.update_alert):
        with pytest.raises(ExpiryInvalid):
            await change("7", BUY, symbol="aapl", price="1", expires_at=START)
        with pytest.raises(NoteInvalid):
            await change("7", BUY, symbol="aapl", price="1", note="x" * 501)
    assert (await desk.desk.find_alert("7", BUY, symbol="aapl")).generation == 1


async def test_an_update_keeps_what_it_does_not_name(desk: Desk) -> None:
    end = START + timedelta(hours=1)
    await desk.desk.set_alert("7", BUY, symbol="aapl", price="1", note="half", expires_at=end)
    kept = await desk.desk.update_alert("7", BUY, symbol="NASDAQ:AAPL", price="2")
    assert (kept.generation, kept.price, kept.symbol, kept.note, kept.expires_at) == (
        2,
        Decimal(2),
        "AAPL",
        "half",
        end,
    )
    later = end + timedelta(hours=1)
    changed = await desk.desk.update_alert("7", BUY, symbol="aapl", price="3", note="", expires_at=later)
    assert (changed.note, changed.expires_at) == (None, later)
    assert desk.watches.watched == 1


async def test_an_expired_alert_is_updated_with_a_later_expiry_only(desk: Desk) -> None:
    await desk.desk.set_alert("7", BUY, symbol="aapl", price="1", expires_at=START + timedelta(seconds=1))
    await desk.clock.advance(2)
    with pytest.raises(ExpiryInvalid, match="a later moment"):
        await desk.desk.update_alert("7", BUY, symbol="aapl", price="2")
    end = START + timedelta(hours=1)
    assert (await desk.desk.update_alert("7", BUY, symbol="aapl", price="2", expires_at=end)).generation == 2


async def test_what_is_not_there_cannot_be_changed_deleted_or_found(desk: Desk) -> None:
    await desk.set(symbol="aapl", alert_type=BUY)
    for user_id, alert_type in (("7", SELL), ("8", BUY)):
        with pytest.raises(AlertNotFound):
            await desk.desk.update_alert(user_id, alert_type, symbol="aapl", price="1")
        with pytest.raises(AlertNotFound):
            await desk.desk.delete_alert(user_id, alert_type, symbol="aapl")
        with pytest.raises(AlertNotFound):
            await desk.desk.find_alert(user_id, alert_type, symbol="aapl")
    assert len(desk.store.rows) == 1


async def test_a_deleted_alert_is_gone_and_not_watched_for(desk: Desk) -> None:
    await desk.set(symbol="aapl")
    await desk.set(symbol="msft")
    deleted = await desk.desk.delete_alert("7", BUY, symbol="NASDAQ:aapl")
    assert (deleted.symbol, desk.watches.watched) == ("AAPL", 1)
    assert [alert.symbol for alert in await desk.desk.list_alerts("7")] == ["MSFT"]
    again = await desk.set(symbol="aapl")
    assert (again.generation, again.id) != (deleted.generation, deleted.id)


async def test_an_alert_that_somebody_else_deletes_at_the_moment_is_not_found(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.set()

    async def somebody_else_is_faster(alert_id: int) -> Alert | None:
        assert alert_id == 1
        return None

    monkeypatch.setattr(desk.store, "delete", somebody_else_is_faster)
    with pytest.raises(AlertNotFound):
        await desk.desk.delete_alert("7", BUY, symbol="aapl")


@pytest.mark.parametrize(("alert_type", "deleted", "left"), [(None, 3, 0), (BUY, 2, 1), (SELL, 1, 2)])
async def test_all_alerts_or_all_of_a_type_are_deleted(
    desk: Desk, alert_type: AlertType | None, deleted: int, left: int
) -> None:
    await desk.set(symbol="aapl", alert_type=BUY)
    await desk.set(symbol="msft", alert_type=BUY)
    await desk.set(symbol="aapl", alert_type=SELL)
    other = await desk.desk.set_alert("8", BUY, symbol="aapl", price="1")
    assert await desk.desk.delete_alerts("7", alert_type) == deleted
    assert desk.watches.watched == left + 1
    assert await desk.desk.list_alerts("8") == [other]
    assert await desk.desk.forget_user("8", START) == 1
    assert desk.watches.watched == left


async def test_what_is_set_in_the_name_of_an_account_that_is_gone_is_refused_and_not_watched_for(desk: Desk) -> None:
    assert await desk.desk.forget_user("7", START) == 0
    await desk.clock.advance(LATE_REQUESTS.total_seconds())
    with pytest.raises(AccountDeleted):
        await desk.set()
    assert (desk.watches.watched, await desk.desk.list_alerts("7")) == (0, [])


async def test_who_comes_back_keeps_what_is_set_since_and_it_is_watched_for(desk: Desk) -> None:
    await desk.set(symbol="msft")
    await desk.clock.advance(LATE_REQUESTS.total_seconds() + 1)
    kept = await desk.set(symbol="aapl")
    assert await desk.desk.forget_user("7", START) == 1
    assert await desk.desk.list_alerts("7") == [kept]
    watch = desk.watches.of("NASDAQ:AAPL")
    assert watch is not None
    assert (desk.watches.watched, watch.watched) == (1, 1)
    assert await desk.desk.forget_user("7", START) == 0
    assert desk.watches.watched == 1


async def test_an_end_in_the_future_takes_nothing_of_later_along(desk: Desk) -> None:
    await desk.desk.forget_user("7", START + timedelta(days=1))
    assert desk.store.ended == {"7": START + LATE_REQUESTS}


async def test_an_alert_is_found_by_the_symbol_it_is_kept_under_when_nobody_knows_that_any_more(desk: Desk) -> None:
    await desk.set(symbol="aapl")
    for failure in (SymbolUnknown("?"), SymbolAmbiguous("?"), InstrumentsUnavailable()):
        desk.instruments.failure = failure
        for written in ("aapl", "nasdaq:aapl"):
            assert (await desk.desk.find_alert("7", BUY, symbol=written)).instrument == "NASDAQ:AAPL"
    with pytest.raises(InstrumentsUnavailable):
        await desk.desk.find_alert("7", BUY, symbol="msft")
    desk.instruments.failure = SymbolUnknown("?")
    with pytest.raises(AlertNotFound):
        await desk.desk.find_alert("7", BUY, symbol="msft")


AAPL_SHARD = shard_of("NASDAQ:AAPL")


@pytest.fixture
def elsewhere(desk: Desk) -> Desk:
    """A desk of a replica that does not hold the shard of AAPL."""
    watch = desk.watches.of_shard(AAPL_SHARD)
    assert watch is not None
    desk.watches.drop(watch)
    return desk


async def test_an_alert_of_a_shard_held_elsewhere_is_handed_over_with_its_position(elsewhere: Desk) -> None:
    alert = await elsewhere.set()
    assert (alert.armed, alert.armed_at) == (Position(1, 40), START)
    assert elsewhere.store.leases == [None]
    assert elsewhere.announced.changes == [({AAPL_SHARD}, [])]
    assert (elsewhere.calls, elsewhere.watches.watched) == ([], 0)


async def test_what_is_replaced_or_deleted_is_forgotten_elsewhere(elsewhere: Desk) -> None:
    first = await elsewhere.set("150")
    second = await elsewhere.set("140")
    await elsewhere.desk.delete_alert("7", BUY, symbol="aapl")
    assert elsewhere.announced.changes[1:] == [({AAPL_SHARD}, [entry_of(first)]), (set(), [entry_of(second)])]
    await elsewhere.set("130", symbol="msft")
    assert await elsewhere.desk.delete_alerts("7", None) == 1
    assert len(elsewhere.announced.changes) == 3


async def test_what_may_not_be_replaced_is_not_forgotten_elsewhere(elsewhere: Desk) -> None:
    async def connection_lost() -> None:
        raise DatabaseUnavailable

    await elsewhere.set("150")
    elsewhere.store.before_save = connection_lost
    with pytest.raises(DatabaseUnavailable):
        await elsewhere.set("140")
    assert elsewhere.announced.changes == [({AAPL_SHARD}, []), ({AAPL_SHARD}, [])]


async def test_an_alert_whose_lease_is_lost_while_it_is_set_is_handed_over_and_not_watched_for(desk: Desk) -> None:
    desk.store.lost = {Lease(AAPL_SHARD, 1)}
    alert = await desk.set()
    assert alert.armed == Position(1, 40)
    assert desk.store.leases == [None]
    assert desk.watches.watched == 0
    # Whether it is held here again by then is not known: it is looked for.
    assert desk.calls == ["waiting"]


async def test_a_replica_without_shards_does_not_know_the_time_of_the_ticks(desk: Desk) -> None:
    for watch in desk.watches:
        desk.watches.drop(watch)
    alert = await desk.set()
    assert (alert.armed, alert.armed_at) == (Position(1, 40), None)
