"""The stand-ins against the real, unmodified SDKs: what these accept is the vendors' wire form."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_errors

from upstreams.breeze_accounts import BreezeAccount
from upstreams.breeze_process import BreezeProcess
from upstreams.faults import Fault
from upstreams.instruments import BY_KEY, LISTINGS, isin_of
from upstreams.journal import REDACTED
from upstreams.kite_accounts import KiteAccount
from upstreams.payloads import breeze_demat, breeze_holding, kite_holding
from upstreams.servers import RunningBreeze, RunningKite, breeze_server, brokers_server, kite_server
from upstreams.serving import PortTaken

TCS = BY_KEY["NSE:TCS"]


@pytest.fixture
def account() -> KiteAccount:
    return KiteAccount(holdings=[kite_holding(TCS, 10, 3600.0, t1_quantity=2)])


@pytest.fixture
def kite(account: KiteAccount) -> Iterator[RunningKite]:
    with kite_server(account) as running:
        yield running


@pytest.fixture
def client(kite: RunningKite, account: KiteAccount) -> KiteConnect:
    """The SDK with an open session."""
    return KiteConnect(account.api_key, account.new_access_token(), root=kite.url, timeout=2)


class TestKite:
    def test_a_login_opens_a_session_that_reads_holdings(self, kite: RunningKite, account: KiteAccount) -> None:
        client = KiteConnect(account.api_key, root=kite.url)
        session = client.generate_session(account.new_request_token(), account.api_secret)
        assert isinstance(session["login_time"], datetime)
        [holding] = client.holdings()
        assert holding["isin"] == "INE467B01029"
        assert holding["pnl"] == (3842.5 - 3600.0) * 12
        assert set(holding) >= {"authorised_date", "mtf", "t1_quantity", "collateral_type", "discrepancy"}

    def test_a_request_token_works_once(self, kite: RunningKite, account: KiteAccount) -> None:
        token = account.new_request_token()
        KiteConnect(account.api_key, root=kite.url).generate_session(token, account.api_secret)
        with pytest.raises(kite_errors.TokenException, match="invalid or has expired") as refused:
            KiteConnect(account.api_key, root=kite.url).generate_session(token, account.api_secret)
        assert refused.value.code == 403

    def test_a_wrong_secret_is_refused_and_spends_nothing(self, kite: RunningKite, account: KiteAccount) -> None:
        client, token = KiteConnect(account.api_key, root=kite.url), account.new_request_token()
        with pytest.raises(kite_errors.TokenException, match="Invalid `checksum`"):
            client.generate_session(token, "not the secret")
        assert client.generate_session(token, account.api_secret)["access_token"]

    def test_an_unknown_key_is_refused(self, kite: RunningKite) -> None:
        with pytest.raises(kite_errors.InputException, match="Invalid `api_key`"):
            KiteConnect("nobody", root=kite.url).generate_session("token", "secret")

    def test_a_session_dies_by_logout_and_by_expiry(self, kite: RunningKite, account: KiteAccount) -> None:
        client = KiteConnect(account.api_key, account.new_access_token(), root=kite.url)
        assert client.invalidate_access_token() is True
        with pytest.raises(kite_errors.TokenException):
            client.profile()
        client.set_access_token(account.new_access_token())
        assert client.profile()["user_id"] == account.user_id
        account.expire_tokens()
        with pytest.raises(kite_errors.TokenException):
            client.profile()

    def test_everything_else_reads(self, client: KiteConnect) -> None:
        assert client.positions() == {"net": [], "day": []}
        assert client.margins("equity")["net"] == client.margins()["equity"]["net"]
        quote = client.quote(["NSE:TCS", "NSE:UNHEARDOF", "NSE:NIFTY 50"])
        assert set(quote) == {"NSE:TCS", "NSE:NIFTY 50"}
        assert isinstance(quote["NSE:TCS"]["timestamp"], datetime)
        assert len(quote["NSE:TCS"]["depth"]["sell"]) == 5
        assert client.ohlc("NSE:M&M")["NSE:M&M"]["ohlc"]["close"] == 2975.05
        assert client.ltp(["BSE:TCS"]) == {"BSE:TCS": {"instrument_token": 136330244, "last_price": 3841.8}}
        candles = client.historical_data(TCS.token, date(2026, 11, 13), date(2026, 11, 17), "day")
        assert [candle["date"].date().day for candle in candles] == [13, 16, 17]

    def test_the_instruments_are_csv(self, client: KiteConnect) -> None:
        instruments = client.instruments("NFO")
        assert {row["tradingsymbol"] for row in instruments} == {"NIFTY26NOVFUT", "NIFTY26NOV24000CE"}
        assert instruments[0]["expiry"] == date(2026, 11, 24)
        assert len(client.instruments()) == len(LISTINGS)

    @pytest.mark.parametrize(("route", "limit"), [("quote", 500), ("ohlc", 1000), ("ltp", 1000)])
    def test_quotes_have_their_limits(self, client: KiteConnect, route: str, limit: int) -> None:
        keys = [f"NSE:UNHEARDOF{number}" for number in range(limit + 1)]
        assert getattr(client, route)(keys[:limit]) == {}
        with pytest.raises(kite_errors.InputException, match=str(limit)):
            getattr(client, route)(keys)

    def test_without_the_version_nothing_is_answered(self, kite: RunningKite, account: KiteAccount) -> None:
        headers = {"Authorization": f"token {account.api_key}:{account.new_access_token()}"}
        reply = requests.get(f"{kite.url}/user/profile", headers=headers, timeout=5)
        assert (reply.status_code, reply.json()["error_type"]) == (400, "InputException")
        assert requests.get(f"{kite.url}/nothing", timeout=5).json()["status"] == "error"


class TestFaults:
    def test_canned_answers(self, kite: RunningKite, client: KiteConnect) -> None:
        kite.faults.next("/portfolio/holdings", Fault.throttled())
        kite.faults.next("/portfolio/holdings", Fault.token_exception())
        kite.faults.next("/portfolio/holdings", Fault.server_error(502))
        kite.faults.next("/portfolio/holdings", Fault.truncated())
        kite.faults.next("/portfolio/holdings", Fault.empty())
        with pytest.raises(kite_errors.NetworkException) as throttled:
            client.holdings()
        assert throttled.value.code == 429
        with pytest.raises(kite_errors.TokenException):
            client.holdings()
        with pytest.raises(kite_errors.DataException, match="Unknown Content-Type"):
            client.holdings()
        with pytest.raises(kite_errors.DataException, match="parse the JSON"):
            client.holdings()
        with pytest.raises(kite_errors.DataException, match="parse the JSON"):
            client.holdings()
        assert len(client.holdings()) == 1

    def test_rewritten_answers(self, kite: RunningKite, client: KiteConnect) -> None:
        kite.faults.next("/portfolio/holdings", Fault.wrong_types())
        kite.faults.next("/portfolio/holdings", Fault.missing_keys("quantity", "isin"))
        kite.faults.next("/portfolio/holdings", Fault.missing_keys())
        [mistyped], [pruned] = client.holdings(), client.holdings()
        assert mistyped["quantity"] == "unexpected"
        assert mistyped["tradingsymbol"] == {"unexpected": "TCS"}
        assert "quantity" not in pruned
        assert "quantity" not in pruned["mtf"]
        with pytest.raises(KeyError, match="data"):
            client.holdings()

    def test_a_dropped_connection(self, kite: RunningKite, client: KiteConnect) -> None:
        kite.faults.next("/portfolio/holdings", Fault.drop())
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            client.holdings()
        kite.faults.next("/portfolio/holdings", Fault.reset())
        with pytest.raises(requests.exceptions.ConnectionError, match=r"RemoteDisconnected|reset"):
            client.holdings()
        assert len(client.holdings()) == 1

    @pytest.mark.parametrize("fault", [Fault.hang(), Fault.half_open(), Fault.slow(30)])
    def test_what_never_comes_is_waited_for(self, kite: RunningKite, client: KiteConnect, fault: Fault) -> None:
        kite.faults.next("/portfolio/holdings", fault)
        client.timeout = 0.3
        with pytest.raises((requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError)):
            client.holdings()
        client.reqsession.close()
        kite.journal.wait_until_idle()

    def test_one_users_vendor_hangs_while_anothers_answers(self, kite: RunningKite, client: KiteConnect) -> None:
        other = kite.accounts.add(KiteAccount())
        kite.faults.always("*", Fault.hang(), api_key=other.api_key)
        hung = KiteConnect(other.api_key, other.new_access_token(), root=kite.url, timeout=0.3)
        with pytest.raises(requests.exceptions.ReadTimeout):
            hung.holdings()
        assert len(client.holdings()) == 1
        assert kite.journal.count(api_key=other.api_key) == 1

    def test_a_held_answer_comes_when_the_test_says(self, kite: RunningKite, client: KiteConnect) -> None:
        gate = threading.Event()
        kite.faults.next("/portfolio/holdings", Fault.held(gate))
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(client.holdings)
            kite.journal.wait_for("/portfolio/holdings")
            assert kite.journal.in_flight == 1
            gate.set()
            assert len(answer.result(timeout=5)) == 1

    def test_a_vendor_that_is_down_comes_back_on_its_port(self, kite: RunningKite, client: KiteConnect) -> None:
        kite.faults.always("/user/profile", Fault.hang())
        with ThreadPoolExecutor() as pool:
            hung = pool.submit(client.profile)
            kite.journal.wait_for("/user/profile")
            kite.server.stop()
            assert isinstance(hung.exception(timeout=5), requests.exceptions.ConnectionError)
        with pytest.raises(requests.exceptions.ConnectionError):
            client.holdings()
        kite.server.start()
        assert len(client.holdings()) == 1

    def test_a_taken_port_is_said(self, kite: RunningKite) -> None:
        with pytest.raises(PortTaken, match=str(kite.server.port)), kite_server(port=kite.server.port):
            pass


class TestJournal:
    def test_requests_are_kept_without_secrets(self, kite: RunningKite, account: KiteAccount) -> None:
        client = KiteConnect(account.api_key, root=kite.url)
        secret = client.generate_session(account.new_request_token(), account.api_secret)["access_token"]
        client.holdings()
        client.invalidate_access_token(secret)
        assert secret not in repr(kite.journal.requests)
        login, holdings, logout = kite.journal.requests
        assert (login.method, login.path, login.api_key) == ("POST", "/session/token", account.api_key)
        assert (holdings.headers["authorization"], holdings.headers["x-kite-version"]) == (REDACTED, "3")
        assert ("access_token", REDACTED) in logout.query

    def test_sixty_clients_at_once(self, kite: RunningKite, account: KiteAccount) -> None:
        gate = threading.Event()
        kite.faults.always("/portfolio/holdings", Fault.held(gate))
        token = account.new_access_token()

        def read(_: int) -> int:
            return len(KiteConnect(account.api_key, token, root=kite.url, timeout=60).holdings())

        with ThreadPoolExecutor(60) as pool:
            counts = pool.map(read, range(60))
            kite.journal.wait_for("/portfolio/holdings", times=60, seconds=60)
            gate.set()
            assert list(counts) == [1] * 60
        assert kite.journal.max_concurrency == 60

    def test_what_does_not_come_is_said(self, kite: RunningKite) -> None:
        with pytest.raises(TimeoutError, match="was asked 0 times, not 1"):
            kite.journal.wait_for("/portfolio/holdings", seconds=0.01)


@pytest.fixture(scope="module")
def breeze_account() -> BreezeAccount:
    return BreezeAccount(holdings=[breeze_holding(TCS, 10, 3600)], demat=[breeze_demat(TCS, 12)])


@pytest.fixture(scope="module")
def breeze(breeze_account: BreezeAccount) -> Iterator[RunningBreeze]:
    with breeze_server(breeze_account) as running:
        yield running


@pytest.fixture(scope="module")
def breeze_client(
    breeze: RunningBreeze, breeze_account: BreezeAccount, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BreezeProcess]:
    folder = tmp_path_factory.mktemp("breeze")
    client = logged_in(breeze, breeze_account, folder, breeze_account.new_api_session())
    yield client
    client.end()


def logged_in(breeze: RunningBreeze, account: BreezeAccount, folder: Path, code: str) -> BreezeProcess:
    return BreezeProcess(breeze.url, folder, api_key=account.api_key, api_secret=account.api_secret, api_session=code)


class TestBreeze:
    def test_a_login_downloads_the_security_master(self, breeze: RunningBreeze, breeze_client: BreezeProcess) -> None:
        assert breeze_client.opened == {"answer": None}
        assert breeze.journal.count("/MotherAppMaster/SecurityMaster.zip") == 3

    def test_holdings_and_demat_read(self, breeze_client: BreezeProcess) -> None:
        answer = breeze_client.call("get_portfolio_holdings", exchange_code="NSE")["answer"]
        assert (answer["Status"], answer["Error"]) == (200, None)
        [row] = answer["Success"]
        assert (row["quantity"], row["average_price"], row["expiry_date"]) == ("10", "3600.00", None)
        [demat] = breeze_client.call("get_demat_holdings")["answer"]["Success"]
        assert (demat["stock_ISIN"], demat["quantity"]) == ("INE467B01029", "12")

    def test_nothing_held_is_an_error_or_an_empty_list(
        self, breeze_client: BreezeProcess, breeze_account: BreezeAccount
    ) -> None:
        empty = breeze_client.call("get_portfolio_positions")["answer"]
        assert (empty["Success"], empty["Error"]) == (None, "No Data Found")
        breeze_account.answers_empty_lists = True
        assert breeze_client.call("get_portfolio_positions")["answer"]["Success"] == []
        breeze_account.answers_empty_lists = False

    def test_everything_else_reads(self, breeze_client: BreezeProcess) -> None:
        quote = breeze_client.call("get_quotes", stock_code="RELIND", exchange_code="NSE", product_type="cash")
        assert quote["answer"]["Success"][0]["ltp"] == 1425
        assert breeze_client.call("get_funds")["answer"]["Status"] == 200
        names = breeze_client.call("get_names", exchange_code="NSE", stock_code="RELIANCE")["answer"]
        assert (names["isec_stock_code"], names["isec_token"]) == ("RELIND", "2885")
        candles = breeze_client.call(
            "get_historical_data_v2",
            interval="1day",
            from_date="2026-11-13T07:00:00.000Z",
            to_date="2026-11-17T07:00:00.000Z",
            stock_code="RELIND",
            exchange_code="NSE",
            product_type="cash",
        )
        assert len(candles["answer"]["Success"]) == 3

    def test_the_script_list_is_read_as_the_sdk_does(self, breeze_client: BreezeProcess) -> None:
        tokens = breeze_client.call("get_stock_script_list")["answer"]
        assert tokens[1]["2885"] == ["RELIND", "RELIANCE INDUSTRIES"]
        assert tokens[0]["500325"] == ["RELIND", "RELIANCE"]

    def test_faults_and_dead_sessions(
        self, breeze: RunningBreeze, breeze_client: BreezeProcess, breeze_account: BreezeAccount
    ) -> None:
        breeze.faults.next("/dematholdings", Fault.breeze_throttled(), api_key=breeze_account.api_key)
        breeze.faults.next("/dematholdings", Fault.html())
        assert breeze_client.call("get_demat_holdings")["answer"]["Status"] == 429
        assert "Error in get_demat_holdings()" in breeze_client.call("get_demat_holdings")["error"]
        kept = set(breeze_account.session_keys)
        breeze_account.expire_sessions()
        assert breeze_client.call("get_demat_holdings")["answer"]["Error"] == "Resource not available."
        breeze_account.session_keys |= kept

    def test_bad_credentials_are_refused(
        self, breeze: RunningBreeze, breeze_account: BreezeAccount, tmp_path: Path
    ) -> None:
        code = breeze_account.new_api_session()
        client = logged_in(breeze, breeze_account, tmp_path, code)
        refused = {
            "Session key is expired": client.call("open", key=breeze_account.api_key, session=code),
            "Please check session key": client.call("open", key=breeze_account.api_key, session="never issued"),
            "Please check api key": client.call("open", key="nobody", session=code),
        }
        client.end()
        for words, answer in refused.items():
            assert words in answer["error"]

    def test_a_checksum_of_another_secret_is_refused(
        self, breeze: RunningBreeze, breeze_account: BreezeAccount
    ) -> None:
        def asked(secret: str) -> Any:
            stamp = datetime.now(UTC).isoformat()[:19] + ".000Z"
            headers = {
                "X-Checksum": "token " + sha256(f"{stamp}{{}}{secret}".encode()).hexdigest(),
                "X-Timestamp": stamp,
                "X-AppKey": breeze_account.api_key,
                "X-SessionToken": breeze_account.session_token(breeze_account.new_session_key()),
            }
            url = f"{breeze.url}/breezeapi/api/v1/dematholdings"
            return requests.get(url, data="{}", headers=headers, timeout=5).json()

        assert asked(breeze_account.api_secret)["Status"] == 200
        assert asked("not the secret")["Error"] == "Unauthorized access."


def test_both_share_a_port() -> None:
    kite_account, breeze_account = KiteAccount(token_prefix="sandbox-"), BreezeAccount(api_session_prefix="sandbox-")
    with brokers_server([kite_account], [breeze_account]) as brokers:
        client = KiteConnect(kite_account.api_key, root=brokers.url)
        assert client.generate_session("sandbox-1", kite_account.api_secret)["user_id"] == kite_account.user_id
        body = json.dumps({"SessionToken": "sandbox-1", "AppKey": breeze_account.api_key})
        url = f"{brokers.url}/breezeapi/api/v1/customerdetails"
        first, second = (requests.get(url, data=body, timeout=5).json() for _ in range(2))
        assert (first["Status"], second["Error"]) == (200, "Resource not available.")
        assert brokers.breeze.journal.count(api_key=breeze_account.api_key) == 2


def test_every_isin_has_its_check_digit() -> None:
    assert [listing for listing in LISTINGS if listing.isin and isin_of(listing.isin[:-1]) != listing.isin] == []


def test_stopping_takes_no_longer_than_it_must() -> None:
    account = KiteAccount()
    with kite_server(account) as kite, ThreadPoolExecutor() as pool:
        kite.faults.always("*", Fault.hang())
        hung = pool.submit(KiteConnect(account.api_key, account.new_access_token(), root=kite.url, timeout=60).profile)
        kite.journal.wait_for("/user/profile")
        began = time.monotonic()
        kite.server.stop()
        assert time.monotonic() - began < 5
        assert hung.exception(timeout=5) is not None
