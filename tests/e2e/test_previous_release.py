"""The release before and today's work together: any one process is the other release's, and everything works.

PREVIOUS chooses the revision that is taken for the release before.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.vendors import Vendors, running_vendors, zerodha_body
from harness.backends import SERVERS, UNLIMITED, running_suite
from harness.clients import gateway_client, open_stream, register
from harness.degradation import questions_of
from harness.previous_release import folder_of, previous_revision, unpack
from harness.prober import Prober
from harness.processes import RunningSuite
from upstreams.instruments import BY_KEY
from upstreams.payloads import kite_holding

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
NAMES = ("auth", "market", "portfolio", "brokers", "alerts", "gateway")
GOOD_AGAIN_SECONDS = 30.0


@pytest.fixture(scope="module")
def python_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    revision = previous_revision()
    if revision is None:
        pytest.skip("there is no history to take an earlier release from")
    folder = tmp_path_factory.mktemp("previous")
    path = unpack(revision, folder)
    for module in (*NAMES, "chassis", "bourse.alerts.v1.alerts_pb2"):
        assert folder in folder_of(module, path).parents
    print(f"the release before is {revision}")  # noqa: T201  # shown by -s
    return path


@pytest.fixture(scope="module")
def vendors() -> Iterator[Vendors]:
    with running_vendors() as vendors:
        yield vendors


async def everything_works(suite: RunningSuite, vendors: Vendors) -> None:
    """Ask for a bit of everything, hear an alert fire, and sync with a broker."""
    await asyncio.to_thread(suite.wait_until_all_hold)
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        questions, _ = await questions_of(client, account)
        prober = Prober(suite.gateway_url, questions, symbols="NSE:TCS")
        async with prober.asking():
            await prober.until_good(seconds=GOOD_AGAIN_SECONDS)
        async with open_stream(client, "NSE:TCS", account.bearer) as stream:
            await stream.wait_for("snapshot")
            alert = {"type": "buy", "symbol": "NSE:TCS", "price": 90_000_000}
            answer = await client.post("/api/alerts/me", json=alert, headers=account.bearer)
            assert answer.status_code in {200, 201}, answer.text
            await stream.wait_for("alert")
        broker = vendors.open_zerodha(holdings=[kite_holding(BY_KEY["NSE:TCS"], 10, 3600.0)])
        answer = await client.post("/api/portfolio/sync", json=zerodha_body(broker), headers=account.bearer)
        assert answer.status_code == 200, answer.text
        answer = await client.get("/api/portfolio/holdings", headers=account.bearer)
        assert answer.status_code == 200, answer.text


async def restarted(suite: RunningSuite, name: str, python_path: str) -> None:
    """Replace a process by that of the release whose code lies there."""
    await asyncio.to_thread(suite.stop, name)
    suite.processes[name].environment |= {"PYTHONPATH": python_path}
    await asyncio.to_thread(suite.start, name)


@pytest.mark.parametrize("others", ["today's", "the release before"])
async def test_any_one_process_may_be_of_the_other_release(
    others: str, python_path: str, vendors: Vendors, tmp_path: Path
) -> None:
    of_others, of_one = ("", python_path) if others == "today's" else (python_path, "")
    environment = {**UNLIMITED, **vendors.environment, "GATEWAY_LIMIT_SYNC": "1000000/minute"}
    with running_suite(SERVERS, tmp_path, {**environment, "PYTHONPATH": of_others}) as suite:
        await everything_works(suite, vendors)
        for name in NAMES:
            await restarted(suite, name, of_one)
            await everything_works(suite, vendors)
            await restarted(suite, name, of_others)
