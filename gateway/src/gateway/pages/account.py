"""The page `GET /account`, which links in mails lead to: a pressed button posts what the link's fragment holds."""

from dataclasses import dataclass
from functools import cache
from string import Template

from gateway.pages.documentation import read
from gateway.pages.finished import policy_of


@dataclass(frozen=True, slots=True)
class AccountPage:
    """The page, the same for everybody, and what is said with it."""

    text: str
    headers: dict[str, str]


@cache
def account_page() -> AccountPage:
    """Make the page, which may run and wear what is written in it and call this server alone.

    What it is about is in its fragment: nothing of it is to be kept, or told to the next page.
    """
    text = Template(read("account.html")).substitute(style=read("account.css"), script=read("account.js"))
    headers = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": policy_of(text),
    }
    return AccountPage(text, headers)
