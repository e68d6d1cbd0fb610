from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from jwt import PyJWK

from upstreams import google_faults
from upstreams.faults import Fault
from upstreams.google import DISCOVERY_PATH, SUBJECT, RunningGoogle, google_server
from upstreams.google_attacks import ATTACKS


@pytest.fixture
def google() -> Iterator[RunningGoogle]:
    with google_server() as running:
        yield running


def published(google: RunningGoogle) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = requests.get(google.jwks_url, timeout=5).json()["keys"]
    return keys


def test_a_token_is_verified_with_the_key_it_names(google: RunningGoogle) -> None:
    token = google.upstream.id_token()
    (key,) = published(google)
    assert {name: key[name] for name in ("kty", "use", "alg", "e")} == {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "e": "AQAB",
    }
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": key["kid"], "typ": "JWT"}
    claims = jwt.decode(
        token, PyJWK(key), algorithms=["RS256"], audience=google.client_id, issuer="https://accounts.google.com"
    )
    assert (claims["sub"], claims["email_verified"]) == (SUBJECT, True)
    assert claims["exp"] - claims["iat"] == 3600


def test_keys_say_how_long_they_may_be_kept(google: RunningGoogle) -> None:
    google.upstream.cache_control, google.upstream.age = "max-age=19", "7"
    headers = requests.get(google.jwks_url, timeout=5).headers
    assert (headers["Cache-Control"], headers["Age"]) == ("max-age=19", "7")
    google.upstream.cache_control = google.upstream.age = None
    assert not {"cache-control", "age"} & {name.lower() for name in requests.get(google.jwks_url, timeout=5).headers}


def test_a_rotated_key_is_published_beside_the_old_one_until_that_is_withdrawn(google: RunningGoogle) -> None:
    (old,) = google.upstream.key_ids
    new = google.upstream.rotate()
    assert [key["kid"] for key in published(google)] == [old, new]
    assert jwt.get_unverified_header(google.upstream.id_token())["kid"] == new
    google.upstream.withdraw(old)
    assert [key["kid"] for key in published(google)] == [new]
    assert google.journal.count("/certs") == 2


def test_the_discovery_document_says_where_the_keys_are(google: RunningGoogle) -> None:
    document = requests.get(google.url + DISCOVERY_PATH, timeout=5).json()
    assert document["jwks_uri"] == google.jwks_url
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]


def test_its_own_faults(google: RunningGoogle) -> None:
    google.faults.next("/certs", google_faults.keys({"kty": "RSA"}))
    google.faults.next("/certs", google_faults.redirect("http://127.0.0.1:9/"))
    google.faults.next("/certs", google_faults.too_long(100))
    google.faults.next("/certs", Fault.server_error())
    assert published(google) == [{"kty": "RSA"}]
    moved = requests.get(google.jwks_url, timeout=5, allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (302, "http://127.0.0.1:9/")
    assert len(requests.get(google.jwks_url, timeout=5).content) > 100
    assert requests.get(google.jwks_url, timeout=5).status_code == 503


def test_every_attack_differs_from_a_good_token(google: RunningGoogle) -> None:
    good = google.upstream.id_token()
    tokens = [attack(google.upstream) for attack in ATTACKS.values()]
    assert good not in tokens
    assert len(set(tokens)) == len(tokens)
