from pathlib import Path

import pytest
from pydantic import ValidationError

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


def test_nightly_snapshots_begin_half_an_hour_after_the_close_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PORTFOLIO_SNAPSHOT_DELAY_SECONDS", raising=False)
    assert Settings().portfolio_snapshot_delay_seconds == 1_800
    monkeypatch.setenv("PORTFOLIO_SNAPSHOT_DELAY_SECONDS", "60")
    assert Settings().portfolio_snapshot_delay_seconds == 60


@pytest.mark.parametrize("seconds", ["-1", "28801"])
def test_they_do_not_begin_before_the_close_or_after_midnight(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("PORTFOLIO_SNAPSHOT_DELAY_SECONDS", seconds)
    with pytest.raises(ValidationError, match="portfolio_snapshot_delay_seconds"):
        Settings()
