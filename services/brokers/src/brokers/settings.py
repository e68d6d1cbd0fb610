"""What operators can set for brokers."""

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from chassis.settings import LOOPBACK_HOSTS, ProcessSettings


class Settings(ProcessSettings):
    """Brokers' address, the vendors' and other services' addresses and its limits, beside what all processes share.

    Attributes:
        brokers_address: where gRPC is served, `host:port`.
        portfolio_address: where portfolio serves gRPC, which keeps what syncs bring.
        brokers_children: how many syncs, and so children, run at once.
        brokers_sync_queue: how many more may wait.
        brokers_sync_seconds: when a child is killed, whatever it does; less than the minute that a call may take.
        kite_root_url: where Kite Connect's REST API is.
        breeze_root_url: a server that has all of Breeze's paths; unset means ICICI's own hosts.
        brokers_sandbox_url: where the sandbox of `make sandbox` is; unset refuses its keys.
        zerodha_admin_secret: what opening Zerodha's server-wide session takes; unset lets only administrators.
        icici_admin_secret: the same for ICICI's.
        icici_api_key: the Breeze application whose session it is, where callers name none.
        icici_api_secret: its secret.
        market_address: where market serves gRPC, which knows what there is to feed and when it trades.
        kite_ticker_url: where Kite's ticker is.
        kite_ticker_max_instruments: how many instruments are fed; Kite takes 3,000 a connection, and three of these.
        kite_ticker_stale_seconds: without a price for so long in market hours, the feed is stale.
        brokers_publisher_id: names this replica's ticks to those who watch for holes.
    """

    brokers_address: str = "127.0.0.1:7104"
    portfolio_address: str = "127.0.0.1:7103"
    brokers_children: int = Field(default=8, ge=1, le=64)
    brokers_sync_queue: int = Field(default=200, ge=0, le=10_000)
    brokers_sync_seconds: float = Field(default=20.0, gt=0, le=50)
    kite_root_url: str = "https://api.kite.trade"
    breeze_root_url: str | None = None
    brokers_sandbox_url: str | None = None
    zerodha_admin_secret: SecretStr | None = None
    icici_admin_secret: SecretStr | None = None
    icici_api_key: SecretStr | None = None
    icici_api_secret: SecretStr | None = None
    market_address: str = "127.0.0.1:7102"
    kite_ticker_url: str = "wss://ws.kite.trade"
    kite_ticker_max_instruments: int = Field(default=3_000, ge=1, le=9_000)
    kite_ticker_stale_seconds: float = Field(default=10.0, gt=0, le=3_600)
    brokers_publisher_id: str = Field(default="brokers", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")

    @field_validator("kite_root_url", "breeze_root_url", "brokers_sandbox_url", "kite_ticker_url")
    @classmethod
    def _has_no_slash_at_its_end(cls, url: str | None) -> str | None:
        return None if url is None else url.rstrip("/")

    @field_validator("kite_ticker_url")
    @classmethod
    def _keeps_the_token_from_listeners(cls, url: str) -> str:
        parts = urlsplit(url)
        is_loopback = parts.scheme == "ws" and parts.hostname in LOOPBACK_HOSTS
        if not parts.hostname or parts.query or parts.fragment or not (parts.scheme == "wss" or is_loopback):
            raise ValueError("must be wss://host, whose address tells the session's token to nobody else")
        return url
