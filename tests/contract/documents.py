"""What the two public API documents say of the operations that exist, as data: examples, fields, types, statuses.

S is the StockTrendz document, I the InvestAgent document. Fields may be added to an answer, never removed, renamed or
retyped, so the shapes here hold what is documented and take anything beside it.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import httpx
from pydantic import ConfigDict, Field, TypeAdapter, with_config

# Python 3.11's own lacks what pydantic reads.
from typing_extensions import TypedDict

Shape = TypeVar("Shape")

# "All else RFC 3339 UTC"; and `as_of_ist`, to the second.
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]
IndianMoment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+05:30$")]
Freshness = Literal["live", "delayed", "stale", "closed", "simulated"]
AccessToken = Annotated[str, Field(pattern=r"^[\w-]+\.[\w-]+\.[\w-]+$")]

PASSWORD_LIFETIME_SECONDS = 7 * 24 * 3600
MIN_PASSWORD_LENGTH = 8
MAX_QUOTED_SYMBOLS = 50
MAX_STREAMED_SYMBOLS = 200

# --- the bodies that the documents send ---------------------------------------------------------------------------

GOOGLE_LOGIN = {
    "user": {
        "id": "google_user_id",
        "email": "user@gmail.com",
        "name": "John Doe",
        "picture": "https://lh3.googleusercontent.com/...",
    },
    "token": "google_id_token",
}
BUY_ALERT = {"type": "buy", "symbol": "AAPL", "price": 150.00}
SELL_ALERT = {"type": "sell", "symbol": "MSFT", "price": 450.00}
LIVE_SYMBOLS = "NSE:TCS,NSE:RELIANCE,BSE:HDFCBANK"

# --- what is answered ---------------------------------------------------------------------------------------------


class PasswordUser(TypedDict):
    """`user` of S's login; a password user's id is an integer."""

    id: int
    email: str
    name: str | None


class Tokens(TypedDict):
    """`tokens` of I's login."""

    access_token: AccessToken
    refresh_token: Annotated[str, Field(min_length=20)]
    expires_in: Annotated[int, Field(gt=0)]


class Session(TypedDict):
    """The one superset of both documents' login answers; register and refresh answer it too."""

    success: Literal[True]
    message: str
    access_token: AccessToken
    user: PasswordUser
    tokens: Tokens


class LoggedOut(TypedDict):
    """I, "Logout"."""

    success: Literal[True]
    message: Literal["Logout successful"]


class Profile(TypedDict):
    """I, "Get User Profile"."""

    success: Literal[True]
    user: PasswordUser


class Alert(TypedDict):
    """I, "Create Alert": a bare object."""

    symbol: str
    price: float
    created_at: Moment


class ReplacedAlert(Alert):
    """I, "Update Alert": what an alert shows once it was replaced."""

    updated_at: Moment


class Alerts(TypedDict):
    """I, "Get All Alerts": always both keys."""

    buy: list[Alert]
    sell: list[Alert]


class Signal(TypedDict):
    """S, `signals`: "Top pattern signals (symbol, pattern, confidence)"; null under 30 cases."""

    symbol: str
    pattern: str
    confidence: Annotated[float, Field(ge=0, le=1)] | None
    cases: int
    confidence_low: float | None
    confidence_high: float | None
    base_rate: float | None


class Market(TypedDict):
    """S, `market`."""

    is_open: bool
    as_of_ist: IndianMoment


class Provenance(TypedDict):
    """What every price carries."""

    source: Literal["sample"]
    as_of: Moment
    freshness: Literal["simulated"]


class Snapshot(Provenance):
    """S, "Response Fields" of the snapshot."""

    nifty_price: float
    nifty_change: float
    banknifty_price: float
    sensex_price: float
    signals: Annotated[list[Signal], Field(min_length=1)]
    sectors: Annotated[list[dict[str, Any]], Field(min_length=1)]
    market: Market
    notice: Annotated[str, Field(pattern="not registered with SEBI")]


class Quote(Provenance):
    """S, one of `quotes`."""

    symbol: str
    last_price: Annotated[float, Field(gt=0)]
    change: float
    change_pct: float


class MissingSymbol(TypedDict):
    """Added by the contract: a symbol that is not answered."""

    symbol: str
    code: str


class LivePrices(TypedDict):
    """S, "Batch stock quotes"."""

    quotes: list[Quote]
    errors: list[MissingSymbol]


class StreamedPrices(TypedDict):
    """An event `snapshot` or `prices`."""

    quotes: list[Quote]


class Synced(TypedDict):
    """S, both syncs: their counts, and what the contract adds."""

    success: Literal[True]
    message: str
    holdings_count: int
    positions_count: int
    net_positions_count: int
    broker: Literal["zerodha", "icici"]
    synced_at: Moment
    sync_id: Annotated[str, Field(min_length=1)]
    simulated: bool


class BrokerSync(TypedDict):
    """Added by the contract: how fresh a broker's rows are."""

    broker: Literal["zerodha", "icici"]
    synced_at: Moment
    simulated: bool


class Holding(TypedDict):
    """S, one of `holdings`; what a row cannot say is null. Every price carries source, time and freshness."""

    tradingsymbol: str
    quantity: float
    average_price: float | None
    last_price: float | None
    pnl: float | None
    pnl_pct: float | None
    broker: Literal["zerodha", "icici"]
    source: str | None
    as_of: Moment | None
    freshness: Freshness | None


class HoldingsSummary(TypedDict):
    """S, `summary` of the holdings."""

    total_invested: float
    total_current_value: float
    total_pnl: float
    total_pnl_pct: float | None


class Holdings(TypedDict):
    """S, "Portfolio · Read Endpoints"."""

    holdings: list[Holding]
    summary: HoldingsSummary
    synced: bool
    brokers: list[BrokerSync]


class Position(TypedDict):
    """S, one open position."""

    type: Literal["net", "day"]
    tradingsymbol: str
    quantity: float
    average_price: float | None
    last_price: float | None
    pnl: float | None
    broker: Literal["zerodha", "icici"]
    source: str | None
    as_of: Moment | None
    freshness: Freshness | None


class Positions(TypedDict):
    """S, "Returns open positions"; those closed today are a list of their own."""

    positions: list[Position]
    closed: list[Position]
    summary: dict[str, Any]
    synced: bool
    brokers: list[BrokerSync]


class PnlPoint(TypedDict):
    """One day of the trend."""

    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    total_pnl: float


class Pnl(TypedDict):
    """S, "P&L summary with up to 365-day trend"."""

    summary: HoldingsSummary
    trend: list[PnlPoint]
    days: int
    synced: bool
    brokers: list[BrokerSync]


class DeletedCounts(TypedDict):
    """Added by the contract: how much is gone."""

    holdings: int
    positions: int
    snapshots: int


class Deleted(TypedDict):
    """S, "Confirmation message"."""

    success: Literal[True]
    message: str
    deleted: DeletedCounts


class SessionStatus(TypedDict):
    """S, "ICICI token validity"."""

    initialized: bool
    valid: bool
    set_at: Moment | None
    expires_at: Moment | None


class ZerodhaStatus(SessionStatus):
    """S, "Global token validity"."""

    token_type: Literal["access_token"] | None


class CacheState(TypedDict):
    """S, `cache_l1`."""

    size: int


class Health(TypedDict):
    """S, "System health check"."""

    status: Literal["healthy"]
    database: Literal["connected"]
    cache_l1: CacheState
    cache_l2: dict[str, Any]
    warmers: dict[str, Literal["warm", "cold"]]


@with_config(ConfigDict(extra="forbid"))
class ErrorBody(TypedDict):
    """Every error of every route."""

    error: Annotated[str, Field(min_length=1)]
    message: Annotated[str, Field(min_length=1)]
    code: str
    request_id: Annotated[str, Field(min_length=1)]


# I, "Standard Error Responses", with the codes of the contract.
TITLES = {
    400: "Invalid request",
    401: "Authentication required",
    403: "Access denied",
    404: "Resource not found",
    500: "Internal server error",
}
CODES = {
    400: {"INVALID_REQUEST"},
    401: {"AUTH_REQUIRED", "TOKEN_EXPIRED", "TOKEN_REVOKED", "INVALID_CREDENTIALS", "BROKER_TOKEN_INVALID"},
    403: {"ACCESS_DENIED"},
    404: {"NOT_FOUND"},
    405: {"INVALID_REQUEST"},
    408: {"INVALID_REQUEST"},
    413: {"INVALID_REQUEST"},
    414: {"INVALID_REQUEST"},
    415: {"INVALID_REQUEST"},
    429: {"RATE_LIMITED"},
    431: {"INVALID_REQUEST"},
    503: {"UPSTREAM_UNAVAILABLE"},
    504: {"UPSTREAM_TIMEOUT"},
}
TOKEN_REQUIRED = "Valid JWT token is required"
OWN_DATA_ONLY = "You can only access your own data"

# --- the operations -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, and a request to it that is answered `status` when a signed-in user sends it.

    Attributes:
        cached: its answers are public data, kept by the gateway.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    status: int = 200
    body: dict[str, Any] | None = None
    is_protected: bool = False
    is_cached: bool = False
    is_endless: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"


SNAPSHOT = Operation("GET", "/api/index/snapshot", is_cached=True)
LIVE_PRICES = Operation("GET", f"/api/portfolio/live-prices?symbols={LIVE_SYMBOLS}", is_cached=True)
STREAM = Operation("GET", "/api/stream?symbols=NSE:TCS,NASDAQ:AAPL", is_endless=True)
HEALTH = Operation("GET", "/api/health")
PROFILE = Operation("GET", "/api/auth/user/me", is_protected=True)
LIST_ALERTS = Operation("GET", "/api/alerts/me", is_protected=True)
SET_ALERT = Operation("POST", "/api/alerts/me", body=BUY_ALERT, is_protected=True)
LOG_OUT = Operation("POST", "/api/auth/logout")
# With bodies that are refused, so that one request serves as often as wanted.
REGISTER = Operation("POST", "/api/auth/register", status=400, body={})
LOG_IN = Operation("POST", "/api/auth/login", status=400, body={})
REFRESH = Operation("POST", "/api/auth/refresh", status=400, body={})
SYNC_ZERODHA = Operation("POST", "/api/portfolio/sync", status=400, body={}, is_protected=True)
SYNC_ICICI = Operation("POST", "/api/portfolio/icici-sync", status=400, body={}, is_protected=True)
HOLDINGS = Operation("GET", "/api/portfolio/holdings", is_protected=True)
POSITIONS = Operation("GET", "/api/portfolio/positions?type=net", is_protected=True)
PNL = Operation("GET", "/api/portfolio/pnl?days=30", is_protected=True)
DELETE_SYNCED = Operation("DELETE", "/api/portfolio/data", is_protected=True)
ZERODHA_STATUS = Operation("GET", "/zerodha/status")
ICICI_STATUS = Operation("GET", "/icici/status")
ACTIVATE_ZERODHA = Operation("POST", "/zerodha/activate", status=400, body={})
ACTIVATE_ICICI = Operation("POST", "/icici/activate", status=400, body={})

# Of resources that nobody has, so that these, too, serve as often as wanted.
SESSIONS = Operation("GET", "/api/auth/sessions", is_protected=True)
REVOKE_SESSION = Operation("DELETE", "/api/auth/sessions/nobody-has-it", status=404, is_protected=True)
FORGOT_PASSWORD = Operation("POST", "/api/auth/password/forgot", body={"email": "nobody@example.com"})
RESET_PASSWORD = Operation("POST", "/api/auth/password/reset", status=400, body={})
VERIFY_EMAIL = Operation("POST", "/api/auth/email/verify", status=400, body={})
SEND_VERIFICATION = Operation("POST", "/api/auth/email/verification/somebody-else", status=403, is_protected=True)
MAIL_PREFERENCES = Operation("GET", "/api/email/preferences/me", is_protected=True)
SET_MAIL_PREFERENCES = Operation("PUT", "/api/email/preferences/me", body={"alerts": True}, is_protected=True)
UNSUBSCRIBE = Operation("POST", "/api/email/unsubscribe?token=nobodys&list=alerts", status=400)
SEND_SUMMARY = Operation("POST", "/api/email/portfolio-summary/somebody-else", status=403, is_protected=True)
UPDATE_ALERT = Operation("PUT", "/api/alerts/me/sell/TSLA", status=404, body={"price": 155.0}, is_protected=True)
DELETE_ALERT = Operation("DELETE", "/api/alerts/me/sell/TSLA", status=404, is_protected=True)
DELETE_ALERTS = Operation("DELETE", "/api/alerts/me?type=sell", is_protected=True)
ALERT_HISTORY = Operation("GET", "/api/alerts/me/history?limit=5", is_protected=True)
EXPLAIN_ALERT = Operation("GET", "/api/alerts/me/sell/TSLA/explain", status=404, is_protected=True)
WATCHLISTS = Operation("GET", "/api/watchlists/me", is_protected=True)
CREATE_WATCHLIST = Operation("POST", "/api/watchlists/me", status=400, body={}, is_protected=True)
WATCHLIST = Operation("GET", "/api/watchlist/me/999999999", status=404, is_protected=True)
REPLACE_TICKERS = Operation(
    "POST", "/api/watchlist/me/999999999", status=404, body={"tickers": ["AAPL"]}, is_protected=True
)
DELETE_WATCHLIST = Operation("DELETE", "/api/watchlist/me/999999999", status=404, is_protected=True)
PORTFOLIOS = Operation("GET", "/api/portfolios/me", is_protected=True)
CREATE_PORTFOLIO = Operation("POST", "/api/portfolios/me", status=400, body={}, is_protected=True)
RENAME_PORTFOLIO = Operation("PUT", "/api/portfolios/me/999999999", status=404, body={"name": "x"}, is_protected=True)
DELETE_PORTFOLIO = Operation("DELETE", "/api/portfolios/me/999999999", status=404, is_protected=True)
PUT_STOCK = Operation(
    "POST",
    "/api/portfolios/me/999999999/stock",
    status=404,
    body={"symbol": "AAPL", "quantity": 10, "total_cost": 1500.0},
    is_protected=True,
)
REMOVE_STOCK = Operation("DELETE", "/api/portfolios/me/999999999/stock/AAPL", status=404, is_protected=True)

OPERATIONS = (
    REGISTER,
    LOG_IN,
    REFRESH,
    LOG_OUT,
    PROFILE,
    LIST_ALERTS,
    SET_ALERT,
    SNAPSHOT,
    LIVE_PRICES,
    STREAM,
    HEALTH,
    SYNC_ZERODHA,
    SYNC_ICICI,
    HOLDINGS,
    POSITIONS,
    PNL,
    DELETE_SYNCED,
    ZERODHA_STATUS,
    ICICI_STATUS,
    ACTIVATE_ZERODHA,
    ACTIVATE_ICICI,
    SESSIONS,
    REVOKE_SESSION,
    FORGOT_PASSWORD,
    RESET_PASSWORD,
    VERIFY_EMAIL,
    SEND_VERIFICATION,
    MAIL_PREFERENCES,
    SET_MAIL_PREFERENCES,
    UNSUBSCRIBE,
    SEND_SUMMARY,
    UPDATE_ALERT,
    DELETE_ALERT,
    DELETE_ALERTS,
    ALERT_HISTORY,
    EXPLAIN_ALERT,
    WATCHLISTS,
    CREATE_WATCHLIST,
    WATCHLIST,
    REPLACE_TICKERS,
    DELETE_WATCHLIST,
    PORTFOLIOS,
    CREATE_PORTFOLIO,
    RENAME_PORTFOLIO,
    DELETE_PORTFOLIO,
    PUT_STOCK,
    REMOVE_STOCK,
)

# --- reading answers ----------------------------------------------------------------------------------------------


def read(shape: type[Shape], answer: httpx.Response, status: int = 200) -> Shape:
    """Return an answer's body, which has the status, the content type and every field and type of a shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return check(shape, strictly_parsed(answer.text))


def read_error(answer: httpx.Response, status: int, code: str | None = None) -> ErrorBody:
    """Return an error's body, which is the envelope with the documented title and code."""
    error = read(ErrorBody, answer, status)
    assert error["error"] == TITLES.get(status, error["error"])
    assert error["code"] in ({code} if code else CODES[status]), error
    assert error["request_id"] == answer.headers["X-Request-ID"]
    return error


def check(shape: type[Shape], body: Any) -> Shape:
    """Return a parsed body, which has every field and type of a shape."""
    return TypeAdapter(shape).validate_python(body, strict=True)


def strictly_parsed(text: str) -> Any:
    """Parse JSON that has no NaN and no Infinity."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")
