import hashlib
import importlib
import io
import logging
import sys
import threading
import urllib.request
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.adapters
import urllib3.exceptions

from brokers.providers.children import child, transport
from brokers.providers.children.jobs import JOBS, breeze, kite
from brokers.providers.children.jobs.registry import Job
from brokers.providers.children.preload import BREEZE_MODULE, deferred, load_sdks
from brokers.providers.children.refusals import ChildRefused, Problem, Refusal
from brokers.providers.children.transport import guard_requests, transport_refusal
from brokers.providers.children.wire import LENGTH
from upstreams import payloads
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.servers import RunningBreeze, RunningKite, breeze_server, kite_server

pytestmark = pytest.mark.usefixtures("_sdks")
TCS = BY_KEY["NSE:TCS"]


@pytest.fixture(scope="module")
def _sdks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Load the SDKs as the forkserver does, and have no trace of it in the other tests of this process."""
    before = set(sys.modules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_sdks(tmp_path_factory.mktemp("sdks"))
        yield
    for name in set(sys.modules) - before:
        if name.split(".")[0] in {"kiteconnect", "breeze_connect"}:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give `requests` back what a job's guard has wrapped."""
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", requests.adapters.HTTPAdapter.send)


@pytest.fixture
def zerodha() -> Iterator[RunningKite]:
    holdings = [payloads.kite_holding(TCS, 1, 3000)]
    with kite_server(KiteAccount(api_key="demo", holdings=holdings)) as running:
        yield running


@pytest.fixture
def icici() -> Iterator[RunningBreeze]:
    with breeze_server(BreezeAccount(api_key="demo", holdings=[payloads.breeze_holding(TCS, 1, 3000)])) as running:
        yield running


def kite_secrets(server: RunningKite) -> tuple[KiteAccount, dict[str, str]]:
    account = server.upstream.accounts._by_key["demo"]
    return account, {
        "api_key": "demo",
        "api_secret": account.api_secret,
        "request_token": account.new_request_token(),
    }


def breeze_secrets(server: RunningBreeze) -> dict[str, str]:
    account = server.accounts.of_key("demo")
    return {"api_key": "demo", "api_secret": account.api_secret, "api_session": account.new_api_session()}


def asked(server: RunningKite | RunningBreeze) -> dict[str, Any]:
    return {"root_url": server.url, "timeout_seconds": 5}


def test_loading_the_sdks_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    connection: Any = importlib.import_module("urllib3.util.connection")
    module = sys.modules[BREEZE_MODULE]
    assert module.urlopen is urllib.request.urlopen
    assert "config" not in sys.modules
    assert not [entry for entry in sys.path if entry.endswith("breeze_connect")]
    assert connection._has_ipv6("::1") == connection.HAS_IPV6
    for name in ("APILogger", "WebsocketLogger"):
        logger = logging.getLogger(name)
        # pytest adds handlers of its own.
        assert not [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        assert (logger.propagate, logger.isEnabledFor(logging.CRITICAL)) == (False, False)
    assert list(tmp_path.iterdir()) == []


def test_a_module_called_config_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = type(sys)("config")
    monkeypatch.setitem(sys.modules, "config", ours)
    for name in (BREEZE_MODULE, "breeze_connect"):
        monkeypatch.delitem(sys.modules, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_sdks(tmp_path)
    assert sys.modules["config"] is ours


def test_a_deferred_module_is_loaded_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with deferred("colorsys"):
        used: Any = importlib.import_module("colorsys")
        unused: Any = importlib.import_module("colorsys")
        assert not hasattr(unused, "__file__")
    assert "colorsys" not in sys.modules
    assert used.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    assert hasattr(sys.modules["colorsys"], "__file__")
    with deferred("colorsys"):
        assert hasattr(importlib.import_module("colorsys"), "__file__")
    assert "colorsys" in sys.modules


def test_kite_is_asked_with_the_secret_and_logged_out(zerodha: RunningKite) -> None:
    account, secrets = kite_secrets(zerodha)
    answer = kite.portfolio(secrets, asked(zerodha))
    assert [row["tradingsymbol"] for row in answer["holdings"]] == ["TCS"]
    assert answer["positions"] == {"net": [], "day": []}
    assert account.access_tokens == set()


def test_kite_is_asked_with_a_checksum_of_the_clients(zerodha: RunningKite) -> None:
    account, secrets = kite_secrets(zerodha)
    proof = secrets["api_key"] + secrets["request_token"] + secrets.pop("api_secret")
    secrets["checksum"] = hashlib.sha256(proof.encode()).hexdigest().upper()
    assert kite.portfolio(secrets, asked(zerodha))["holdings"]
    assert account.access_tokens == set()


def test_a_log_out_that_fails_fails_nothing(zerodha: RunningKite) -> None:
    _, secrets = kite_secrets(zerodha)
    zerodha.faults.next("/session/token", Fault.slow(0))
    zerodha.faults.next("/session/token", Fault.server_error(503))
    assert kite.portfolio(secrets, asked(zerodha))["holdings"]


def test_within_a_session_a_refused_token_is_not_the_one_time_code(zerodha: RunningKite) -> None:
    _, secrets = kite_secrets(zerodha)
    zerodha.faults.next("/portfolio/holdings", Fault.kite_error(403, "TokenException", "Token is invalid."))
    with pytest.raises(ChildRefused) as caught:
        kite.portfolio(secrets, asked(zerodha))
    assert caught.value.problem is Problem.SESSION


KITE_MEANINGS = [
    ("TokenException", 403, "Token is invalid or has expired.", Refusal.TOKEN_INVALID, Problem.ONE_TIME_CODE),
    ("TokenException", 403, "Session over", Refusal.TOKEN_INVALID, Problem.ONE_TIME_CODE),
    ("TokenException", 403, "Invalid `checksum`.", Refusal.TOKEN_INVALID, Problem.CHECKSUM),
    ("InputException", 400, "Invalid `checksum`.", Refusal.TOKEN_INVALID, Problem.CHECKSUM),
    ("InputException", 400, "Invalid `api_key`.", Refusal.TOKEN_INVALID, Problem.API_KEY),
    ("InputException", 400, "Missing segment", Refusal.INVALID_ANSWER, None),
    ("PermissionException", 403, "No permission", Refusal.TOKEN_INVALID, Problem.PERMISSION),
    ("NetworkException", 429, "Too many requests", Refusal.THROTTLED, None),
    ("NetworkException", 503, "Too many requests", Refusal.THROTTLED, None),
    ("NetworkException", 503, "No answer from the OMS", Refusal.UNAVAILABLE, None),
    ("GeneralException", 500, "Something", Refusal.UNAVAILABLE, None),
    ("GeneralException", 418, "Something", Refusal.INVALID_ANSWER, None),
    ("DataException", 502, "Unknown Content-Type", Refusal.INVALID_ANSWER, None),
]


@pytest.mark.parametrize(("raised", "meaning"), [(row[:3], row[3:]) for row in KITE_MEANINGS])
def test_what_kites_exceptions_mean(raised: tuple[str, int, str], meaning: tuple[Refusal, Problem | None]) -> None:
    name, status, text = raised
    exceptions: Any = importlib.import_module("kiteconnect.exceptions")
    refused = kite.refusal_of(getattr(exceptions, name)(text, code=status))
    assert (refused.kind, refused.problem) == meaning


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.exceptions.ReadTimeout(), Refusal.TIMEOUT),
        (requests.exceptions.ConnectionError(urllib3.exceptions.ReadTimeoutError(Any, "", "")), Refusal.TIMEOUT),  # type: ignore[arg-type]
        (requests.exceptions.ConnectionError(), Refusal.UNAVAILABLE),
        (requests.exceptions.ChunkedEncodingError(), Refusal.UNAVAILABLE),
        (ConnectionResetError(), Refusal.UNAVAILABLE),
        (KeyError("login_time"), Refusal.INVALID_ANSWER),
        (requests.exceptions.JSONDecodeError("", "", 0), Refusal.INVALID_ANSWER),
        (ChildRefused(Refusal.THROTTLED), Refusal.THROTTLED),
        (RuntimeError(), Refusal.INVALID_ANSWER),
    ],
)
def test_what_other_exceptions_mean_to_both(error: Exception, kind: Refusal) -> None:
    assert kite.refusal_of(error).kind is kind
    wrapped = RuntimeError("Unexpected error: ...")
    wrapped.__context__ = error
    assert breeze.refusal_of(wrapped).kind is kind


def test_an_error_that_says_nothing_of_the_transport_says_nothing() -> None:
    assert transport_refusal(RuntimeError()) is None


def test_breeze_is_asked_without_its_list_of_securities(icici: RunningBreeze) -> None:
    answer = breeze.portfolio(breeze_secrets(icici), asked(icici))
    assert [row["stock_code"] for row in answer["holdings"]["NSE"]] == [TCS.icici_code]
    assert (answer["holdings"]["BSE"], answer["demat"], answer["positions"]) == ([], [], [])
    assert icici.journal.count("/SecurityMaster.zip") == 0


BREEZE_MEANINGS = [
    ("Unexpected error: Could not authenticate credentials. Please check session key.", Problem.ONE_TIME_CODE),
    ("Unexpected error: Could not authenticate credentials. Please check api key.", Problem.API_KEY),
    ("Unexpected error: Session key is expired.", Problem.ONE_TIME_CODE),
    (
        "Unexpected error: Unable to retrieve customer details at the moment. Please try again later.",
        Refusal.UNAVAILABLE,
    ),
    ("Unexpected error: Unexpected format in API response", Refusal.INVALID_ANSWER),
    ("Invalid JSON format in API response", Refusal.INVALID_ANSWER),
    ("Something new", Refusal.INVALID_ANSWER),
]


@pytest.mark.parametrize(("text", "meaning"), BREEZE_MEANINGS)
def test_what_breezes_texts_mean(text: str, meaning: Problem | Refusal) -> None:
    refused = breeze.refusal_of(RuntimeError(text))
    assert meaning in {refused.kind, refused.problem}


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ({"Success": None, "Status": 401, "Error": "Unauthorized access."}, Problem.CHECKSUM),
        ({"Success": None, "Status": 401, "Error": "?"}, Problem.SESSION),
        ({"Success": None, "Status": 429, "Error": "?"}, Refusal.THROTTLED),
        ({"Success": None, "Status": 500, "Error": "Limit exceed: API call per minute:"}, Refusal.THROTTLED),
        ({"Success": None, "Status": 503, "Error": ""}, Refusal.UNAVAILABLE),
        ({"Success": "", "Status": 400, "Error": "Exchange-Code cannot be empty"}, Refusal.INVALID_ANSWER),
        ({"Success": None, "Status": 200, "Error": None}, Refusal.INVALID_ANSWER),
        ({"Success": {}, "Status": 200, "Error": None}, Refusal.INVALID_ANSWER),
        (None, Refusal.INVALID_ANSWER),
        ({}, Refusal.INVALID_ANSWER),
    ],
)
def test_what_breezes_returned_errors_mean(answer: Any, meaning: Problem | Refusal) -> None:
    with pytest.raises((ChildRefused, breeze.BreezeRefused)) as caught:
        breeze.rows_of(answer)
    error = caught.value
    refused = error if isinstance(error, ChildRefused) else breeze.refusal_of(error)
    assert meaning in {refused.kind, refused.problem}


@pytest.mark.parametrize("text", ["No Data Found", "no data found.", "Result Not Found"])
def test_an_account_without_rows_is_told_so_as_an_error(text: str) -> None:
    assert breeze.rows_of({"Success": None, "Status": 404, "Error": text}) == []


@pytest.mark.parametrize("status", [200, "200"])
def test_a_status_may_be_text(status: object) -> None:
    assert breeze.rows_of({"Success": [{}], "Status": status, "Error": None}) == [{}]


def test_a_status_that_is_text_means_what_its_number_does() -> None:
    with pytest.raises(breeze.BreezeRefused) as caught:
        breeze.rows_of({"Success": None, "Status": "503", "Error": "?"})
    assert breeze.refusal_of(caught.value).kind is Refusal.UNAVAILABLE


def test_the_list_of_securities_is_read_by_its_columns(icici: RunningBreeze) -> None:
    found = breeze.security_master({}, asked(icici))
    assert ["NSE", TCS.icici_code, TCS.isin, "TCS"] in found
    assert {row[0] for row in found} == {"NSE", "BSE"}


def archive(**files: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for name, text in files.items():
            file.writestr(f"{name}.txt", text)
    return written.getvalue()


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"no archive", 200, Refusal.INVALID_ANSWER),
        (archive(Other="x"), 200, Refusal.INVALID_ANSWER),
        (archive(NSEScripMaster='"Token"\n"1"\n'), 200, Refusal.INVALID_ANSWER),
        (b"gone", 404, Refusal.UNAVAILABLE),
    ],
)
def test_another_list_is_refused(icici: RunningBreeze, body: bytes, status: int, kind: Refusal) -> None:
    icici.faults.always("/SecurityMaster.zip", Fault.answer(status, body, "application/zip"))
    frame = child.answer_to({"job": "breeze_security_master", "secrets": {}, "parameters": asked(icici)})
    assert f'"refused":"{kind.value}"' in frame.decode()


@pytest.mark.parametrize("bound", ["MAX_ARCHIVE_BYTES", "MAX_LIST_BYTES"])
def test_a_list_without_end_is_refused(icici: RunningBreeze, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(breeze, bound, 10)
    with pytest.raises(ChildRefused) as caught:
        breeze.security_master({}, asked(icici))
    assert caught.value.kind is Refusal.INVALID_ANSWER


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.server_error(503), Refusal.UNAVAILABLE),
        (Fault.answer(429, b"slow down", "text/plain"), Refusal.THROTTLED),
        (Fault.hang(), Refusal.TIMEOUT),
    ],
)
def test_breeze_gets_a_timeout_and_an_eye_for_http_errors(icici: RunningBreeze, fault: Fault, kind: Refusal) -> None:
    guard_requests(timeout_seconds=0.3)
    icici.faults.always("*", fault)
    job = {"job": "breeze_portfolio", "secrets": breeze_secrets(icici), "parameters": asked(icici)}
    assert f'"refused":"{kind.value}"' in child.answer_to(job).decode()


def test_an_answer_without_end_is_refused(zerodha: RunningKite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 1_000)
    guard_requests(timeout_seconds=3)
    longest = b'{"status": "success", "data": []}'.ljust(1_000)
    for body, kind in ((longest, '"answer":'), (longest + b" ", f'"refused":"{Refusal.INVALID_ANSWER.value}"')):
        _, secrets = kite_secrets(zerodha)
        zerodha.faults.next("/portfolio/holdings", Fault.answer(200, body))
        job = {"job": "kite_portfolio", "secrets": secrets, "parameters": asked(zerodha)}
        assert kind in child.answer_to(job).decode()


class Elsewhere(ThreadingHTTPServer):
    """A host that requests are sent on to; `sends_on` is one that sends them there."""

    def __init__(self, target: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Elsewhere)
        self.target = target
        self.heard: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Elsewhere(BaseHTTPRequestHandler):
    server: Elsewhere

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.heard.append(f"{self.path} {self.headers} {body.decode()}")
        self.send_response(200 if self.server.target is None else 307)
        if self.server.target is not None:
            self.send_header("Location", self.server.target + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    timeout = 5.0
    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def elsewhere(target: str | None = None) -> Iterator[Elsewhere]:
    with Elsewhere(target) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("job", "code"), [("kite_portfolio", "request_token"), ("breeze_portfolio", "api_session")])
def test_credentials_are_not_sent_on_to_where_a_redirect_points(job: str, code: str) -> None:
    guard_requests(timeout_seconds=3)
    secrets = {"api_key": "demo", "api_secret": "demo", code: "demo"}
    with elsewhere() as target, elsewhere(target.url) as server:
        parameters = {"root_url": server.url, "timeout_seconds": 3}
        answer = child.answer_to({"job": job, "secrets": secrets, "parameters": parameters})
        assert len(server.heard) == 1
        assert target.heard == []
    assert f'"refused":"{Refusal.INVALID_ANSWER.value}"' in answer.decode()


def test_the_list_of_securities_which_needs_no_credentials_may_lie_elsewhere(icici: RunningBreeze) -> None:
    guard_requests(timeout_seconds=3, follows_redirects=True)
    with elsewhere(icici.url) as server:
        assert breeze.security_master({}, {"root_url": server.url, "timeout_seconds": 3})


def raising(error: Exception) -> Any:
    def run(*_: object) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda *_: {"rows": [1]}, b'{"answer":{"rows":[1]}}'),
        (lambda *_: float("nan"), b'{"refused":"invalid_answer","problem":null}'),
        (lambda *_: {1, 2}, b'{"refused":"invalid_answer","problem":null}'),
        (lambda *_: "x" * (16 * 1024 * 1024), b'{"refused":"invalid_answer","problem":null}'),
        (raising(MemoryError()), b'{"refused":"invalid_answer","problem":null}'),
        (raising(RuntimeError("a canary")), b'{"refused":"token_invalid","problem":"session"}'),
        (raising(ChildRefused(Refusal.TIMEOUT)), b'{"refused":"timeout","problem":null}'),
    ],
)
def test_a_child_answers_in_json_without_any_exceptions_text(
    monkeypatch: pytest.MonkeyPatch, run: Any, expected: bytes
) -> None:
    refusal = ChildRefused(Refusal.TOKEN_INVALID, Problem.SESSION)
    monkeypatch.setattr(child, "JOBS", {"job": Job(run, lambda _: refusal)})
    frame = child.answer_to({"job": "job", "secrets": {}, "parameters": {}})
    assert frame == LENGTH.pack(len(expected)) + expected


def test_the_jobs_of_syncs_are_known_by_name() -> None:
    assert {"kite_portfolio", "breeze_portfolio", "breeze_security_master"} <= set(JOBS)
