"""Single values, as odd as Financial Modeling Prep may write them."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from market.providers.fmp.read import NEW_YORK, day, epoch, moment, number, price, text, truth, web_address, whole

KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (-2.5, -2.5),
        ("415.50", 415.5),
        (" 7 ", 7.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("", None),
        ("N/A", None),
        ("NaN", None),
        ("inf", None),
        ("1_000", None),
        ("1,000", None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e999", None),
        (10**400, None),
        (True, None),
        (None, None),
        ([1], None),
        ({}, None),
    ],
)
def test_numbers(value: Any, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0, None), (-1, None), ("0.01", 0.01), ("-3", None), (None, None)])
def test_prices_are_above_nothing(value: Any, expected: float | None) -> None:
    assert price(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (164000, 164000), ("164000", 164000), (97941.6, 97942), (-1, None), (2**63, None), ("many", None)],
)
def test_counts(value: Any, expected: int | None) -> None:
    assert whole(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(" A ", "A"), ("", None), ("  ", None), (None, None), (5, None), ("cut \ud83d", "cut"), ("\ud83d", None)],
)
def test_texts(value: Any, expected: str | None) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTP://example.com/a", "HTTP://example.com/a"),
        ("javascript:alert(1)", None),
        ("example.com", None),
        (None, None),
    ],
)
def test_addresses(value: Any, expected: str | None) -> None:
    assert web_address(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), ("true", None), (1, None)])
def test_truths(value: Any, expected: bool | None) -> None:
    assert truth(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-02-04", date(2025, 2, 4)),
        ("2025-02-04 15:55:00", date(2025, 2, 4)),
        ("2025-02-30", None),
        ("0000-00-00", None),
        ("20250204", None),
        ("", None),
        (None, None),
        (20250204, None),
    ],
)
def test_days(value: Any, expected: date | None) -> None:
    assert day(value) == expected


@pytest.mark.parametrize(
    ("value", "timezone", "expected"),
    [
        ("2025-02-03 23:51:37", NEW_YORK, datetime(2025, 2, 4, 4, 51, 37, tzinfo=UTC)),
        ("2025-07-03 23:51:37", NEW_YORK, datetime(2025, 7, 4, 3, 51, 37, tzinfo=UTC)),
        ("2025-02-04 09:15:00", KOLKATA, datetime(2025, 2, 4, 3, 45, tzinfo=UTC)),
        ("2025-01-21T01:24:32.000Z", NEW_YORK, datetime(2025, 1, 21, 1, 24, 32, tzinfo=UTC)),
        ("2025-02-04", NEW_YORK, None),
        ("2025-02-04 25:00:00", NEW_YORK, None),
        ("0001-01-01 00:00:00", KOLKATA, None),
        ("yesterday", NEW_YORK, None),
        ("", NEW_YORK, None),
        (None, NEW_YORK, None),
    ],
)
def test_moments(value: Any, timezone: ZoneInfo, expected: datetime | None) -> None:
    assert moment(value, timezone) == expected


def test_moments_when_the_clocks_change() -> None:
    before, after = (moment(f"2026-03-{day_} 09:30:00", NEW_YORK) for day_ in ("06", "09"))
    assert before is not None
    assert after is not None
    assert (before.hour, after.hour) == (14, 13)


@pytest.mark.parametrize(
    ("value", "units", "expected"),
    [
        (1738702800, 1, datetime(2025, 2, 4, 21, 0, tzinfo=UTC)),
        ("1738702800", 1, datetime(2025, 2, 4, 21, 0, tzinfo=UTC)),
        (1738715334311, 1000, datetime(2025, 2, 5, 0, 28, 54, 311000, tzinfo=UTC)),
        (1738715334311, 1, None),
        (0, 1, None),
        (-5, 1, None),
        (None, 1, None),
        ("NaN", 1, None),
    ],
)
def test_epochs(value: Any, units: int, expected: datetime | None) -> None:
    assert epoch(value, units_a_second=units) == expected
