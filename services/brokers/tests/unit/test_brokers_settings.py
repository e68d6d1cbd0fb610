import pytest

from brokers.settings import Settings


def test_the_address_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERS_ADDRESS", "127.0.0.1:9104")
    assert Settings().brokers_address == "127.0.0.1:9104"
