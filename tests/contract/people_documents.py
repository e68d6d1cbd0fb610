"""What I and the contract say of watchlists, own portfolios, alerts, sessions and mail, as data: bodies and shapes."""

from typing import Annotated, Literal

from pydantic import Field

# Python 3.11's own lacks what pydantic reads.
from typing_extensions import TypedDict

from contract.documents import AccessToken, Alert, Freshness, Moment, Tokens

GOOGLE_LIFETIME_SECONDS = 86_400
NEW_WATCHLIST = {"name": "New Watchlist"}
TICKERS = {"tickers": ["AAPL", "MSFT", "GOOGL", "TSLA"]}
NEW_PORTFOLIO = {"name": "Tech Portfolio"}
ONE_STOCK = {"symbol": "AAPL", "quantity": 10, "total_cost": 1500.00}
THREE_STOCKS = {
    "stocks": [
        {"symbol": "AAPL", "quantity": 10, "total_cost": 1500.00},
        {"symbol": "MSFT", "quantity": 5, "total_cost": 1200.00},
        {"symbol": "GOOGL", "quantity": 2, "total_cost": 800.00},
    ]
}
NEW_PRICE = {"price": 155.00}

Id = Annotated[int, Field(gt=0)]


class GoogleUser(TypedDict):
    """I, `user` of the login with Google: the id is Google's own text."""

    id: str
    email: str
    name: str | None
    picture: str | None


class GoogleSession(TypedDict):
    """I, "Google OAuth Login", with S's `access_token` beside it."""

    success: Literal[True]
    message: Literal["Login successful"]
    access_token: AccessToken
    user: GoogleUser
    tokens: Tokens


class OpenSession(TypedDict):
    """Added by the contract: a session that can be used."""

    id: Annotated[str, Field(min_length=1)]
    created_at: Moment
    expires_at: Moment
    is_current: bool


class Sessions(TypedDict):
    """Added by the contract."""

    success: Literal[True]
    sessions: list[OpenSession]


class Done(TypedDict):
    """A confirmation with both words."""

    success: Literal[True]
    message: Annotated[str, Field(min_length=1)]


class WatchlistDeleted(TypedDict):
    """I, "Delete Watchlist"."""

    success: Literal[True]
    message: Literal["Watchlist deleted successfully"]


class WatchlistName(TypedDict):
    """I, one of `watchlists`."""

    id: Id
    name: str


class Watchlists(TypedDict):
    """I, "Get All Watchlists"."""

    success: Literal[True]
    watchlists: list[WatchlistName]


class Ticker(TypedDict):
    """I, one of `tickers`; every price carries source, time and freshness."""

    symbol: str
    name: str
    price: float | None
    change: float | None
    changePercent: float | None
    source: str | None
    as_of: Moment | None
    freshness: Freshness | None


class Watchlist(WatchlistName):
    """I, `watchlist`."""

    tickers: list[Ticker]


class WatchlistAnswer(TypedDict):
    """I, "Create Watchlist", "Get Watchlist", "Update Watchlist"."""

    success: Literal[True]
    watchlist: Watchlist


class Stock(TypedDict):
    """I, one of `stocks`."""

    symbol: str
    quantity: float
    total_cost: float


class Portfolio(TypedDict):
    """I, a portfolio, bare."""

    id: Id
    name: str
    stocks: list[Stock]


class PortfolioDeleted(TypedDict):
    """I, "Delete Portfolio"."""

    success: Literal[True]


class StocksProcessed(TypedDict):
    """I, "Add/Update Stock(s)"."""

    success: Literal[True]
    message: Annotated[str, Field(pattern=r"^Successfully processed \d+ stock\(s\)$")]
    portfolio: Portfolio


class Told(TypedDict):
    """I, a confirmation in words alone."""

    message: Annotated[str, Field(min_length=1)]


class ProvingTick(TypedDict):
    """One of the two ticks that prove a fire."""

    price: float
    at: Moment
    source: str
    freshness: Literal["simulated"]
    publisher_id: str
    epoch: int
    shard: int
    sequence: int


class Delivery(TypedDict):
    """How far telling of a fire is."""

    channel: Literal["event", "email"]
    state: Literal["waiting", "sent", "skipped", "failed"]
    reason: str | None
    attempts: int
    sent_at: Moment | None
    message_id: str


class Fire(TypedDict):
    """A fire with its receipt."""

    alert_id: str
    generation: int
    type: Literal["buy", "sell"]
    symbol: str
    price: float
    fired_at: Moment
    committed_at: Moment
    latency_ms: float
    crossed_during_gap: bool
    tick: ProvingTick
    before: ProvingTick | None
    deliveries: list[Delivery]


class History(TypedDict):
    """Every fire of a user, newest first."""

    fires: list[Fire]
    next_cursor: str | None


class Explanation(TypedDict):
    """Why an alert has not fired."""

    alert: Alert
    state: Literal["armed", "waiting", "fired", "expired"]
    evaluated: list[dict[str, str]]
    not_evaluated: list[dict[str, str]]
    closest: ProvingTick | None
    sentence: Annotated[str, Field(min_length=10)]


class SummarySent(TypedDict):
    """I, "Send Portfolio Summary Email"."""

    success: Literal[True]
    message: Literal["Portfolio summary email sent successfully"]
