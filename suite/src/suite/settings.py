"""What operators can set for `make run`; everything else in the environment goes to the processes as it is."""

from pathlib import Path

from pydantic import Field

from chassis.settings import ProcessSettings


class Settings(ProcessSettings):
    """Where the suite lives and answers.

    Attributes:
        gateway_host: where the public API listens.
        gateway_port: the public API's port, 1 to 65535.
        procfile: the list of processes, one line each.
        sandbox_port: where `make sandbox` answers as the brokers, 1 to 65535.
    """

    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8000, ge=1, le=65535)
    procfile: Path = Path("Procfile")
    sandbox_port: int = Field(default=8700, ge=1, le=65535)

    @property
    def sandbox_url(self) -> str:
        """Return where `make sandbox` answers, whether it runs or not."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def has_own_nats(self) -> bool:
        """Say whether NATS is embedded, which it is unless NATS_URL names a server."""
        return "nats_url" not in self.model_fields_set
