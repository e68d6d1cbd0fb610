"""Replicas of alerts on a NATS and a database of their own, ended at fault points while prices take their course."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Self

import asyncpg
import grpc
import nats
import nats.errors
import nats.js.errors
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client

from alerts.feed.stream import Probation
from alerts.testing import SmallAuth, SmallMarket
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from chassis.bus import addresses_in, speaks_for_all
from chassis.database import Database, ensure_schema
from chassis.errors import DatabaseUnavailable
from chassis.testing import NatsServer, free_port, nats_server, stop_process
from harness.alert_oracle import Batch, Death, HeldBatch, Oracle, Place, Records, Verdict, held_batches
from harness.alert_oracle_course import INSTRUMENTS, INSTRUMENTS_PER_SHARD, Course, Feed, lay, seed_rows, shard_of
from harness.alert_oracle_records import Tables, read_stream
from harness.clients import fired_events
from harness.nats_cluster import NatsCluster
from upstreams.smtp import Offers, RunningSmtp, smtp_server

TESTS = Path(__file__).parents[1]
START_SECONDS = 40.0
SETTLE_SECONDS = 60.0
LAST_PRICES_SECONDS = 10.0
MOST_UNHELD_SLICES = 20
MAILS_SECONDS = 900.0
DOWN_SECONDS = 0.3
SET_SECONDS = 5.0
SETTERS = 3
TYPES = {"buy": alerts_pb2.ALERT_TYPE_BUY, "sell": alerts_pb2.ALERT_TYPE_SELL}
# One in so many users wants mail: to write letters takes longer than all else.
WRITTEN_TO, MOST_USERS = 10, 1_000
# A mail whose sender has died is tried again when the time that a try may take is over.
MAILS = {"MAIL_TIMEOUT_SECONDS": "1", "RPC_DEADLINE_SECONDS": "2", "ALERTS_MAILS_PER_HOUR": "10000"}
CHANNEL_OPTIONS = [("grpc.max_reconnect_backoff_ms", 300), ("grpc.initial_reconnect_backoff_ms", 50)]

Standing = tuple[datetime, int] | None

PROCESS, NATS, DATABASE, BOTH = "process", "nats", "database", "process_and_nats"
STOPPED = "stopped_process"
NODE = "node_of_a_cluster"
# Longer than a lease, so that somebody else has the shards when a stopped process goes on.
STOPPED_SECONDS = 9.0
# Longer than clients need to notice, and servers to choose another leader.
CUT_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run of the matrix.

    Attributes:
        point: where somebody dies.
        victim: who does: the process that has come to the point; NATS; the database's connections; or the process, and
            NATS before it is back; or nobody, when the process only stops for longer than its leases. Of a cluster, the
            server that leads a stream is cut off, once for each passage.
        replicas: how many processes there are.
        crossings: at least so many alerts are reached.
        slices: how often each instrument has a price.
        slice_seconds: the time between two.
        passages: at which passages of the point, since the last death.
        disorder: which part of the batches comes late, and which part twice.
    """

    point: str
    victim: str = PROCESS
    replicas: int = 1
    crossings: int = 2_000
    slices: int = 100
    slice_seconds: float = 0.03
    passages: Sequence[int] = (1, 2)
    disorder: float = 0.03

    @property
    def has_mails(self) -> bool:
        """Say whether owners are told by mail; else nobody knows where to write to."""
        return self.point.startswith("mail ")


@dataclass(slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        deaths: how often somebody died at the point.
        acknowledged: how many alerts were set meanwhile.
        intervals: how many were recorded, by reason.
        events: how often each arming was told of.
        told: the armings that have fired, which are those to be told of.
        lost: alerts that were acknowledged and are not there.
        misplaced: alerts that are armed in front of where the stream stood when they were asked for, or behind ticks
            that came after they were acknowledged and lie in no recorded interval.
        untold: fires that somebody who wanted mail has got none of.
        told_too_much: mails of one id that differ, or that nobody wanted.
        mails: how many came, those that came twice included.
    """

    verdict: Verdict
    deaths: int
    acknowledged: int
    intervals: Counter[str] = field(default_factory=Counter)
    events: Counter[tuple[int, int]] = field(default_factory=Counter)
    told: set[tuple[int, int]] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    misplaced: list[str] = field(default_factory=list)
    untold: set[str] = field(default_factory=set)
    told_too_much: set[str] = field(default_factory=set)
    mails: int = 0

    def require_exactness(self, scenario: Scenario) -> None:
        """Require that just what had to fired, and was told of, once, and that all that was acknowledged is there."""
        assert not self.verdict.problems, "\n".join(self.verdict.problems)
        assert not self.lost, "acknowledged alerts are gone"
        assert not self.misplaced, "\n".join(self.misplaced)
        assert self.events == Counter(self.told), "not every fire was told of once"
        assert not self.untold, "a fire was not told by mail"
        assert not self.told_too_much, "mails of one fire differ, or nobody wanted them"
        assert self.verdict.crossings >= scenario.crossings * 9 // 10, "prices did not reach the alerts"
        assert self.deaths, f"{scenario.point!r} was never passed"

    def __str__(self) -> str:
        verdict = self.verdict
        return (
            f"{self.deaths} deaths, {verdict.crossings} crossings, {verdict.fired} fired there,"
            f" {verdict.excused} excused ({len(verdict.passed_over)} late batches), {self.acknowledged} set meanwhile,"
            f" {sum(self.events.values())} events, {self.mails} mails, intervals {dict(self.intervals)}"
        )


class Replica:
    """One process of alerts, which is started again, with the next of its faults, when it has died."""

    def __init__(self, number: int, environment: dict[str, str], folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = {**environment, "ALERTS_ADDRESS": self.address}
        self._log = folder / f"alerts-{number}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, fault: Sequence[str] = ()) -> None:
        launcher = ["harness.fault_points", *fault, "--"] if fault else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *launcher, "alerts"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        if self._process is not None:
            stop_process(self._process)

    async def is_evaluating(self) -> bool:
        async with grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS) as channel:
            request = health_pb2.HealthCheckRequest(service="matcher")
            with suppress(grpc.aio.AioRpcError):
                answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=2)
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False


class Post:
    """Where owners are written to, and what has come there."""

    def __init__(self, auth: SmallAuth, smtp: RunningSmtp | None, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._auth = auth
        self._smtp = smtp

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, *, is_there: bool) -> AsyncIterator[Self]:
        """Run a mail server, and somebody who knows addresses; of neither anything when it is not there."""
        auth, address = SmallAuth(), f"127.0.0.1:{free_port()}"
        auth.unsubscribed = {f"user-{rank}" for rank in range(MOST_USERS) if rank % WRITTEN_TO}
        if not is_there:
            yield cls(auth, None, {"AUTH_ADDRESS": address})
            return
        with smtp_server(folder, Offers.NOTHING, asks_for_password=False) as smtp:
            async with auth.serving(address):
                yield cls(auth, smtp, {"AUTH_ADDRESS": address, "SMTP_URL": smtp.url, **MAILS})

    @property
    def is_there(self) -> bool:
        return self._smtp is not None

    def letters(self) -> dict[str, list[bytes]]:
        """Return what has come, by message id."""
        found: defaultdict[str, list[bytes]] = defaultdict(list)
        for letter in [] if self._smtp is None else list(self._smtp.letters):
            message_id = letter.message["Message-ID"].strip("<>").partition("@")[0]
            found[message_id].append(letter.content)
        return found

    def wants(self, user_id: str) -> bool:
        return user_id not in self._auth.unsubscribed


class Stand:
    """What a scenario needs, and what is seen of it."""

    def __init__(
        self, scenario: Scenario, server: NatsServer | NatsCluster, client: Client, *, tables: Tables, post: Post
    ) -> None:
        self.scenario = scenario
        self.tables = tables
        self.post = post
        self.replicas: list[Replica] = []
        self.chance = random.Random(scenario.point)
        self.feed = Feed(client, self.chance, disorder=scenario.disorder)
        self.course = Course(scenario.slices, self.chance)
        self.acknowledged: dict[int, tuple[Standing, Standing]] = {}
        self._server = server
        self._client = client
        self._lives: list[tuple[datetime, list[tuple[int, Batch]]]] = []
        self._deaths_of_nats: list[tuple[datetime, datetime]] = []
        self._passages = list(scenario.passages)
        self._strikes = 0
        self._port = 0
        self._database_address = ""
        self._striking = asyncio.Lock()
        self._setters = 0
        self._probation = Probation()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, scenario: Scenario, database_url: str, folder: Path, *, server: NatsCluster | None = None
    ) -> AsyncIterator[Self]:
        """Prepare a database with alerts, and run a market, and NATS unless it is given; no replica runs yet."""
        async with AsyncExitStack() as outer:
            bus = server or outer.enter_context(nats_server(folder))
            client = await outer.enter_async_context(_connected(bus.url))
            async with AsyncExitStack() as stack:
                database = await stack.enter_async_context(Database.open(database_url))
                await ensure_schema(database, "alerts")
                market = f"127.0.0.1:{free_port()}"
                await stack.enter_async_context(SmallMarket.serving(market))
                post = await stack.enter_async_context(Post.open(folder, is_there=scenario.has_mails))
                stand = cls(scenario, bus, client, tables=Tables(database), post=post)
                stand._database_address = database_url
                await stand._seed()
                addresses = {"NATS_URL": bus.url, "ALERTS_DATABASE_URL": database_url, "MARKET_ADDRESS": market}
                environment = _environment(folder, {**addresses, **post.environment})
                stand.replicas = [Replica(each, environment, folder) for each in range(scenario.replicas)]
                stack.enter_context(stand._ending())
                yield stand

    async def run(self) -> Outcome:
        """Let prices take their course while somebody dies, and judge it once all is quiet."""
        async with self._controlled(), self._attended():
            await self._evaluating()
            setters = (self._set_now_and_then() for _ in range(SETTERS))
            await asyncio.gather(self._publish(), self._cut_leaders_off(), *setters)
            # What a fault has not struck yet is not waited for any longer.
            self._passages.clear()
            return await self._settle()

    async def _seed(self) -> None:
        laid = lay(self.scenario.crossings + self.scenario.crossings // 20)
        await self.tables.insert("alerts", seed_rows(laid, datetime.now(UTC)))

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            for replica in self.replicas:
                replica.stop()

    @asynccontextmanager
    async def _controlled(self) -> AsyncIterator[None]:
        """Be asked by processes that have come to their point; who dies there by itself asks nobody."""
        if self.scenario.victim in (PROCESS, BOTH):
            yield
            return
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    @asynccontextmanager
    async def _attended(self) -> AsyncIterator[None]:
        for replica in self.replicas:
            replica.start(self._next_fault())
        attending = [asyncio.create_task(self._attend(replica)) for replica in self.replicas]
        try:
            yield
        finally:
            for task in attending:
                task.cancel()
            ended = await asyncio.gather(*attending, return_exceptions=True)
            for each in ended:
                if isinstance(each, AssertionError):
                    raise each

    def _next_fault(self) -> list[str]:
        """Return the next process's fault; one that asks is answered again and again, at its first passages' pace."""
        if not self._passages or self.scenario.victim == NODE:
            return []
        passage = self._passages[0] if self._port else self._passages.pop(0)
        return [self.scenario.point, str(passage), str(self._port)]

    async def _attend(self, replica: Replica) -> None:
        """Start a process again, a moment after it has died."""
        while True:
            code = replica.exit_code
            if code is not None:
                assert code in self._ways_to_end, f"alerts ended with {code}:\n{replica.log[-4000:]}"
                self._strikes += self.scenario.victim in (PROCESS, BOTH)
                await asyncio.sleep(DOWN_SECONDS)
                if self.scenario.victim == BOTH:
                    await self._kill_nats()
                    await asyncio.to_thread(self._server.start)
                replica.start(self._next_fault())
            await asyncio.sleep(0.02)

    @property
    def _ways_to_end(self) -> tuple[int, ...]:
        # A process whose database is away when it starts says so and ends; to one that was stopped it may be.
        return (-signal.SIGKILL, 1) if self.scenario.victim in (DATABASE, STOPPED) else (-signal.SIGKILL,)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        async with self._striking:
            # Who asks may have to make the stream first, whose server is to be killed.
            is_wanted = bool(self._passages) and (self.scenario.victim != NATS or await self._has_stream())
            if is_wanted:
                self._passages.pop(0)
                await self._strike()
                self._strikes += 1
            writer.write(b"!")
            writer.close()
            if is_wanted and self.scenario.victim == NATS:
                await asyncio.sleep(DOWN_SECONDS)
                await asyncio.to_thread(self._server.start)

    async def _has_stream(self) -> bool:
        """Say whether there is a stream of ticks, which alerts make."""
        try:
            await self._client.jetstream(timeout=2).stream_info("TICKS")
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
            return False
        return True

    async def _strike(self) -> None:
        match self.scenario.victim:
            case "nats":
                await self._kill_nats()
            case "database":
                await self._kill_database()
            case _:
                await asyncio.sleep(STOPPED_SECONDS)

    async def _cut_leaders_off(self) -> None:
        """Cut off who leads the one stream, then who leads the other, each until it has caught up again."""
        if not isinstance(self._server, NatsCluster):
            return
        for _, stream in zip(self.scenario.passages, itertools.cycle(("TICKS", "EVENTS")), strict=False):
            node = int((await self._leader_of(stream)).rpartition("-")[2])
            await asyncio.to_thread(self._server.cut, node)
            await asyncio.sleep(CUT_SECONDS)
            await asyncio.to_thread(self._server.heal, node)
            assert self._setters >= 0, "prices had come to their end before the cut"
            self._strikes += 1
            for each in ("TICKS", "EVENTS"):
                await self._leader_of(each)

    async def _leader_of(self, name: str) -> str:
        """Return who leads a stream, once all its copies are whole."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
                cluster = (await self._client.jetstream(timeout=2).stream_info(name)).cluster
                if cluster is not None and cluster.leader and all(each.current for each in cluster.replicas or ()):
                    return cluster.leader
            assert time.monotonic() < deadline, f"the copies of {name} do not become whole"
            await asyncio.sleep(0.2)

    async def _kill_nats(self) -> None:
        """Read what the stream of ticks holds, which nobody adds to meanwhile, and end its server."""
        async with self.feed.pause:
            # Whose process has died as well may not have made the stream again yet: then nothing is lost.
            with suppress(nats.js.errors.NotFoundError):
                created_at, held = await read_stream(self._client)
                self._deaths_of_nats.append((created_at, await self.tables.evaluated_at()))
                self._lives.append((created_at, held))
            assert isinstance(self._server, NatsServer)
            await asyncio.to_thread(self._server.kill)
            # Nothing is published into a connection that is not known to be dead yet.
            while self._client.is_connected:
                await asyncio.sleep(0.01)

    async def _read_stream(self) -> tuple[datetime, list[tuple[int, Batch]]]:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return await read_stream(self._client)
            except nats.js.errors.NotFoundError:
                assert time.monotonic() < deadline, "nobody made the stream of ticks"
                await asyncio.sleep(0.1)

    async def _kill_database(self) -> None:
        """Kill the processes that serve this database's connections; PostgreSQL ends all others and recovers."""
        connection = await asyncpg.connect(
            self._database_address.replace("postgresql+asyncpg", "postgresql"), timeout=5
        )
        try:
            rows = await connection.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            for row in rows:
                with suppress(ProcessLookupError):
                    os.kill(row["pid"], signal.SIGKILL)
        finally:
            connection.terminate()

    async def _evaluating(self) -> None:
        """Wait until a replica evaluates ticks, or one was so far that it died."""
        deadline = time.monotonic() + START_SECONDS
        while not self._strikes and not all([await replica.is_evaluating() for replica in self.replicas]):
            assert time.monotonic() < deadline, self.replicas[0].log[-4000:]
            await asyncio.sleep(0.05)
        # What is sent before there ever was a stream is nobody's loss.
        while not await self._has_stream():
            assert time.monotonic() < deadline, self.replicas[0].log[-4000:]
            await asyncio.sleep(0.05)

    async def _publish(self) -> None:
        unheld = 0
        for number in range(self.scenario.slices):
            unheld = 0 if await self._standing() else unheld + 1
            if unheld > MOST_UNHELD_SLICES:
                await self._until_held()
            await self.feed.publish(self.course.prices(number))
            await asyncio.sleep(self.scenario.slice_seconds)
        self._setters = -1

    async def _until_held(self) -> None:
        """Wait until there is a stream that keeps prices: how long a start takes must not decide what is reached."""
        deadline = time.monotonic() + START_SECONDS
        while await self._standing() is None:
            assert time.monotonic() < deadline, "nobody made the stream of ticks"
            await asyncio.sleep(0.05)

    async def _set_now_and_then(self) -> None:
        """Set alerts near the price, some of which are true already, as long as prices move."""
        while self._setters >= 0:
            self._setters += 1
            instrument = self.chance.choice(INSTRUMENTS)
            kind = self.chance.choice(("buy", "sell"))
            price = self.course.latest[instrument] + Decimal(self.chance.randint(-3_000, 3_000)) / 100
            await self._set(f"late-{self._setters}", kind, instrument, price)
            await asyncio.sleep(self.scenario.slice_seconds / 2)

    async def _set(self, user_id: str, kind: str, instrument: str, price: Decimal) -> int | None:
        """Set an alert at any replica; None when it was not acknowledged, whether or not it is set."""
        request = alerts_pb2.SetAlertRequest(user_id=user_id, type=TYPES[kind], symbol=instrument, price=f"{price:f}")
        replica = self.chance.choice(self.replicas)
        before = await self._standing()
        async with grpc.aio.insecure_channel(replica.address, options=CHANNEL_OPTIONS) as channel:
            try:
                answer = await alerts_pb2_grpc.AlertServiceStub(channel).SetAlert(request, timeout=SET_SECONDS)
            except grpc.aio.AioRpcError:
                return None
        self.acknowledged[int(answer.alert.id)] = before, await self._standing()
        return int(answer.alert.id)

    async def _standing(self) -> Standing:
        """Say which life of the stream there is now and how far it is; None when that cannot be known."""
        try:
            stream = await self._client.jetstream(timeout=1).stream_info("TICKS")
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
            return None
        leader = stream.cluster.leader if stream.cluster is not None and stream.cluster.replicas else None
        if not speaks_for_all(stream.cluster):
            self._probation.fail()
            return None
        if leader is not None and not self._probation.is_over(leader):
            return None
        return None if stream.created is None else (stream.created, stream.state.last_seq)

    async def _settle(self) -> Outcome:
        """Wait until an alert of each shard, set behind everything, has fired and been told of; then judge."""
        witnesses = [await self._set_witness(shard) for shard in range(len(INSTRUMENTS) // INSTRUMENTS_PER_SHARD)]
        deadline = time.monotonic() + (MAILS_SECONDS if self.post.is_there else SETTLE_SECONDS)
        again_at = 0.0
        while True:
            # A witness that was set while the stream could not be asked is armed behind the prices of that moment.
            if time.monotonic() > again_at:
                await self.feed.finish(dict(self.course.latest))
                again_at = time.monotonic() + LAST_PRICES_SECONDS
            outcome = await self._look(set(witnesses))
            if outcome is not None and (not outcome.verdict.problems or time.monotonic() > deadline):
                return outcome
            assert time.monotonic() < deadline, (
                f"not all fired; {self._strikes} strikes\n{self.replicas[0].log[-3000:]}"
            )
            await asyncio.sleep(0.5)

    async def _set_witness(self, shard: int) -> int:
        deadline = time.monotonic() + SETTLE_SECONDS
        number = 0
        while True:
            number += 1
            instrument = INSTRUMENTS[shard * INSTRUMENTS_PER_SHARD]
            alert_id = await self._set(f"witness-{shard}-{number}", "sell", instrument, Decimal("0.01"))
            if alert_id is not None:
                return alert_id
            assert time.monotonic() < deadline, f"nothing can be set\n{self.replicas[0].log[-3000:]}"
            await asyncio.sleep(0.1)

    async def _look(self, witnesses: set[int]) -> Outcome | None:
        """Judge what there is now; None while a witness has not fired or something waits to be told."""
        try:
            if await self._is_busy(witnesses):
                return None
            return await self._judge(await self.tables.records())
        except DatabaseUnavailable:
            return None

    async def _is_busy(self, witnesses: set[int]) -> bool:
        """Say whether something still has to fire or to be told, by event or by mail; to be asked often, it counts."""
        ids = ", ".join(map(str, witnesses))
        if await self.tables.count(f"fires WHERE alert_id IN ({ids})") < len(witnesses):
            return True
        if await self.tables.count("outbox"):
            return True
        settled = "deliveries WHERE channel = 'email' AND state <> 'waiting'"
        return self.post.is_there and await self.tables.count(settled) < await self.tables.count("fires")

    async def _judge(self, records: Records) -> Outcome:
        ordinals = await self.tables.ordinals()
        lives = [*self._lives, await self._read_stream()]
        held = held_batches(
            [(Place(ordinals.get(created_at, 0), sequence), batch) for sequence, batch in life]
            for created_at, life in lives
        )
        deaths = [Death(ordinals.get(created_at, 0), at) for created_at, at in self._deaths_of_nats]
        verdict = Oracle(self.feed.sent, held, deaths).judge(records)
        events = await fired_events(self._client)
        letters = self.post.letters()
        owners = await self.tables.rows("SELECT alert_id, generation, user_id FROM fires")
        wanted = {f"alert-{row.alert_id}-{row.generation}" for row in owners if self.post.wants(row.user_id)}
        return Outcome(
            verdict=verdict,
            deaths=self._strikes,
            acknowledged=len(self.acknowledged),
            intervals=Counter(interval.reason for interval in records.intervals),
            events=Counter((int(event.alert.id), event.alert.generation) for event in events),
            told={(fire.alert_id, fire.generation) for fire in records.fires},
            lost=self.acknowledged.keys() - {alert.id for alert in records.alerts},
            untold=wanted - letters.keys() if self.post.is_there else set(),
            told_too_much={each for each, copies in letters.items() if len(set(copies)) > 1 or each not in wanted},
            mails=sum(map(len, letters.values())),
            misplaced=list(self._misplaced(records, held, ordinals)),
        )

    def _misplaced(
        self, records: Records, held: Sequence[HeldBatch], ordinals: Mapping[datetime, int]
    ) -> Iterator[str]:
        """Name alerts armed in front of what was there already, or behind what is not recorded as passing them by."""
        late = [interval for interval in records.intervals if interval.reason == "not_armed"]
        for alert in records.alerts:
            before, after = self.acknowledged.get(alert.id, (None, None))
            if alert.armed is None or before is None or after is None or before[0] != after[0]:
                continue
            stream = ordinals.get(before[0], 0)
            earliest, latest = Place(stream, before[1]), Place(stream, after[1])
            passed = [each.batch for each in held if latest < each.place <= alert.armed and not each.is_repeat]
            missed = [each for each in passed if each.shard == shard_of(alert.instrument)]
            are_recorded = all(any(interval.covers(each) for interval in late) for each in missed)
            if alert.armed < earliest or not are_recorded:
                yield f"{alert}, asked for behind {earliest}, acknowledged at {latest}, {len(missed)} batches between"


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Client]:
    client = await nats.connect(
        addresses_in(url), reconnect_time_wait=0.05, max_reconnect_attempts=-1, ping_interval=2, error_cb=_ignore
    )
    try:
        yield client
    finally:
        await client.close()


async def _ignore(_: Exception) -> None:
    """A server that is away is what this is about."""


def _environment(folder: Path, addresses: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH")))),
        "RUN_DIR": str(folder),
        "COVERAGE_PROCESS_CONFIG": "",
        "COVERAGE_PROCESS_START": "",
        **addresses,
    }
