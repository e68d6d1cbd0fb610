from pathlib import Path

import pytest

from alerts.settings import Settings


def test_without_an_address_the_database_is_a_file_under_run_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALERTS_DATABASE_URL", raising=False)
    settings = Settings(run_dir=Path("/somewhere"))
    assert settings.database_url == "sqlite+aiosqlite:////somewhere/alerts.sqlite3"


def test_a_given_address_wins_and_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTS_DATABASE_URL", "postgresql+asyncpg://owner:word@127.0.0.1:5432/alerts")
    settings = Settings()
    assert settings.database_url == "postgresql+asyncpg://owner:word@127.0.0.1:5432/alerts"
    assert "word" not in repr(settings)
