"""What operators can set for portfolio."""

from pydantic import Field, SecretStr

from mail.settings import MailSettings


class Settings(MailSettings):
    """Portfolio's address, database and nightly snapshots, beside what all processes that send mail share.

    Attributes:
        portfolio_address: where gRPC is served, `host:port`.
        portfolio_database_url: SQLAlchemy address; unset means the embedded file under RUN_DIR.
        portfolio_migrate_on_start: False refuses to start on an old schema instead of migrating it.
        portfolio_snapshot_delay_seconds: how long after NSE's close the nightly snapshots begin, up to 8 hours.
        market_address: where market serves gRPC, which knows prices, sessions and splits.
        auth_address: where auth serves gRPC, which knows where users are written to.
    """

    portfolio_address: str = "127.0.0.1:7103"
    portfolio_database_url: SecretStr | None = None
    portfolio_migrate_on_start: bool = True
    portfolio_snapshot_delay_seconds: float = Field(default=1_800.0, ge=0, le=28_800)
    market_address: str = "127.0.0.1:7102"
    auth_address: str = "127.0.0.1:7101"

    @property
    def database_url(self) -> str:
        """Return the SQLAlchemy address of portfolio's database."""
        if self.portfolio_database_url is None:
            return self.sqlite_url("portfolio")
        return self.portfolio_database_url.get_secret_value()
