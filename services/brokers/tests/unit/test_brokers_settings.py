import pytest
from pydantic import ValidationError

from brokers.settings import Settings


def test_the_address_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERS_ADDRESS", "127.0.0.1:9104")
    assert Settings().brokers_address == "127.0.0.1:9104"


@pytest.mark.parametrize("url", ["wss://ws.kite.trade", "ws://127.0.0.1:8700", "ws://localhost:1", "wss://[::1]:1"])
def test_kites_ticker_may_be_anywhere_over_tls_and_on_loopback_without(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("KITE_TICKER_URL", f"{url}/")
    assert Settings().kite_ticker_url == url


@pytest.mark.parametrize(
    "url",
    ["ws://ws.kite.trade", "https://ws.kite.trade", "wss://", "wss://ws.kite.trade?a=1", "nonsense", "ws://[::2]:1"],
)
def test_kites_ticker_is_never_told_the_token_in_the_clear(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("KITE_TICKER_URL", url)
    with pytest.raises(ValidationError, match="must be wss://host"):
        Settings()


def test_a_publishers_name_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERS_PUBLISHER_ID", "two words")
    with pytest.raises(ValidationError):
        Settings()
