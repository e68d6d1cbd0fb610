from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.keys import DatedKey, PublicKey, RotationPolicy, standing_keys

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = RotationPolicy(publish_ahead=timedelta(minutes=1), token_lifetime=timedelta(days=7))


def key(name: str, age: timedelta) -> DatedKey:
    return DatedKey(PublicKey(name, name.encode().ljust(32)), START - age)


def names(keys: list[DatedKey], now: datetime = START) -> list[str]:
    return [each.id for each in standing_keys(keys, now, POLICY).published]


def test_the_only_key_signs_from_the_start() -> None:
    standing = standing_keys([key("first", timedelta())], START, POLICY)
    assert standing.signing.id == "first"
    assert standing.published == (standing.signing,)


def test_a_new_key_is_published_before_it_signs() -> None:
    keys = [key("new", timedelta(seconds=59)), key("old", timedelta(days=1))]
    assert names(keys) == ["old", "new"]
    assert names(keys, START + timedelta(seconds=1)) == ["new", "old"]


def test_an_old_key_is_published_until_its_last_token_has_expired() -> None:
    keys = [key("new", timedelta(days=7)), key("old", timedelta(days=30))]
    assert names(keys) == ["new", "old"]
    assert names(keys, START + timedelta(seconds=59)) == ["new", "old"]
    assert names(keys, START + timedelta(seconds=60)) == ["new"]


def test_a_clock_that_was_set_back_leaves_a_key_that_signs() -> None:
    keys = [key("new", -timedelta(days=1)), key("old", -timedelta(hours=1))]
    assert names(keys) == ["old", "new"]


def test_two_keys_of_one_second_are_ordered_alike_everywhere() -> None:
    keys = [key("a", timedelta(hours=1)), key("b", timedelta(hours=1))]
    assert names(keys) == names(keys[::-1]) == ["b", "a"]


@pytest.mark.parametrize("minutes", range(0, 60, 7))
def test_whoever_signs_is_published_first(minutes: int) -> None:
    keys = [key(str(age), timedelta(minutes=age)) for age in range(0, 60, 10)]
    standing = standing_keys(keys, START + timedelta(minutes=minutes), POLICY)
    assert standing.published[0] == standing.signing


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8, unique=True), st.integers(0, 20_000))
def test_the_key_of_every_unexpired_token_is_published(made_at: list[int], now: int) -> None:
    policy = RotationPolicy(publish_ahead=timedelta(seconds=50), token_lifetime=timedelta(seconds=700))
    keys = [key(str(second), timedelta(seconds=-second)) for second in made_at]

    def at(second: int) -> datetime:
        return START + timedelta(seconds=second)

    published = set(standing_keys(keys, at(now), policy).published)
    for issued in range(max(now - 699, min(made_at)), now + 1, 7):
        assert standing_keys(keys, at(issued), policy).signing in published
