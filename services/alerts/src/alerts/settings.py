"""What operators can set for alerts."""

from pydantic import Field, SecretStr

from mail.settings import MailSettings


class Settings(MailSettings):
    """Alerts' address, database and limits, beside what all processes that send mail share.

    Attributes:
        alerts_address: where gRPC is served, `host:port`.
        alerts_database_url: SQLAlchemy address; unset means the embedded file under RUN_DIR.
        alerts_migrate_on_start: False refuses to start on an old schema instead of migrating it.
        alerts_max_per_user: how many alerts a user may have, fired ones included.
        alerts_mails_per_hour: how many mails an address gets about fires within any hour, one that is not verified at
            most 10; the rest is skipped.
        auth_address: where auth serves gRPC, which knows where people are written to.
        market_address: where market serves gRPC, which knows what symbols mean.
    """

    alerts_address: str = "127.0.0.1:7105"
    alerts_database_url: SecretStr | None = None
    alerts_migrate_on_start: bool = True
    alerts_max_per_user: int = Field(default=1_000, ge=1, le=1_000_000)
    alerts_mails_per_hour: int = Field(default=100, ge=1, le=10_000)
    auth_address: str = "127.0.0.1:7101"
    market_address: str = "127.0.0.1:7102"

    @property
    def database_url(self) -> str:
        """Return the SQLAlchemy address of alerts' database."""
        if self.alerts_database_url is None:
            return self.sqlite_url("alerts")
        return self.alerts_database_url.get_secret_value()
