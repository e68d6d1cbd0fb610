"""What the gateway reads from its environment."""

from limits import parse
from pydantic import Field, field_validator

from chassis.settings import ProcessSettings

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
# Portfolio and alerts delete what a dead token brings for a time (LATE_REQUESTS) behind the end of its account; the
# token is judged before the body.
LONGEST_BLIND_SECONDS = 60
LONGEST_BODY_SECONDS = 60


def listed(text: str) -> list[str]:
    """Split a comma list, leaving out what is empty."""
    return [part.strip() for part in text.split(",") if part.strip()]


class Settings(ProcessSettings):
    """The gateway's addresses, limits and bounds, beside what all processes share.

    Attributes:
        gateway_host: where HTTP is served; put a proxy that speaks TLS in front of anything but loopback.
        gateway_trusted_proxies: comma list of addresses and networks whose `X-Forwarded-For` is believed.
        gateway_cors_origins: comma list of origins that browsers may call from; `*` for any, then without cookies.
        gateway_cookie_secure: mark cookies `Secure` even where the request itself did not come over https.
        gateway_limit_*: how often one caller may ask, such as `20/minute`: register, login and refresh by address,
            reads, writes, cached reads and syncs by user, or by address without a token. Activations of server-wide
            sessions are held to the limit of syncs, by address. Recovery is what works without a password (forgotten
            ones, tokens of mails, unsubscribing), each by address; mail is what sends one on demand, by user.
        gateway_max_in_flight: how many requests without a ready answer are worked on at once, at most three quarters of
            them for one service; the rest are answered 503 at once.
        gateway_sync_deadline_seconds: how long a call may take that waits for a broker, such as a sync.
        gateway_mail_deadline_seconds: how long a call may take that waits for a mail server.
        gateway_board_max_age_seconds: how long after its tick a price is served from the board.
        gateway_stream_max_per_caller: how many of these one user, or one address without a token, may hold.
        gateway_stream_window_ms: prices of one instrument within this time are folded into the last.
        gateway_stream_silence_seconds: after this long without any tick, streams are told `stale`.
        gateway_stream_drop_seconds: a client that has read nothing for so long while something waited is dropped.
        gateway_revocations_max_age_seconds: protected routes answer 503 once revocations have been out of reach,
            over NATS and from auth, for longer; a minute at most.
    """

    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8000, ge=0, le=65535)
    auth_address: str = "127.0.0.1:7101"
    market_address: str = "127.0.0.1:7102"
    portfolio_address: str = "127.0.0.1:7103"
    brokers_address: str = "127.0.0.1:7104"
    alerts_address: str = "127.0.0.1:7105"

    gateway_trusted_proxies: str = ""
    gateway_cors_origins: str = ""
    gateway_cookie_secure: bool = False
    gateway_access_log: bool = False

    gateway_max_in_flight: int = Field(default=256, ge=4, le=100_000)
    gateway_max_body_bytes: int = Field(default=MEBIBYTE, ge=KIBIBYTE, le=64 * MEBIBYTE)
    gateway_body_timeout_seconds: float = Field(default=15.0, gt=0, le=LONGEST_BODY_SECONDS)
    gateway_sync_deadline_seconds: float = Field(default=45.0, gt=0, le=300)
    gateway_mail_deadline_seconds: float = Field(default=30.0, gt=0, le=300)
    gateway_cache_max_bytes: int = Field(default=64 * MEBIBYTE, ge=0)

    gateway_limit_register: str = "10/minute"
    gateway_limit_login: str = "20/minute"
    gateway_limit_refresh: str = "30/minute"
    gateway_limit_recovery: str = "10/minute"
    gateway_limit_mail: str = "10/minute"
    gateway_limit_sync: str = "10/minute"
    gateway_limit_write: str = "240/minute"
    gateway_limit_read: str = "1200/minute"
    gateway_limit_cached: str = "12000/minute"

    gateway_board_max_age_seconds: float = Field(default=15.0, gt=0, le=3600)
    gateway_board_max_instruments: int = Field(default=50_000, ge=1)
    gateway_stream_max_clients: int = Field(default=5_000, ge=1)
    gateway_stream_max_per_caller: int = Field(default=1_000, ge=1)
    gateway_stream_window_ms: int = Field(default=100, ge=20, le=5_000)
    gateway_stream_heartbeat_seconds: float = Field(default=15.0, gt=0, le=60)
    gateway_stream_silence_seconds: float = Field(default=5.0, gt=0, le=300)
    gateway_stream_drop_seconds: float = Field(default=30.0, gt=0, le=300)

    gateway_tokens_kept: int = Field(default=10_000, ge=1)
    gateway_revocations_max_age_seconds: float = Field(default=30.0, ge=2, le=LONGEST_BLIND_SECONDS)

    @field_validator(
        "gateway_limit_register",
        "gateway_limit_login",
        "gateway_limit_refresh",
        "gateway_limit_recovery",
        "gateway_limit_mail",
        "gateway_limit_sync",
        "gateway_limit_write",
        "gateway_limit_read",
        "gateway_limit_cached",
    )
    @classmethod
    def _is_a_limit(cls, text: str) -> str:
        parse(text)
        return text
