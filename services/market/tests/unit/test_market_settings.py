import pytest
from pydantic import ValidationError

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
        ("yahoo", "this version has no yahoo yet, only sample, replay, zerodha and icici"),
        ("zerodha,yahoo,fmp", "this version has no yahoo, fmp yet"),
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
    ],
)
def test_values_out_of_range_stop_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
