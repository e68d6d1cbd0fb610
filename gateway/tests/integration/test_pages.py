"""The pages over a real server: served from memory, known by their ETags, compressed when asked for."""

from typing import Any

import pytest

PATHS = ("/", "/docs", "/api", "/openapi.json")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "identity", "gzip;q=0"])
async def test_a_page_is_not_sent_twice(running: Any, path: str, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    first = await running.http.get(path, headers=headers)
    again = await running.http.get(path, headers={**headers, "If-None-Match": first.headers["etag"]})

    assert first.status_code == 200
    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.headers["vary"] == "Accept-Encoding"
    assert (first.headers.get("content-encoding") == "gzip") == (encoding == "gzip")
    assert again.headers["vary"] == "Accept-Encoding"
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("path", PATHS)
async def test_who_has_any_version_or_asks_for_the_head_alone_gets_no_page(running: Any, path: str) -> None:
    known = await running.http.get(path, headers={"If-None-Match": "*"})
    head = await running.http.head(path, headers={"Accept-Encoding": "identity"})

    assert known.status_code == 304
    assert (head.status_code, head.content, head.headers["vary"]) == (200, b"", "Accept-Encoding")


@pytest.mark.parametrize("path", PATHS)
async def test_both_encodings_are_the_same_page(running: Any, path: str) -> None:
    packed = await running.http.get(path, headers={"Accept-Encoding": "gzip"})
    plain = await running.http.get(path, headers={"Accept-Encoding": "identity"})

    assert packed.text == plain.text
    assert packed.headers["etag"] != plain.headers["etag"]


async def test_the_front_page_is_html_under_its_own_policy(running: Any) -> None:
    response = await running.http.get("/")

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'sha256-" in response.headers["content-security-policy"]
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in response.headers["content-security-policy"]
    assert response.headers["ratelimit-limit"]


async def test_operations_are_listed_as_json(running: Any) -> None:
    response = await running.http.get("/api/")

    assert response.headers["content-type"] == "application/json"
    assert response.json()["endpoints"]["auth"]["login"] == "/api/auth/login (POST)"
