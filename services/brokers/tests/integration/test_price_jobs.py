"""The jobs of the server-wide sessions, in one process that lives on, so that what they do can be measured."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chassis.testing import stop_process
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.servers import RunningBrokers, brokers_server

PROGRAM = """
import json, sys
from pathlib import Path
from brokers.providers.children.child import answer_to
from brokers.providers.children.preload import load_sdks
from brokers.providers.children.transport import guard_requests
load_sdks(Path.cwd())
guard_requests(timeout_seconds=1)
for line in sys.stdin:
    print(answer_to(json.loads(line))[4:].decode(), flush=True)
"""


@dataclass
class Worker:
    """Does jobs, as a child does its one."""

    process: "subprocess.Popen[bytes]"
    vendors: RunningBrokers
    kite: KiteAccount
    breeze: BreezeAccount

    def run(self, job: str, secrets: Mapping[str, str], **parameters: Any) -> Any:
        whole = {"root_url": self.vendors.url, "timeout_seconds": 1, **parameters}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        question = json.dumps({"job": job, "secrets": secrets, "parameters": whole})
        self.process.stdin.write(f"{question}\n".encode())
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def kite_secrets(self) -> dict[str, str]:
        return {"api_key": self.kite.api_key, "access_token": self.kite.new_access_token()}

    def open_breeze(self) -> dict[str, str]:
        keys = {"api_key": self.breeze.api_key, "api_secret": self.breeze.api_secret}
        opened = self.run("breeze_session", {**keys, "api_session": self.breeze.new_api_session()})
        return {**keys, "session": opened["answer"]}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder: Path = tmp_path_factory.mktemp("worker")
    kite, breeze = KiteAccount(), BreezeAccount()
    with brokers_server([kite], [breeze]) as vendors:
        program = [sys.executable, "-c", PROGRAM]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder) as process:
            try:
                yield Worker(process, vendors, kite, breeze)
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(10) == 0
            finally:
                stop_process(process)


@pytest.fixture(autouse=True)
def _mended(worker: Worker) -> Iterator[None]:
    yield
    worker.vendors.kite.faults.clear()
    worker.vendors.breeze.faults.clear()


def test_kites_session_is_its_access_token(worker: Worker) -> None:
    secrets = {"api_key": worker.kite.api_key, "api_secret": worker.kite.api_secret}
    opened = worker.run("kite_session", {**secrets, "request_token": worker.kite.new_request_token()})
    assert opened["answer"] in worker.kite.access_tokens
    used = worker.run("kite_session", {**secrets, "request_token": "used"})
    assert used == {"refused": "token_invalid", "problem": "one_time_code"}


def test_kites_quotes_have_what_is_of_use(worker: Worker) -> None:
    worker.vendors.kite.upstream.listings["NSE:TCS"] = replace(BY_KEY["NSE:TCS"], price=float("inf"))
    answer = worker.run("kite_quotes", worker.kite_secrets(), instruments=["NSE:TCS", "NSE:NIFTY 50", "NSE:NONE"])
    quotes = answer["answer"]
    assert list(quotes) == ["NSE:TCS", "NSE:NIFTY 50"]
    assert set(quotes["NSE:TCS"]) == {"last_price", "timestamp", "last_trade_time", "volume", "ohlc"}
    assert quotes["NSE:TCS"]["last_price"] is None
    assert quotes["NSE:NIFTY 50"]["last_price"] == 24000
    assert quotes["NSE:NIFTY 50"]["volume"] is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.token_exception(), "token_invalid"),
        (Fault.kite_error(403, "PermissionException", "Insufficient permission for that call."), "unavailable"),
        (Fault.throttled(), "throttled"),
        (Fault.wrong_types(), None),
    ],
)
def test_within_kites_session_only_a_token_exception_ends_it(worker: Worker, fault: Fault, kind: str | None) -> None:
    worker.vendors.kite.faults.next("/quote", fault)
    assert worker.run("kite_quotes", worker.kite_secrets(), instruments=["NSE:INFY"]).get("refused") == kind


def test_kites_instruments_are_what_is_listed_and_indices(worker: Worker) -> None:
    rows = worker.run("kite_instruments", worker.kite_secrets(), exchanges=["NSE", "BSE", "NFO"])["answer"]
    listed = [each for each in BY_KEY.values() if each.exchange in {"NSE", "BSE"}]
    assert sorted(rows) == sorted([each.exchange, each.symbol, each.token] for each in listed)


def test_a_session_of_breeze_is_gone_on_with(worker: Worker) -> None:
    secrets = worker.open_breeze()
    assert secrets["session"].startswith(f"{worker.breeze.user_id}:")
    stocks = [["NSE", "RELIND"], ["NSE", "NOBODY"]]
    (exchange, code, (row,)), (_, _, nothing) = worker.run("breeze_quotes", secrets, stocks=stocks)["answer"]
    assert (exchange, code, row["ltp"], row["exchange_code"]) == ("NSE", "RELIND", 1425, "NSE")
    assert nothing == []


def test_a_stock_of_nonsense_is_left_out(worker: Worker) -> None:
    secrets = worker.open_breeze()
    worker.vendors.breeze.faults.next("/quotes", Fault.truncated())
    answer = worker.run("breeze_quotes", secrets, stocks=[["NSE", "TCS"], ["NSE", "INFTEC"]])["answer"]
    assert [code for _, code, _ in answer] == ["INFTEC"]


@pytest.mark.parametrize(("answered", "expected"), [(0, "throttled"), (1, None)])
def test_what_breeze_answered_before_it_stopped_is_kept(worker: Worker, answered: int, expected: str | None) -> None:
    secrets = worker.open_breeze()
    worker.vendors.breeze.faults.next("/quotes", Fault.slow(0), times=answered)
    worker.vendors.breeze.faults.always("/quotes", Fault.breeze_throttled())
    answer = worker.run("breeze_quotes", secrets, stocks=[["NSE", "TCS"], ["NSE", "INFTEC"]])
    assert answer.get("refused") == expected
    assert len(answer.get("answer", [])) == answered


def test_a_session_that_breeze_refuses_is_said(worker: Worker) -> None:
    secrets = worker.open_breeze()
    worker.vendors.breeze.faults.next("/quotes", Fault.slow(0))
    worker.vendors.breeze.faults.next("/quotes", Fault.breeze_error(401, "Resource not available."))
    answer = worker.run("breeze_quotes", secrets, stocks=[["NSE", "TCS"], ["NSE", "INFTEC"]])
    assert answer == {"refused": "token_invalid", "problem": "session"}
