from datetime import UTC, datetime, timedelta

import pytest

from alerts.domain.terms import ExpiryInvalid, NoteInvalid, read_note, require_expiry

NOW = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (None, None),
        ("", None),
        ("  \n", None),
        (" half of it\n at 150 ", "half of it\n at 150"),
        ("é" * 500, "é" * 500),
    ],
)
def test_a_note_is_kept_without_the_space_around_it(text: str | None, note: str | None) -> None:
    assert read_note(text) == note


@pytest.mark.parametrize("text", ["x" * 501, "a\x00b", "a\x1bb", "a\x85b"])
def test_a_note_that_is_too_long_or_no_text_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid, match="500 characters"):
        read_note(text)


@pytest.mark.parametrize("moment", [None, NOW + timedelta(microseconds=1), datetime(2199, 12, 31, tzinfo=UTC)])
def test_an_expiry_is_later_than_now(moment: datetime | None) -> None:
    assert require_expiry(moment, now=NOW) == moment


@pytest.mark.parametrize("moment", [NOW, NOW - timedelta(days=1), datetime(2200, 1, 1, tzinfo=UTC)])
def test_an_expiry_that_is_past_or_too_far_away_is_refused(moment: datetime) -> None:
    with pytest.raises(ExpiryInvalid, match="later than now"):
        require_expiry(moment, now=NOW)
