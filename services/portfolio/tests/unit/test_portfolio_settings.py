from pathlib import Path

import pytest

from portfolio.settings import Settings


def test_without_an_address_the_database_is_a_file_under_run_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTFOLIO_DATABASE_URL", raising=False)
    settings = Settings(run_dir=Path("/somewhere"))
    assert settings.database_url == "sqlite+aiosqlite:////somewhere/portfolio.sqlite3"


def test_a_given_address_wins_and_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", "postgresql+asyncpg://owner:word@127.0.0.1:5432/portfolio")
    settings = Settings()
    assert settings.database_url == "postgresql+asyncpg://owner:word@127.0.0.1:5432/portfolio"
    assert "word" not in repr(settings)
