from typing import Any

import pytest

from gateway.errors import RateLimited
from gateway.wire import INCOMING, Incoming, counted_address, finished_error, incoming_of


def incoming(*headers: tuple[bytes, bytes]) -> Incoming:
    return Incoming({"headers": list(headers), "client": ("10.0.0.1", 1)})


def test_a_sane_request_id_is_kept() -> None:
    assert incoming((b"x-request-id", b"abc-123.X_Y:z")).request_id == b"abc-123.X_Y:z"


@pytest.mark.parametrize("given", [b"", b"a" * 65, b"with space", b"new\nline", "é".encode(), b'"quoted"'])
def test_any_other_is_replaced(given: bytes) -> None:
    assert incoming((b"x-request-id", given)).request_id != given


def test_fresh_request_ids_differ() -> None:
    assert incoming().request_id != incoming().request_id


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::2:3", "2001:db8::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("not an address", "unknown"),
    ],
)
def test_an_ipv6_site_counts_as_one_caller(host: str, counted: str) -> None:
    assert counted_address(host) == counted


def test_a_request_without_a_client_is_counted_too() -> None:
    assert Incoming({"headers": []}).address == "unknown"


def test_a_user_counts_as_himself() -> None:
    made = incoming()
    made.user_id = "42"

    assert made.limit_key == "user:42"


def test_what_the_edge_noted_is_found_again() -> None:
    scope: dict[str, Any] = {"headers": []}

    noted = incoming_of(scope)

    assert incoming_of(scope) is noted
    assert scope[INCOMING] is noted


def test_a_finished_error_is_complete() -> None:
    request = incoming((b"x-request-id", b"r-1"))

    finished = finished_error(RateLimited(3), request)

    headers = dict(finished.headers)
    assert finished.status == 429
    assert headers[b"retry-after"] == b"3"
    assert headers[b"x-request-id"] == b"r-1"
    assert headers[b"content-length"] == str(len(finished.body)).encode()
    assert b'"request_id": "r-1"' in finished.body
