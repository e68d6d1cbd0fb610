"""A cluster of three NATS servers, one of which is cut off again and again while prices take their course."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from auth.feed.beat import BEAT_SUBJECT, Beat
from chassis.bus import EVENTS, Bus
from chassis.clock import SystemClock
from chassis.tasks import running
from chassis.testing import PostgresServer
from gateway.security import BEAT_SILENCE_SECONDS
from harness.fault_points_stand import NODE, Scenario, Stand
from harness.nats_cluster import NatsCluster, can_make_networks, nats_cluster

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    # A connection to a server that was cut off is left behind by the client's library, and collected some time.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(not can_make_networks(), reason="network namespaces need root and `ip`"),
]
CUTS = 4
WAIT_SECONDS = 60


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    with nats_cluster(tmp_path) as running:
        yield running


async def test_of_10_000_crossings_each_fires_and_is_told_of_once_whichever_server_is_cut_off(
    cluster: NatsCluster, postgres: PostgresServer, tmp_path: Path
) -> None:
    scenario = Scenario(
        "nothing", NODE, replicas=2, crossings=10_000, slices=1_500, slice_seconds=0.05, passages=range(CUTS)
    )
    async with Stand.open(scenario, postgres.create_database(), tmp_path, server=cluster) as stand:
        outcome = await stand.run()
    print(outcome)  # noqa: T201  # shown by -s
    outcome.require_exactness(scenario)
    assert outcome.deaths == CUTS


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Bus]:
    bus = Bus(address, name="test", streams=[EVENTS])
    bus.start()
    try:
        await asyncio.wait_for(bus.wait_until_ready(), WAIT_SECONDS)
        yield bus
    finally:
        await bus.close()


async def test_no_auth_is_heard_at_a_server_that_is_cut_off_from_the_others_and_answers(cluster: NatsCluster) -> None:
    heard = asyncio.Event()

    async def hear(_: Msg) -> None:
        heard.set()

    async def is_silent() -> bool:
        heard.clear()
        await asyncio.sleep(BEAT_SILENCE_SECONDS)
        return not heard.is_set()

    here, elsewhere = cluster.address_of(1), cluster.address_of(2)
    async with connected(here) as gateway, connected(here) as auth, connected(elsewhere) as other_auth:
        await gateway.subscribe(BEAT_SUBJECT, hear)
        async with running(Beat(auth, clock=SystemClock()).run(), Beat(other_auth, clock=SystemClock()).run()):
            await asyncio.wait_for(heard.wait(), WAIT_SECONDS)
            cluster.part(1)
            async with asyncio.timeout(WAIT_SECONDS):
                while not await is_silent():
                    pass
            assert await gateway.is_answering()
            assert await is_silent()

            cluster.rejoin(1)
            heard.clear()
            await asyncio.wait_for(heard.wait(), WAIT_SECONDS)
