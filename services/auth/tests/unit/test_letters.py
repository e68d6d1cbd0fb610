import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from html.parser import HTMLParser

import pytest
from pydantic import SecretStr

from auth.domain.letters import letter_of
from auth.domain.users import IdentityProvider, User
from auth.domain.wanted_mails import MailKind, WantedMail
from mail.messages import compose

MOMENT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
TOKEN = SecretStr("T" * 43)
SITE = "https://bourse.example.com"
SENDER = "Bourse <bourse@example.com>"


def user(email: str = "asha@example.com", name: str | None = "Asha") -> User:
    return User("1", IdentityProvider.PASSWORD, email, name, None, MOMENT)


def mail(kind: MailKind) -> WantedMail:
    return WantedMail("wanted-1", "1", kind, MOMENT)


class Page(HTMLParser):
    """Collects what a page links to, and what it says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize(
    ("kind", "fragment", "subject", "told"),
    [
        (MailKind.VERIFY_EMAIL, "verify", "Verify your e-mail address", "24 hours"),
        (MailKind.RESET_PASSWORD, "reset", "Set a new password", "one hour"),
    ],
)
def test_a_letter_says_who_asked_where_to_go_how_long_and_what_if_it_was_not_you(
    kind: MailKind, fragment: str, subject: str, told: str
) -> None:
    letter = letter_of(mail(kind), user(), TOKEN, public_url=SITE)
    link = f"{SITE}/account#{fragment}={TOKEN.get_secret_value()}"
    assert letter.subject == subject
    assert letter.text.splitlines().count(link) == 1
    assert letter.html is not None
    page = Page(letter.html)
    assert page.links == [link]
    for words in (letter.text, page.words):
        assert "asha@example.com" in words
        assert "bourse.example.com" in words
        assert told in words
        assert re.search(r"If it wasn't you .+, do nothing", words)


@pytest.mark.parametrize("kind", list(MailKind))
def test_nothing_that_a_stranger_typed_is_in_a_letter_but_the_address_escaped(kind: MailKind) -> None:
    hostile = user('"<b>&x{0}"@example.com', name="Win a prize at http://evil.example")
    letter = letter_of(mail(kind), hostile, TOKEN, public_url=SITE)
    assert letter.html is not None
    page = Page(letter.html)
    assert "b" not in page.tags
    assert hostile.email in page.words
    assert "evil" not in letter.text + letter.html


@pytest.mark.parametrize("kind", list(MailKind))
def test_a_letter_is_the_same_bytes_each_time(kind: MailKind) -> None:
    once, again = (compose(letter_of(mail(kind), user(), TOKEN, public_url=SITE), SENDER) for _ in range(2))
    assert once.as_bytes() == again.as_bytes()
    read = message_from_bytes(once.as_bytes(), policy=default)
    assert read["Message-ID"] == f"<{kind.value}-wanted-1@example.com>"
    assert read["Date"] == "Mon, 02 Mar 2026 09:15:00 +0000"


def test_a_letter_fits_a_phone() -> None:
    html = letter_of(mail(MailKind.RESET_PASSWORD), user(), TOKEN, public_url=SITE).html
    assert html is not None
    assert 'name="viewport"' in html
    assert "max-width:480px" in html
