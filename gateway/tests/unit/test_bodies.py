import json
from decimal import Decimal

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from gateway.bodies import MAX_DEPTH, MAX_SEPARATORS, parse_object, read_bounded
from gateway.errors import BodyTooLarge, InvalidRequest
from gateway.wire import Message

TEXT = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_plain_json_says_is_kept(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


def test_a_number_with_a_point_is_what_was_written() -> None:
    assert parse_object(b'{"price": 150.10}')["price"] == Decimal("150.10")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"price": NaN}', "NaN"),
        (b'{"price": -Infinity}', "Infinity"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": {"b": 1, "b": 2}}', "twice"),
        (b'{"a": "\\u0000"}', "control character"),
        (b'{"a": "line\\nbreak"}', "control character"),
        (b'{"\\u0007": 1}', "control character"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\\u007f"}', "control character"),
        (b'{"a": [' + b"1," * MAX_SEPARATORS + b"1, 1]}", "commas"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark; send it without"),
        (b'{"a": ' + b"1" * 65 + b"}", "64 characters"),
        (b'{"a": 1.' + b"1" * 65 + b"}", "64 characters"),
        (b'{"a": 1e99999999999999999999}', "exponent"),
        (b'{"a": -0e-99999999999999999999}', "exponent"),
        (b'{"a": 1', "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "levels deep"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "levels deep"),
        (b'{"a": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_000 + b"}", "levels deep"),
    ],
)
def test_hostile_bodies_are_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        parse_object(body)


def test_nesting_up_to_the_bound_passes() -> None:
    depth = MAX_DEPTH - 1

    assert parse_object(b'{"a": ' + b"[" * depth + b"]" * depth + b"}")


def declaring(length: str) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"xx"}

    return Request({"type": "http", "headers": [(b"content-length", length.encode())]}, receive)


@pytest.mark.parametrize("length", ["2", "002", "0" * 5_000 + "2", "no number"])
async def test_a_body_of_a_length_within_the_limit_is_read(length: str) -> None:
    assert await read_bounded(declaring(length), 2, 5.0) == b"xx"


@pytest.mark.parametrize("length", ["3", "003", "9" * 20, "9" * 21, "9" * 5_000, "0" * 5_000 + "9" * 5_000])
async def test_a_body_that_is_declared_too_long_is_not_read(length: str) -> None:
    with pytest.raises(BodyTooLarge):
        await read_bounded(declaring(length), 2, 5.0)
