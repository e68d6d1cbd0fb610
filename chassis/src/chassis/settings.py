"""The settings every process reads; each service adds its own fields.

A field's environment variable is its name in upper case. Nothing is read from files.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# How long behind the end of an account its last requests may still write rests on this (tests/architecture).
LONGEST_DEADLINE_SECONDS = 30
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")


class ListenerExposed(ValueError):
    """A listener outside loopback has neither mutual TLS nor the explicit opt-out."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} is not a loopback address: set GRPC_TLS_CERTIFICATE, GRPC_TLS_KEY and GRPC_TLS_AUTHORITY, "
            "or GRPC_PLAINTEXT=1 where the network itself is trusted"
        )


class AddressInUse(RuntimeError):
    """The address to listen on is taken or not this machine's."""

    def __init__(self, address: str) -> None:
        super().__init__(f"cannot listen on {address}: it is in use or not an address of this machine")


class ProcessSettings(BaseSettings):
    """What is common to all processes.

    Attributes:
        nats_url: `nats://user:password@host:port`; a cluster's servers with commas between them.
        otel_exporter_otlp_endpoint: where spans go by OTLP over gRPC, as `http://host:4317`; unset records none.
        metrics_address: where `/metrics`, `/livez` and `/readyz` are answered, `host:port`; unset answers nowhere.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    run_dir: Path = Path(".run")
    nats_url: SecretStr = SecretStr("nats://127.0.0.1:4222")
    redis_url: SecretStr | None = None
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otel_exporter_otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    metrics_address: str | None = Field(default=None, pattern=r"^[^\s]+:[0-9]{1,5}$")
    rpc_deadline_seconds: float = Field(default=5.0, gt=0, le=LONGEST_DEADLINE_SECONDS)
    shutdown_grace_seconds: float = Field(default=3.0, ge=0, le=60)
    grpc_tls_certificate: Path | None = None
    grpc_tls_key: Path | None = None
    grpc_tls_authority: Path | None = None
    grpc_plaintext: bool = False

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        given = [self.grpc_tls_certificate, self.grpc_tls_key, self.grpc_tls_authority]
        if any(given) and not all(given):
            raise ValueError("GRPC_TLS_CERTIFICATE, GRPC_TLS_KEY and GRPC_TLS_AUTHORITY belong together")
        return self

    @property
    def has_tls(self) -> bool:
        """Say whether service-to-service calls use mutual TLS."""
        return self.grpc_tls_certificate is not None

    def sqlite_url(self, name: str) -> str:
        """Return the address of the embedded database `name` under RUN_DIR."""
        return f"sqlite+aiosqlite:///{self.run_dir.absolute() / name}.sqlite3"

    def require_guarded_listener(self, address: str) -> None:
        """Refuse to listen outside loopback unguarded.

        Raises:
            ListenerExposed: the address is not loopback and neither TLS nor the opt-out is set.
        """
        host = address.rpartition(":")[0]
        if host in LOOPBACK_HOSTS or self.has_tls or self.grpc_plaintext:
            return
        raise ListenerExposed(address)
