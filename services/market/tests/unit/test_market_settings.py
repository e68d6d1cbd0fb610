import pytest
from pydantic import ValidationError

from market.domain.budgets import Window
from market.domain.capabilities import Capability
from market.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_by_default_the_sample_market_is_served() -> None:
    settings = Settings()
    assert settings.market_providers == ("sample",)
    assert not settings.sample_always_open
    assert settings.database_url.endswith("/market.sqlite3")


def test_an_address_of_another_database_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_DATABASE_URL", "postgresql+asyncpg://market@127.0.0.1/market")
    assert Settings().database_url == "postgresql+asyncpg://market@127.0.0.1/market"


@pytest.mark.parametrize(
    ("providers", "problem"),
    [
        ("zerodha,yahoo,fmp", "FMP_API_KEY must hold its key"),
        ("zerodha,sample", "sample and replay stand alone"),
        ("icici,zerodha,icici", "names a provider twice"),
        ("sample,yahoo", "sample and replay stand alone"),
        ("sample,replay", "sample and replay stand alone"),
        ("sample,sample", "names a provider twice"),
        ("samples", "names 'samples'; known are sample, replay, zerodha"),
        ("sample,", "names ''"),
        ("replay", "REPLAY_PATH must name the file"),
    ],
)
def test_providers_that_cannot_be_had_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, providers: str, problem: str
) -> None:
    monkeypatch.setenv("MARKET_PROVIDERS", providers)
    with pytest.raises(ValidationError, match=problem):
        Settings()


def test_providers_are_read_in_any_case_with_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_PROVIDERS", " Sample ")
    assert Settings().market_providers == ("sample",)


def test_an_order_of_sources_that_are_not_there_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_PROVIDERS", "yahoo")
    monkeypatch.setenv("MARKET_PROVIDERS_OF", "news=fmp,yahoo")
    with pytest.raises(ValidationError, match="MARKET_PROVIDERS_OF names fmp, which MARKET_PROVIDERS does not"):
        Settings()


@pytest.mark.parametrize(
    ("providers", "brokers"),
    [
        ("sample", ()),
        ("zerodha", ("zerodha",)),
        ("icici", ("icici",)),
        ("zerodha,icici", ("zerodha", "icici")),
        ("ICICI, zerodha", ("icici", "zerodha")),
    ],
)
def test_brokers_are_preferred_in_the_order_they_are_named(
    monkeypatch: pytest.MonkeyPatch, providers: str, brokers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MARKET_PROVIDERS", providers)
    assert Settings().broker_names == brokers


def test_some_kinds_of_question_may_have_an_order_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_PROVIDERS", "zerodha,yahoo")
    monkeypatch.setenv("MARKET_PROVIDERS_OF", "quotes=yahoo, zerodha; news=yahoo")
    assert Settings().source_order == {Capability.QUOTES: ("yahoo", "zerodha"), Capability.NEWS: ("yahoo",)}


def test_vendors_budgets_are_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YAHOO_BUDGET", "2/second")
    monkeypatch.setenv("FMP_BUDGET", "750/minute; 100000/day")
    settings = Settings()
    assert settings.yahoo_windows == [Window(2, 1)]
    assert settings.fmp_windows == [Window(750, 60), Window(100_000, 86_400)]


@pytest.mark.parametrize("address", ["https://vendor.example/stable", "http://127.0.0.1:9/stable", "http://[::1]:9"])
def test_a_vendor_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("FMP_BASE_URL", address)
    assert Settings().fmp_base_url == address


@pytest.mark.parametrize(("speed", "expected"), [("1", 1.0), ("86400", 86400.0), ("0.5", 0.5), ("max", None)])
def test_a_replay_s_speed_is_a_factor_or_max(
    monkeypatch: pytest.MonkeyPatch, speed: str, expected: float | None
) -> None:
    monkeypatch.setenv("REPLAY_SPEED", speed)
    assert Settings().replay_speed == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REPLAY_SPEED", "0"),
        ("REPLAY_SPEED", "-1"),
        ("REPLAY_SPEED", "nan"),
        ("REPLAY_SPEED", "inf"),
        ("REPLAY_SPEED", "fast"),
        ("SAMPLE_SEED", "-1"),
        ("SAMPLE_SEED", "x"),
        ("SAMPLE_TICK_SECONDS", "0"),
        ("SAMPLE_TICK_SECONDS", "61"),
        ("MARKET_PUBLISHER_ID", "two words"),
        ("MARKET_PROVIDERS_OF", "news"),
        ("MARKET_PROVIDERS_OF", "weather=yahoo"),
        ("YAHOO_BUDGET", "many"),
        ("FMP_BUDGET", "0/day"),
        ("FMP_BASE_URL", "http://vendor.example/stable"),
        ("FMP_BASE_URL", "vendor.example"),
        ("FMP_BASE_URL", "https:///stable"),
    ],
)
def test_values_out_of_range_stop_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("seconds", ["0", "30", "120.5"])
def test_vendors_are_polled_no_faster_than_answers_serve(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("MARKET_POLL_SECONDS", seconds)
    assert Settings().market_poll_seconds == float(seconds)


@pytest.mark.parametrize("seconds", ["29.9", "0.1", "-1", "3601"])
def test_another_pace_of_polls_stops_the_start(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("MARKET_POLL_SECONDS", seconds)
    with pytest.raises(ValidationError, match="market_poll_seconds"):
        Settings()
