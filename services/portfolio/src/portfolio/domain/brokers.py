"""The brokers that rows come from."""

from enum import StrEnum


class Broker(StrEnum):
    """A broker, by its name in JSON and in the database."""

    ZERODHA = "zerodha"
    ICICI = "icici"
