"""The brokers there are."""

from enum import StrEnum


class Broker(StrEnum):
    """A broker, by its name in JSON."""

    ZERODHA = "zerodha"
    ICICI = "icici"

    @property
    def full_name(self) -> str:
        """Return the name people know."""
        return {Broker.ZERODHA: "Zerodha", Broker.ICICI: "ICICI Direct"}[self]
