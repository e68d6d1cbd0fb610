from datetime import UTC, datetime

import pytest

from auth.domain.revocations import PageEnd, PageTokenInvalid, Revocation, RevocationKind, RevocationsTooMany

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize("kind", RevocationKind)
@pytest.mark.parametrize("subject", ["1", "a:b", "x" * 255])
def test_the_end_of_a_page_is_read_back_as_it_was_written(kind: RevocationKind, subject: str) -> None:
    end = PageEnd.of(Revocation(kind, subject, NOW))
    assert PageEnd.read(end.written) == end == PageEnd(kind, subject)


def test_nothing_written_is_the_beginning() -> None:
    assert PageEnd.read("") is None


@pytest.mark.parametrize("token", ["x", ":", "user", "user:", "USER:1", "user:\x00", "user:" + "x" * 256])
def test_no_page_ends_elsewhere(token: str) -> None:
    with pytest.raises(PageTokenInvalid) as refused:
        PageEnd.read(token)
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


def test_too_many_at_once_are_told_to_be_asked_for_in_pages() -> None:
    refused = RevocationsTooMany()
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "REVOCATIONS_TOO_MANY")
    assert "page_size" in refused.message
