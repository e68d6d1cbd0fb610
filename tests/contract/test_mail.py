"""What people are written: the summary, fires, lost passwords and addresses, on the embedded outbox of `.eml` files."""

import asyncio
import re
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx
import pytest

from contract.documents import Session, read, read_error
from contract.people_documents import THREE_STOCKS, Done, SummarySent
from harness.clients import PASSWORD, Account, register
from harness.processes import RunningSuite

MAIL_SECONDS = 20.0
ALREADY_TRUE = 99_000_000
NOTED = {"type": "buy", "symbol": "AAPL", "price": ALREADY_TRUE, "note": "<b>sell the car</b>"}


async def mail_to(
    suite: RunningSuite, account: Account, holds: Callable[[EmailMessage], bool], *, seconds: float = MAIL_SECONDS
) -> EmailMessage:
    """Wait for a mail to an address, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for path in (suite.plan.run_dir / "outbox").glob("*.eml"):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            assert isinstance(message, EmailMessage)
            if account.email in message["To"] and holds(message):
                return message
        await asyncio.sleep(0.2)
    raise AssertionError("no such mail")


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def token_in(message: EmailMessage, what: str) -> str:
    found = re.search(rf"/account#{what}=([\w-]{{43}})", text_of(message))
    assert found is not None, text_of(message)
    return found[1]


async def test_the_summary_is_sent(suite: RunningSuite, client: httpx.AsyncClient, account: Account) -> None:
    asked = await mail_to(suite, account, lambda message: "#verify=" in text_of(message))
    read(Done, await client.post("/api/auth/email/verify", json={"token": token_in(asked, "verify")}))
    portfolio = (await client.post("/api/portfolios/me", json={"name": "<Growth>"}, headers=account.bearer)).json()
    await client.post(f"/api/portfolios/me/{portfolio['id']}/stock", json=THREE_STOCKS, headers=account.bearer)

    answer = await client.post(f"/api/email/portfolio-summary/{account.user_id}", headers=account.bearer)

    read(SummarySent, answer)
    mail = await mail_to(suite, account, lambda message: "ummary" in message["Subject"], seconds=2)
    text, html = text_of(mail), text_of(mail, "html")
    assert "<Growth>" in text
    assert "<Growth>" not in html
    assert all("AAPL" in body and "SEBI" in body and "simulated" in body.lower() for body in (text, html))
    notice = (await client.get("/api/index/snapshot")).json()["notice"]
    assert notice in " ".join(text.split())
    assert mail["List-Unsubscribe"].startswith("<http")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_an_address_that_is_not_verified_is_told_no_portfolios_name(
    suite: RunningSuite, client: httpx.AsyncClient, account: Account
) -> None:
    portfolio = (await client.post("/api/portfolios/me", json={"name": "Send money"}, headers=account.bearer)).json()
    await client.post(f"/api/portfolios/me/{portfolio['id']}/stock", json=THREE_STOCKS, headers=account.bearer)

    read(SummarySent, await client.post("/api/email/portfolio-summary/me", headers=account.bearer))

    mail = await mail_to(suite, account, lambda message: "ummary" in message["Subject"], seconds=2)
    for body in (text_of(mail), text_of(mail, "html")):
        assert "Send money" not in body
        assert "Portfolio 1" in body
        assert "AAPL" in body


async def test_a_summary_of_nothing_says_so(suite: RunningSuite, client: httpx.AsyncClient, account: Account) -> None:
    answer = await client.post("/api/email/portfolio-summary/me", json={}, headers=account.bearer)

    read(SummarySent, answer)
    await mail_to(suite, account, lambda message: "ummary" in message["Subject"], seconds=2)


async def test_who_has_unsubscribed_gets_no_summary(
    suite: RunningSuite, client: httpx.AsyncClient, account: Account
) -> None:
    await client.post("/api/email/portfolio-summary/me", headers=account.bearer)
    mail = await mail_to(suite, account, lambda message: "ummary" in message["Subject"], seconds=2)
    address = httpx.URL(mail["List-Unsubscribe"].strip("<>"))

    # As a mail reader does it that knows no one click: the page of the mail's own link asks first.
    opened = await client.get(address.raw_path.decode())
    assert (opened.status_code, opened.headers["Location"].partition("#")[0]) == (303, "/account")
    assert opened.headers["Location"] in text_of(mail)
    kept = await client.get("/api/email/preferences/me", headers=account.bearer)
    assert kept.json()["preferences"] == {"alerts": True, "portfolio_summary": True}
    # And as one does it that knows: no session, a form.
    clicked = await client.post(
        address.raw_path.decode(),
        content=b"List-Unsubscribe=One-Click",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert clicked.status_code == 200, clicked.text
    read_error(await client.post("/api/email/portfolio-summary/me", headers=account.bearer), 400)
    preferences = await client.get("/api/email/preferences/me", headers=account.bearer)
    assert preferences.json()["preferences"] == {"alerts": True, "portfolio_summary": False}
    again = {"portfolio_summary": True}
    stranger = await client.put("/api/email/preferences/me", json=again, headers=account.bearer)
    assert "verify the address first" in read_error(stranger, 400)["message"]
    verification = await mail_to(suite, account, lambda message: "#verify=" in text_of(message))
    read(Done, await client.post("/api/auth/email/verify", json={"token": token_in(verification, "verify")}))
    wanted = await client.put("/api/email/preferences/me", json=again, headers=account.bearer)
    assert wanted.json()["preferences"] == {"alerts": True, "portfolio_summary": True}
    read(SummarySent, await client.post("/api/email/portfolio-summary/me", headers=account.bearer))


async def test_a_fire_is_told_by_mail(suite: RunningSuite, client: httpx.AsyncClient, account: Account) -> None:
    asked = await mail_to(suite, account, lambda message: "#verify=" in text_of(message))
    read(Done, await client.post("/api/auth/email/verify", json={"token": token_in(asked, "verify")}))
    await client.post("/api/alerts/me", json=NOTED, headers=account.bearer)

    mail = await mail_to(suite, account, lambda message: "AAPL" in message["Subject"])

    assert "sell the car" in text_of(mail)
    assert "<b>sell the car" not in text_of(mail, "html")
    assert "imulated" in text_of(mail)
    [fire] = (await client.get("/api/alerts/me/history", headers=account.bearer)).json()["fires"]
    assert mail["Message-ID"].strip("<>").partition("@")[0] == f"alert-{fire['alert_id']}-{fire['generation']}"


async def test_an_address_that_is_not_verified_gets_no_note(
    suite: RunningSuite, client: httpx.AsyncClient, account: Account
) -> None:
    await client.post("/api/alerts/me", json=NOTED, headers=account.bearer)

    mail = await mail_to(suite, account, lambda message: "AAPL" in message["Subject"])

    for body in (text_of(mail), text_of(mail, "html")):
        assert "sell the car" not in body
        assert "Verify your e-mail address to see your note here." in body


async def test_a_new_account_is_asked_to_verify_its_address(
    suite: RunningSuite, client: httpx.AsyncClient, account: Account
) -> None:
    mail = await mail_to(suite, account, lambda message: "#verify=" in text_of(message))
    token = token_in(mail, "verify")
    before = (await client.get("/api/auth/user/me", headers=account.bearer)).json()["user"]

    read(Done, await client.post("/api/auth/email/verify", json={"token": token}))

    after = (await client.get("/api/auth/user/me", headers=account.bearer)).json()["user"]
    assert (before["email_verified"], after["email_verified"]) == (False, True)
    read_error(await client.post("/api/auth/email/verify", json={"token": token}), 400)


async def test_a_forgotten_password_is_set_anew(
    suite: RunningSuite, client: httpx.AsyncClient, account: Account
) -> None:
    read(Done, await client.post("/api/auth/password/forgot", json={"email": account.email}))
    mail = await mail_to(suite, account, lambda message: "#reset=" in text_of(message))
    body = {"token": token_in(mail, "reset"), "password": "an entirely new one"}
    read_error(await client.post("/api/auth/password/reset", json={**body, "password": "short"}), 400)

    read(Done, await client.post("/api/auth/password/reset", json=body))

    read_error(await client.post("/api/auth/password/reset", json=body), 400)
    old = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
    read_error(old, 401, "INVALID_CREDENTIALS")
    new = await client.post("/api/auth/login", json={"email": account.email, "password": body["password"]})
    token = read(Session, new)["access_token"]
    client.cookies.clear()
    assert (await client.get("/api/auth/user/me", headers={"Authorization": f"Bearer {token}"})).status_code == 200
    async with asyncio.timeout(2):
        while (await client.get("/api/auth/user/me", headers=account.bearer)).status_code != 401:
            await asyncio.sleep(0.05)


async def test_an_unknown_address_is_answered_alike(client: httpx.AsyncClient, account: Account) -> None:
    known = await client.post("/api/auth/password/forgot", json={"email": account.email})
    unknown = await client.post("/api/auth/password/forgot", json={"email": "nobody@example.com"})

    assert read(Done, known) == read(Done, unknown)


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": "x" * 43}, {"token": 5}, {"token": None}])
async def test_what_is_no_token_verifies_nothing(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    read_error(await client.post("/api/auth/email/verify", json=body), 400)
    read_error(await client.post("/api/auth/password/reset", json={"password": "long enough", **body}), 400)


async def test_a_link_to_unsubscribe_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    for query in ("", "?token=x&list=alerts", f"?token={'x' * 43}&list=alerts", f"?token={'x' * 43}&list=spam"):
        read_error(await client.post(f"/api/email/unsubscribe{query}"), 400)


async def test_another_users_summary_is_refused(client: httpx.AsyncClient, account: Account) -> None:
    other = await register(client)

    read_error(await client.post(f"/api/email/portfolio-summary/{account.user_id}", headers=other.bearer), 403)
