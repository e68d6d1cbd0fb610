"""What operators can set for market."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from chassis.settings import ProcessSettings
from market.domain.budgets import Window, parse_budget
from market.domain.capabilities import Capability
from market.domain.reuse import VENDOR_SECONDS
from market.domain.source_order import parse_order

SIMULATED = ("sample", "replay")
BROKERS = ("zerodha", "icici")
FULL_SPEED = "max"
KNOWN_PROVIDERS = (*SIMULATED, *BROKERS, "yahoo", "fmp")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _names(value: object) -> object:
    return tuple(name.strip().lower() for name in value.split(",")) if isinstance(value, str) else value


def _speed(value: object) -> object:
    return None if value == FULL_SPEED else value


class Settings(ProcessSettings):
    """Market's address, database and sources, beside what all processes share.

    Attributes:
        market_address: where gRPC is served, `host:port`.
        market_database_url: SQLAlchemy address; unset means the embedded file under RUN_DIR.
        market_migrate_on_start: False refuses to start on an old schema instead of migrating it.
        market_providers: the sources of prices, comma-separated, the preferred one first; `sample` or `replay` stand
            alone, since nothing real falls back to made-up prices.
        market_providers_of: another order, or fewer of them, for some kinds of question, such as
            `news=fmp,yahoo;quotes=zerodha,yahoo`; the kinds are those of `domain/capabilities.py`.
        yahoo_budget: how often Yahoo may be asked, by all replicas that share a Redis: `60/minute;1500/hour`.
        fmp_api_key: the key of Financial Modeling Prep.
        fmp_base_url: where its `/stable` is, with it.
        fmp_budget: how often it may be asked, by the plan of the key.
        market_poll_seconds: how long after one round the next begins, in which vendors are asked for the prices of what
            trades, to publish ticks of them; 0 never asks. It is longer where half of a vendor's budget is not enough.
        market_splits_path: a CSV file of splits and bonus issues; unset means that none are known.
        brokers_address: where brokers serves gRPC, which is asked for the quotes of `zerodha` and `icici`.
        market_publisher_id: names this replica's ticks to those who watch for holes; different for each replica.
        sample_seed: what the sample market's prices start from.
        sample_tick_seconds: seconds between two ticks of an instrument of the sample market.
        sample_always_open: prices of the sample market move between sessions too.
        replay_path: the CSV file that is replayed.
        replay_speed: virtual seconds in a real second; `max`, which is None here, plays as fast as it can be sent.
        replay_hold: waits for a message on `control.replay.start` before the first tick.
    """

    market_address: str = "127.0.0.1:7102"
    market_database_url: SecretStr | None = None
    market_migrate_on_start: bool = True
    market_providers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ("sample",)
    market_providers_of: str = ""
    market_poll_seconds: float = Field(default=30.0, ge=0, le=3_600)
    market_splits_path: Path | None = None
    yahoo_budget: str = "60/minute;1500/hour"
    fmp_api_key: SecretStr = SecretStr("")
    fmp_base_url: str = "https://financialmodelingprep.com/stable"
    fmp_budget: str = "300/minute;250/day"
    brokers_address: str = "127.0.0.1:7104"
    market_publisher_id: str = Field(default="market", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    sample_seed: int = Field(default=7, ge=0, lt=2**63)
    sample_tick_seconds: float = Field(default=1.0, ge=0.05, le=60)
    sample_always_open: bool = False
    replay_path: Path | None = None
    replay_speed: Annotated[Annotated[float, Field(gt=0, le=1e9)] | None, BeforeValidator(_speed)] = 1.0
    replay_hold: bool = False

    @model_validator(mode="after")
    def _providers_fit_together(self) -> Self:
        names = self.market_providers
        unknown = [name for name in names if name not in KNOWN_PROVIDERS]
        if unknown:
            listed = ", ".join(repr(name) for name in unknown)
            raise ValueError(f"MARKET_PROVIDERS names {listed}; known are {', '.join(KNOWN_PROVIDERS)}")
        if len(set(names)) < len(names):
            raise ValueError("MARKET_PROVIDERS names a provider twice")
        if len(names) > 1 and not set(names).isdisjoint(SIMULATED):
            raise ValueError("MARKET_PROVIDERS: sample and replay stand alone, nothing real falls back to them")
        if "replay" in names and self.replay_path is None:
            raise ValueError("MARKET_PROVIDERS is replay, so REPLAY_PATH must name the file")
        if "fmp" in names and not self.fmp_api_key.get_secret_value():
            raise ValueError("MARKET_PROVIDERS names fmp, so FMP_API_KEY must hold its key")
        return self

    @model_validator(mode="after")
    def _order_names_providers(self) -> Self:
        wanted = {name for names in self.source_order.values() for name in names}
        strange = sorted(wanted - set(self.market_providers))
        if strange:
            raise ValueError(f"MARKET_PROVIDERS_OF names {', '.join(strange)}, which MARKET_PROVIDERS does not")
        return self

    @field_validator("market_providers_of")
    @classmethod
    def _is_an_order(cls, text: str) -> str:
        parse_order(text)
        return text

    @field_validator("market_poll_seconds")
    @classmethod
    def _outlasts_an_answer(cls, seconds: float) -> float:
        if 0 < seconds < VENDOR_SECONDS:
            raise ValueError(f"should be 0 or at least {VENDOR_SECONDS:g}, for as long as an answer serves")
        return seconds

    @field_validator("yahoo_budget", "fmp_budget")
    @classmethod
    def _is_a_budget(cls, text: str) -> str:
        parse_budget(text)
        return text

    @field_validator("fmp_base_url")
    @classmethod
    def _keeps_the_key_to_itself(cls, address: str) -> str:
        parts = urlsplit(address)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not is_safe or not parts.hostname:
            raise ValueError("should begin with https://, since the key goes there; http:// is for loopback alone")
        return address

    @property
    def is_simulated(self) -> bool:
        """Say whether prices are made up or replayed."""
        return not set(self.market_providers).isdisjoint(SIMULATED)

    @property
    def source_order(self) -> Mapping[Capability, Sequence[str]]:
        """Return another order of the providers for some kinds of question."""
        return parse_order(self.market_providers_of)

    @property
    def yahoo_windows(self) -> Sequence[Window]:
        """Return how often Yahoo may be asked."""
        return parse_budget(self.yahoo_budget)

    @property
    def fmp_windows(self) -> Sequence[Window]:
        """Return how often Financial Modeling Prep may be asked."""
        return parse_budget(self.fmp_budget)

    @property
    def broker_names(self) -> tuple[str, ...]:
        """Return the providers that are brokers, in the order they are preferred; none beside simulated ones."""
        return tuple(name for name in self.market_providers if name in BROKERS)

    @property
    def database_url(self) -> str:
        """Return the SQLAlchemy address of market's database."""
        if self.market_database_url is None:
            return self.sqlite_url("market")
        return self.market_database_url.get_secret_value()
