"""What operators can set for brokers."""

from chassis.settings import ProcessSettings


class Settings(ProcessSettings):
    """Brokers' address, beside what all processes share.

    Attributes:
        brokers_address: where gRPC is served, `host:port`.
    """

    brokers_address: str = "127.0.0.1:7104"
