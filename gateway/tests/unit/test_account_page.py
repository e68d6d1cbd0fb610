"""The page that links in mails lead to: nothing from anywhere else, nothing kept, nothing run but its own."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

from gateway.app import api_routes, create_api
from gateway.models.email import MailListName
from gateway.pages.account import account_page
from gateway.pages.documentation import read

PAGE = account_page()
SCRIPT, STYLE = read("account.js"), read("account.css")


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ELEMENTS = Elements(PAGE.text).found


def test_it_loads_nothing_from_anywhere_else() -> None:
    addresses = [
        attributes[name] for _, attributes in ELEMENTS for name in ("href", "src", "action") if name in attributes
    ]
    assert all((address or "").startswith("data:image/svg+xml,") for address in addresses)
    for text in (SCRIPT, STYLE):
        assert "//" not in re.sub(r"^\s*// .*$", "", text, flags=re.MULTILINE)
        assert "url(" not in text
        assert "@import" not in text


def test_it_has_no_inline_handlers_or_styles() -> None:
    for _, attributes in ELEMENTS:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", "document.cookie"):
        assert word not in SCRIPT


def test_the_policy_allows_its_own_script_and_style_alone() -> None:
    rules = dict(rule.split(" ", 1) for rule in PAGE.headers["Content-Security-Policy"].split("; "))
    for text, directive in ((SCRIPT, "script-src"), (STYLE, "style-src")):
        assert text in PAGE.text
        assert rules[directive] == f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
    assert rules["default-src"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self'"


def test_it_is_not_kept_and_tells_nobody_where_one_came_from() -> None:
    assert PAGE.headers["Cache-Control"] == "no-store"
    assert PAGE.headers["Referrer-Policy"] == "no-referrer"


def test_the_fragment_leaves_the_address_bar() -> None:
    assert 'history.replaceState(null, "", location.pathname)' in SCRIPT


def test_every_address_it_posts_to_is_an_operation_that_takes_posts() -> None:
    operations = {route.path for route in api_routes() if "POST" in (route.methods or ())}
    addresses = set(re.findall(r'path: ["`](/[a-z/]+)', SCRIPT))
    assert addresses == {"/api/auth/email/verify", "/api/auth/password/reset", "/api/email/unsubscribe"}
    assert addresses <= operations


def test_it_knows_every_list() -> None:
    for name in MailListName.__args__:  # type: ignore[attr-defined]
        assert f'"{name}":' in SCRIPT


def test_it_is_no_part_of_the_described_api() -> None:
    assert "/account" not in json.loads(create_api().state.openapi_text)["paths"]


def test_every_input_has_a_label() -> None:
    labelled = {attributes.get("for") for tag, attributes in ELEMENTS if tag == "label"}
    inputs = {attributes.get("id") for tag, attributes in ELEMENTS if tag == "input"}
    assert inputs == labelled
