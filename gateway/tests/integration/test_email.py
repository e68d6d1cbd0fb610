"""Preferences, one-click unsubscribing and the summary on demand, over a real server and real gRPC."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chassis.errors import Code

CREDENTIALS = {"email": "user@example.com", "password": "correct horse"}
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BOTH = {"alerts": True, "portfolio_summary": True}


@pytest.fixture
async def person(running: Any) -> Any:
    """The world, with an account."""
    await running.http.post("/api/auth/register", json=CREDENTIALS)
    running.http.cookies.clear()
    return running


async def preferences_of(world: Any) -> Any:
    response = await world.http.get("/api/email/preferences/me", headers=world.sign_in("42"))
    assert response.status_code == 200
    return response.json()["preferences"]


def link(world: Any, name: str = "alerts") -> str:
    return f"/api/email/unsubscribe?token={world.auth.contact('42').unsubscribe_token}&list={name}"


# --- preferences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", ["me", "42"])
async def test_everything_is_wanted_until_somebody_says_otherwise(person: Any, user_id: str) -> None:
    response = await person.http.get(f"/api/email/preferences/{user_id}", headers=person.sign_in("42"))

    assert response.json() == {
        "success": True,
        "preferences": BOTH,
        "email": "user@example.com",
        "is_email_verified": False,
    }


@pytest.mark.parametrize(
    "wanted",
    [{"alerts": False}, {"portfolio_summary": False}, {"alerts": False, "portfolio_summary": False}, BOTH],
)
async def test_what_is_not_named_stays_as_it_was(person: Any, wanted: dict[str, bool]) -> None:
    response = await person.http.put("/api/email/preferences/me", json=wanted, headers=person.sign_in("42"))

    assert response.status_code == 200
    assert response.json()["preferences"] == {**BOTH, **wanted}
    assert await preferences_of(person) == {**BOTH, **wanted}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Send alerts, portfolio_summary or both"),
        ({"alerts": None}, "alerts: must be true or false"),
        ({"alerts": 1}, "alerts: must be true or false"),
        ({"alerts": "true"}, "alerts: must be true or false"),
        ({"alerts": True, "news": True}, "Unknown field: news"),
    ],
)
async def test_what_says_nothing_is_400(person: Any, body: dict[str, Any], message: str) -> None:
    response = await person.http.put("/api/email/preferences/me", json=body, headers=person.sign_in("42"))

    assert response.status_code == 400
    assert person.error_of(response)["message"] == message
    assert "SetMailLists" not in person.auth.calls


@pytest.mark.parametrize("wanted", [{"alerts": True}, BOTH])
async def test_a_list_that_was_ended_by_link_is_wanted_again_by_who_verified(
    person: Any, wanted: dict[str, bool]
) -> None:
    await person.http.post(link(person))
    headers = person.sign_in("42")

    stranger = await person.http.put("/api/email/preferences/me", json=wanted, headers=headers)
    between = await preferences_of(person)
    person.auth.user("42").is_email_verified = True
    owner = await person.http.put("/api/email/preferences/me", json=wanted, headers=headers)

    assert stranger.status_code == 400
    assert person.error_of(stranger)["code"] == "INVALID_REQUEST"
    assert person.error_of(stranger)["message"] == (
        "This address has unsubscribed from such mails; verify the address first, then ask for them"
    )
    assert between == {"alerts": False, "portfolio_summary": True}
    assert (owner.status_code, owner.json()["preferences"]) == (200, BOTH)


async def test_preferences_are_ones_own(person: Any) -> None:
    for method in ("GET", "PUT"):
        other = await person.http.request(
            method, "/api/email/preferences/42", headers=person.sign_in("43"), json={"alerts": False}
        )
        nobody = await person.http.request(method, "/api/email/preferences/42", json={"alerts": False})

        assert (other.status_code, nobody.status_code) == (403, 401)
    assert await preferences_of(person) == BOTH


async def test_a_cookie_alone_changes_no_preference(person: Any) -> None:
    await person.http.post("/api/auth/login", json=CREDENTIALS)

    forged = await person.http.put("/api/email/preferences/me", json={"alerts": False})
    csrf = {"X-CSRF-Token": person.http.cookies["csrf_token"]}
    meant = await person.http.put("/api/email/preferences/me", json={"alerts": False}, headers=csrf)

    assert (forged.status_code, meant.status_code) == (403, 200)


async def test_preferences_of_a_deleted_account_are_404(person: Any) -> None:
    response = await person.http.get("/api/email/preferences/me", headers=person.sign_in("99"))

    assert response.status_code == 404


# --- unsubscribing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ONE_CLICK, FORM),
        (b"", {}),
        (b'{"a": 1}', {"Content-Type": "application/json"}),
        (b"not json", {"Content-Type": "application/json"}),
        (b"\x00\xff", {"Content-Type": "application/octet-stream"}),
        (b"--b\r\n\r\n--b--", {"Content-Type": "multipart/form-data; boundary=b"}),
        (b"x" * 1024, {}),
    ],
)
async def test_one_click_ends_a_list_whatever_it_brings(person: Any, body: bytes, headers: dict[str, str]) -> None:
    response = await person.http.post(link(person), content=body, headers=headers)

    assert (response.status_code, response.json()["success"]) == (200, True)
    assert response.json()["message"] == "You will get no more of these mails"
    assert await preferences_of(person) == {"alerts": False, "portfolio_summary": True}


async def test_ending_an_ended_list_succeeds(person: Any) -> None:
    address = link(person, "portfolio-summary")

    answers = [await person.http.post(address, content=ONE_CLICK, headers=FORM) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert await preferences_of(person) == {"alerts": True, "portfolio_summary": False}


async def test_it_is_done_for_whoever_the_mail_went_to(person: Any) -> None:
    for headers in (person.sign_in("43"), {"Cookie": "access_token_cookie=nonsense"}):
        assert (await person.http.post(link(person), headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?list=alerts",
        "?token=&list=alerts",
        f"?token={'x' * 43}",
        f"?token={'x' * 43}&list=alerts",
        f"?token={'x' * 129}&list=alerts",
        f"?token={'x' * 43}&list=portfolio_summary",
        f"?token={'x' * 43}&list=",
        "?token=%FF%00&list=alerts",
    ],
)
async def test_a_link_that_is_none_is_400(person: Any, query: str) -> None:
    response = await person.http.post(f"/api/email/unsubscribe{query}", content=ONE_CLICK, headers=FORM)

    assert response.status_code == 400
    assert "x" * 43 not in response.text


async def test_a_body_over_a_kilobyte_is_413(person: Any) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(2):
            yield b"x" * 600

    for content in (b"x" * 1025, in_pieces()):
        response = await person.http.post(link(person), content=content, headers=FORM)

        assert response.status_code == 413
        assert person.error_of(response)["message"] == "The request's body is larger than 1,024 bytes"
    assert await preferences_of(person) == BOTH


@pytest.mark.parametrize("name", ["alerts", "portfolio-summary"])
async def test_following_the_link_leads_to_the_page_and_changes_nothing(
    person: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = person.auth.contact("42").unsubscribe_token

    for method in ("GET", "HEAD"):
        response = await person.http.request(method, f"{link(person, name)}&utm_source=mail")

        assert (response.status_code, response.content) == (303, b"")
        assert response.headers["location"] == f"/account#unsubscribe={token}&list={name}"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
    assert await preferences_of(person) == BOTH
    # What the test's own side of the connection says aside.
    records = [vars(record) for record in caplog.records if record.name.split(".")[0] not in ("httpx", "httpcore")]
    assert token not in str(records)


async def test_what_is_in_a_link_stays_in_its_fragment(person: Any) -> None:
    response = await person.http.get("/api/email/unsubscribe?token=a%0d%0aSet-Cookie:b%26list%3Dx%23/&list=alerts")

    assert response.headers["location"] == "/account#unsubscribe=a%0D%0ASet-Cookie%3Ab%26list%3Dx%23%2F&list=alerts"
    assert "set-cookie" not in response.headers


async def test_a_link_that_is_none_leads_nowhere(person: Any) -> None:
    for query in ("", "?list=alerts", "?token=&list=alerts", f"?token={'x' * 43}&list=spam"):
        response = await person.http.get(f"/api/email/unsubscribe{query}")

        assert response.status_code == 400
        assert "location" not in response.headers


async def test_mail_programs_may_add_names_of_their_own(person: Any) -> None:
    response = await person.http.post(
        f"{link(person)}&utm_source=mail&utm_source=again", content=ONE_CLICK, headers=FORM
    )

    assert response.status_code == 200
    assert (await preferences_of(person))["alerts"] is False


# --- the summary --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", ["me", "42"])
@pytest.mark.parametrize("body", [None, {}])
async def test_the_documented_answer(person: Any, user_id: str, body: dict[str, Any] | None) -> None:
    response = await person.http.post(
        f"/api/email/portfolio-summary/{user_id}", headers=person.sign_in("42"), json=body
    )

    assert response.status_code == 200
    assert response.json() == {
        "success": True,
        "message": "Portfolio summary email sent successfully",
        "message_id": "<summary-1@localhost>",
        "sent_at": "2026-04-07T09:00:00Z",
    }
    assert person.portfolio.summaries.sent == ["42"]


async def test_a_summary_is_sent_to_oneself_alone(person: Any) -> None:
    other = await person.http.post("/api/email/portfolio-summary/42", headers=person.sign_in("43"))
    nobody = await person.http.post("/api/email/portfolio-summary/42")
    await person.http.post("/api/auth/login", json=CREDENTIALS)
    forged = await person.http.post("/api/email/portfolio-summary/me")

    assert (other.status_code, nobody.status_code, forged.status_code) == (403, 401, 403)
    assert person.portfolio.summaries.sent == []


async def test_who_has_unsubscribed_gets_none(person: Any) -> None:
    person.portfolio.summaries.unwanted.add("42")

    response = await person.http.post("/api/email/portfolio-summary/me", headers=person.sign_in("42"))

    assert response.status_code == 400
    assert person.error_of(response)["message"] == "You have unsubscribed from summaries"


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ((Code.NOT_FOUND, "USER_NOT_FOUND"), 404),
        ((Code.FAILED_PRECONDITION, "EMAIL_UNVERIFIED"), 400),
        ((Code.INVALID_ARGUMENT, "MAIL_REFUSED"), 400),
        ((Code.RESOURCE_EXHAUSTED, "SUMMARY_THROTTLED"), 429),
        ((Code.UNAVAILABLE, "MAIL_UNAVAILABLE"), 503),
        ((Code.UNAVAILABLE, "PRICES_UNAVAILABLE"), 503),
        ((Code.UNAVAILABLE, "CONTACT_UNAVAILABLE"), 503),
    ],
)
async def test_why_it_was_not_sent(person: Any, make_refusal: Any, refusal: tuple[Code, str], status: int) -> None:
    person.portfolio.failure = make_refusal(*refusal, "it was not sent", 7.0)

    response = await person.http.post("/api/email/portfolio-summary/me", headers=person.sign_in("42"))

    assert response.status_code == status
    assert person.error_of(response)["message"] == "It was not sent"
    assert response.headers.get("retry-after") == ("7" if status in (429, 503) else None)


async def test_a_mail_server_may_take_longer_than_other_calls(world: Any) -> None:
    await world.open(rpc_deadline_seconds=0.2, gateway_mail_deadline_seconds=20)
    await world.until_ready()
    world.portfolio.delay_seconds = 0.5

    response = await world.http.post("/api/email/portfolio-summary/me", headers=world.sign_in("42"))

    assert response.status_code == 200


async def test_a_mail_server_that_never_answers_is_504(world: Any) -> None:
    await world.open(gateway_mail_deadline_seconds=0.2)
    await world.until_ready()
    world.portfolio.delay_seconds = 5

    response = await world.http.post("/api/email/portfolio-summary/me", headers=world.sign_in("42"))

    assert response.status_code == 504


# --- the page -----------------------------------------------------------------------------------------------------


async def test_the_account_page_is_served_and_not_kept(running: Any) -> None:
    page = await running.http.get("/account")
    head = await running.http.head("/account")

    assert page.status_code == head.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers.get_list("content-security-policy") == [page.headers["content-security-policy"]]
    assert "script-src 'sha256-" in page.headers["content-security-policy"]
    assert "etag" not in page.headers
    assert head.content == b""


async def test_the_account_page_takes_nothing(running: Any) -> None:
    assert (await running.http.post("/account", json={"token": "x"})).status_code == 405
