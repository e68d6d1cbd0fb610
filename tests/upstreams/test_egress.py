"""The SDKs with the vendors' own addresses, redirected by nothing but the standard environment variables."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from kiteconnect import KiteConnect

from upstreams.breeze_process import BreezeProcess
from upstreams.egress import WayOut, egress
from upstreams.instruments import BY_KEY
from upstreams.odd_accounts import odd_breeze_account, odd_kite_account
from upstreams.servers import RunningBrokers, brokers_server

KITE, BREEZE = odd_kite_account(), odd_breeze_account()


@pytest.fixture
def brokers() -> Iterator[RunningBrokers]:
    with brokers_server([KITE], [BREEZE]) as running:
        yield running


@pytest.fixture
def way_out(brokers: RunningBrokers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WayOut]:
    with egress(brokers.server.port, tmp_path) as running:
        for name in (*running.environment, "NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, running.environment.get(name, ""))
        yield running


def test_kite_is_reached_at_its_own_address(way_out: WayOut) -> None:
    client = KiteConnect(KITE.api_key)
    client.generate_session(KITE.new_request_token(), KITE.api_secret)
    assert len(client.holdings()) == len(KITE.holdings)
    assert client.ltp("NSE:TCS")["NSE:TCS"]["instrument_token"] == BY_KEY["NSE:TCS"].token
    assert set(way_out.asked) == {"api.kite.trade"}


def test_breeze_is_reached_at_its_own_addresses(way_out: WayOut, tmp_path: Path) -> None:
    client = BreezeProcess(
        "", tmp_path, api_key=BREEZE.api_key, api_secret=BREEZE.api_secret, api_session=BREEZE.new_api_session()
    )
    assert client.opened == {"answer": None}
    assert len(client.call("get_demat_holdings")["answer"]["Success"]) == len(BREEZE.demat)
    client.end()
    assert set(way_out.asked) == {"directlink.icicidirect.com", "api.icicidirect.com"}


def test_nobody_else_is_reached(way_out: WayOut) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        requests.get("https://www.example.com", timeout=5)
    assert way_out.asked == ["www.example.com"]


def test_without_the_authority_nobody_is_trusted(way_out: WayOut, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name)
    assert os.environ["HTTPS_PROXY"]
    with pytest.raises(requests.exceptions.SSLError):
        KiteConnect(KITE.api_key, KITE.new_access_token()).profile()
