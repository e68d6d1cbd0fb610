"""A cluster of three NATS servers, one of which is cut off again and again while prices take their course."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.testing import PostgresServer
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
