from typing import Any

import pytest

from auth.domain.google_identities import GoogleIdentity, IdTokenInvalid, identity_of

SUBJECT = "110169484474386276334"
PICTURE = "https://lh3.example.com/a/portrait=s96-c"


def claims(**changes: Any) -> dict[str, Any]:
    said = {
        "sub": SUBJECT,
        "email": "Asha@Example.com",
        "email_verified": True,
        "name": "Asha Rao",
        "picture": PICTURE,
        "iat": 1_772_442_900,
        "exp": 1_772_446_500,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not ...}


def test_an_identity_is_what_the_claims_say() -> None:
    assert identity_of(claims()) == GoogleIdentity(SUBJECT, "Asha@example.com", "Asha Rao", PICTURE)


@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email_verified": None},
        {"email_verified": ...},
        {"email": ...},
        {"email": ""},
        {"email": "nobody"},
        {"email": ["asha@example.com"]},
        {"email": "asha@example.com\x00"},
        {"email": "a" * 250 + "@example.com"},
        {"sub": ...},
        {"sub": ""},
        {"sub": None},
        {"sub": 110169484474386276334},
        {"sub": "x" * 256},
        {"sub": "1101694\x00"},
        {"sub": "१२३४५६७८९०१२३४५६७८९"},
        {"sub": "1"},
        {"sub": "0" * 15},
        {"sub": "9" * 15},
        {"sub": "google_user_id"},
        {"sub": "-1"},
        {"sub": "1" * 20 + "/"},
        {"sub": "1" * 20 + " "},
        {"sub": "1" * 20 + "\n"},
        {"sub": "1" * 20 + "%2f"},
        {"sub": "../../../../../../.."},
        {"iat": "1772442900"},
        {"iat": 1772442900.5},
        {"exp": True},
        {"exp": "1772446500"},
        {"nbf": None},
        {"nbf": "1"},
    ],
)
def test_what_identifies_must_be_said_in_its_own_type(changes: dict[str, Any]) -> None:
    with pytest.raises(IdTokenInvalid) as refused:
        identity_of(claims(**changes))
    assert (refused.value.code, refused.value.reason) == ("UNAUTHENTICATED", "ID_TOKEN_INVALID")
    assert str(refused.value) == "the ID token is not valid; sign in with Google again"
    assert "asha" not in refused.value.cause


@pytest.mark.parametrize("name", [..., None, "", " ", 7, "x" * 101, "\u0958" * 51, "a\x00b", "\u202eahsA"])
def test_a_name_that_cannot_be_shown_is_left_out(name: object) -> None:
    assert identity_of(claims(name=name)).name is None


@pytest.mark.parametrize(
    "picture",
    [
        ...,
        7,
        "",
        "http://example.com/a",
        "javascript:alert(1)",
        "https://",
        "https://[",
        "https://example.com/a b",
        "https://example.com/\x00",
        "https://example.com/é",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_a_picture_that_is_no_https_address_is_left_out(picture: object) -> None:
    assert identity_of(claims(picture=picture)).picture is None


@pytest.mark.parametrize("subject", ["1" * 16, "1" * 255, "google-user_id.42"])
def test_ids_that_no_password_account_can_have_are_googles(subject: str) -> None:
    assert identity_of(claims(sub=subject)).subject == subject


def test_a_time_may_be_absent_if_the_verifier_does_not_ask_for_it() -> None:
    assert identity_of(claims(iat=..., exp=...)).subject == SUBJECT
