"""What children ask of ICICI's Breeze, with the unmodified SDK."""

import csv
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

from brokers.providers.children.jobs.registry import Parameters, Secrets
from brokers.providers.children.preload import load_breeze
from brokers.providers.children.refusals import ChildRefused, Problem, Refusal, token_refused
from brokers.providers.children.transport import TOO_MANY_REQUESTS, transport_refusal
from brokers.providers.children.wire import JSON

OK = 200
UNAUTHORIZED = (401, 403)
INTERNAL_SERVER_ERROR = 500
HOLDING_EXCHANGES = ("NSE", "BSE")
MAX_ARCHIVE_BYTES = 32 * 1024 * 1024
MAX_LIST_BYTES = 64 * 1024 * 1024
LISTS = {"NSE": "nsescripmaster.txt", "BSE": "bsescripmaster.txt"}
PORTION_BYTES = 64 * 1024

# Breeze says what went wrong in words alone; the first that occurs counts.
_EMPTY = ("no data found", "no record", "result not found", "no holding", "no position", "data not found")
_REFUSED = (
    ("check api key", Problem.API_KEY),
    ("public key", Problem.API_KEY),
    ("checksum", Problem.CHECKSUM),
    ("session key is expired", Problem.ONE_TIME_CODE),
    ("check session key", Problem.ONE_TIME_CODE),
    ("resource not available", Problem.SESSION),
    ("invalid session", Problem.SESSION),
    ("session", Problem.SESSION),
    ("unauthori", Problem.CHECKSUM),
    ("authenticat", Problem.SESSION),
)
_THROTTLED = ("limit exceed", "too many", "rate limit", "exceeded the limit", "call limit")
_UNAVAILABLE = ("unable to retrieve", "try again later", "service unavailable", "maintenance", "timed out")
_NONSENSE = ("unexpected format", "invalid json", "keyerror")


class BreezeRefused(Exception):
    """Breeze returned an error in place of raising it."""

    def __init__(self, status: object, text: str) -> None:
        super().__init__(text)
        self.status = status


def portfolio(secrets: Secrets, parameters: Parameters) -> JSON:
    """Open a session and read holdings, demat holdings and positions.

    Args:
        secrets: `api_key`, `api_secret` and `api_session`.
        parameters: `root_url`, None for ICICI's own hosts.
    """
    client = client_of(secrets["api_key"], parameters)
    client.generate_session(secrets["api_secret"], secrets["api_session"])
    return {
        "holdings": {exchange: rows_of(_holdings_at(client, exchange)) for exchange in HOLDING_EXCHANGES},
        "demat": rows_of(client.get_demat_holdings()),
        "positions": rows_of(client.get_portfolio_positions()),
    }


def client_of(api_key: str, parameters: Parameters) -> Any:
    """Return the SDK's client, which leaves out the list of all securities that portfolios have no use for."""
    module: Any = sdk(parameters)

    class PortfolioClient(module.BreezeConnect):  # type: ignore[misc]  # the SDK has no types
        def get_stock_script_list(self) -> None:
            """Download nothing: a session would cost the security master twice."""

    return PortfolioClient(api_key)


def sdk(parameters: Parameters) -> Any:
    """Return the SDK's module, pointed to a server of our own when there is one."""
    module: Any = load_breeze(Path.cwd())
    root = parameters.get("root_url")
    if root is not None:
        module.config.API_URL = f"{root}/breezeapi/api/v1/"
        module.config.BREEZE_NEW_URL = f"{root}/api/v2/"
        module.config.SECURITY_MASTER_URL = f"{root}/MotherAppMaster/SecurityMaster.zip"
    return module


def security_master(_: Secrets, parameters: Parameters) -> JSON:
    """Download ICICI's list of securities and return `[exchange, its own code, ISIN, exchange's symbol]` of each."""
    archive = _download(sdk(parameters).config.SECURITY_MASTER_URL, timeout_seconds=parameters["timeout_seconds"])
    with zipfile.ZipFile(io.BytesIO(archive)) as lists:
        found = [
            [exchange, *row]
            for listed in lists.infolist()
            for exchange, name in LISTS.items()
            if Path(listed.filename).name.lower() == name
            for row in _securities(lists, listed)
        ]
    if not found:
        raise ChildRefused(Refusal.INVALID_ANSWER)
    return found


def refusal_of(error: Exception) -> ChildRefused:
    """Say what an exception of the SDK, or an error it returned, means."""
    text = str(error).lower()
    if isinstance(error, BreezeRefused):
        return _refusal_by_text(text) or _refusal_by_status(error.status)
    # The SDK wraps the transport's errors, but Python remembers what was wrapped; their texts hold addresses.
    return transport_refusal(error) or _refusal_by_text(text) or ChildRefused(Refusal.INVALID_ANSWER)


def _holdings_at(client: Any, exchange: str) -> JSON:
    return client.get_portfolio_holdings(
        exchange_code=exchange, from_date="", to_date="", stock_code="", portfolio_type=""
    )


def rows_of(answer: JSON) -> JSON:
    """Return the rows of an answer; an account that has none is told so as an error.

    Raises:
        BreezeRefused: the answer is an error.
    """
    if not isinstance(answer, dict):
        raise ChildRefused(Refusal.INVALID_ANSWER)
    rows, text, status = answer.get("Success"), str(answer.get("Error") or ""), _number(answer.get("Status"))
    if any(words in text.lower() for words in _EMPTY):
        return []
    if text or status != OK:
        raise BreezeRefused(status, text)
    if not isinstance(rows, list):
        raise ChildRefused(Refusal.INVALID_ANSWER)
    return rows


def _number(status: object) -> object:
    """Return a status that was sent as text as the number it is."""
    return int(status) if isinstance(status, str) and status.isdecimal() else status


def _refusal_by_text(text: str) -> ChildRefused | None:
    if any(words in text for words in _THROTTLED):
        return ChildRefused(Refusal.THROTTLED)
    if any(words in text for words in _NONSENSE):
        return ChildRefused(Refusal.INVALID_ANSWER)
    problem = next((problem for words, problem in _REFUSED if words in text), None)
    if problem is not None:
        return token_refused(problem)
    if any(words in text for words in _UNAVAILABLE):
        return ChildRefused(Refusal.UNAVAILABLE)
    return None


def _refusal_by_status(status: object) -> ChildRefused:
    if status == TOO_MANY_REQUESTS:
        return ChildRefused(Refusal.THROTTLED)
    if status in UNAUTHORIZED:
        return token_refused(Problem.SESSION)
    if isinstance(status, int) and status >= INTERNAL_SERVER_ERROR:
        return ChildRefused(Refusal.UNAVAILABLE)
    return ChildRefused(Refusal.INVALID_ANSWER)


def _download(url: str, *, timeout_seconds: float) -> bytes:
    import requests  # noqa: PLC0415  # a child has it in memory, the service never

    with requests.get(url, stream=True, timeout=timeout_seconds) as answer:
        answer.raise_for_status()
        archive = bytearray()
        for portion in answer.iter_content(PORTION_BYTES):
            archive += portion
            if len(archive) > MAX_ARCHIVE_BYTES:
                raise ChildRefused(Refusal.INVALID_ANSWER)
    return bytes(archive)


def _securities(lists: zipfile.ZipFile, listed: zipfile.ZipInfo) -> list[list[str]]:
    """Return own code, ISIN and exchange's symbol of each row of one list."""
    if listed.file_size > MAX_LIST_BYTES:
        raise ChildRefused(Refusal.INVALID_ANSWER)
    with lists.open(listed) as opened:
        rows = csv.reader(io.TextIOWrapper(opened, encoding="utf-8", errors="replace"), skipinitialspace=True)
        columns = [_clean(name).lower() for name in next(rows, [])]
        places = [columns.index(name) for name in ("shortname", "isincode", "exchangecode")]
        return [[sys.intern(_clean(row[place])) for place in places] for row in rows if len(row) > max(places)]


def _clean(text: str) -> str:
    return text.strip().strip('"').strip()
