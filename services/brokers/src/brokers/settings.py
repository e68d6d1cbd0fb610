"""What operators can set for brokers."""

from pydantic import Field, field_validator

from chassis.settings import ProcessSettings


class Settings(ProcessSettings):
    """Brokers' address, the vendors' and other services' addresses and its limits, beside what all processes share.

    Attributes:
        brokers_address: where gRPC is served, `host:port`.
        portfolio_address: where portfolio serves gRPC, which keeps what syncs bring.
        brokers_children: how many syncs, and so children, run at once.
        brokers_sync_queue: how many more may wait.
        brokers_sync_seconds: when a child is killed, whatever it does.
        kite_root_url: where Kite Connect's REST API is.
        breeze_root_url: a server that has all of Breeze's paths; unset means ICICI's own hosts.
        brokers_sandbox_url: where the sandbox of `make sandbox` is; unset refuses its keys.
    """

    brokers_address: str = "127.0.0.1:7104"
    portfolio_address: str = "127.0.0.1:7103"
    brokers_children: int = Field(default=8, ge=1, le=64)
    brokers_sync_queue: int = Field(default=200, ge=0, le=10_000)
    brokers_sync_seconds: float = Field(default=20.0, gt=0, le=120)
    kite_root_url: str = "https://api.kite.trade"
    breeze_root_url: str | None = None
    brokers_sandbox_url: str | None = None

    @field_validator("kite_root_url", "breeze_root_url", "brokers_sandbox_url")
    @classmethod
    def _has_no_slash_at_its_end(cls, url: str | None) -> str | None:
        return None if url is None else url.rstrip("/")
