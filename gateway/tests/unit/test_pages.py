"""The pages made from the OpenAPI document: complete, linked, escaped, and with nothing from anywhere else."""

import json
from base64 import b64encode
from copy import deepcopy
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest

from gateway.app import create_api, describe_api
from gateway.pages.documentation import MEANINGS, documentation, error_codes
from gateway.pages.examples import Example, read_examples
from gateway.pages.finished import policy_of
from gateway.pages.markup import Html, code_of, prose, tag
from gateway.pages.operations import read_operations
from gateway.pages.reference import reference
from gateway.settings import Settings
from harness.examples import why_stale

API = create_api()
DOCUMENT: dict[str, Any] = json.loads(API.state.openapi_text)
EXAMPLES = read_examples()
OPERATIONS = read_operations(DOCUMENT)
FRONT = API.state.documents.front.text
REFERENCE = API.state.documents.reference.text
HOSTILE = "</script></style><img src=x onerror='alert(1)'>\"'&"
URL_ATTRIBUTES = {"href", "src", "action", "formaction", "srcset", "data", "poster"}


class Elements(HTMLParser):
    """All elements of a page, with their attributes and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.open: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.open = tag if tag in self.inline else None

    def handle_endtag(self, tag: str) -> None:
        self.open = None

    def handle_data(self, data: str) -> None:
        if self.open is not None:
            self.inline[self.open].append(data)
        else:
            self.words.append(data)

    @property
    def ids(self) -> list[str]:
        return [name for _, attributes in self.found if (name := attributes.get("id"))]

    @property
    def links(self) -> list[str]:
        return [attributes["href"] or "" for tag, attributes in self.found if tag == "a" and "href" in attributes]


PAGES = {"/": Elements(FRONT), "/docs": Elements(REFERENCE)}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_on_both_pages(operation: Any) -> None:
    assert PAGES["/"].ids.count(operation.anchor) == 1
    assert f"#{operation.anchor}" in PAGES["/"].links
    assert f"/#{operation.anchor}" in PAGES["/docs"].links
    forms = [attributes for tag, attributes in PAGES["/"].found if tag == "form"]
    assert [(form.get("data-method"), form.get("data-path")) for form in forms].count(
        (operation.method, operation.path)
    ) == 1


@pytest.mark.parametrize("path", PAGES)
def test_ids_are_unique_and_every_link_leads_somewhere(path: str) -> None:
    page = PAGES[path]
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        address, _, anchor = link.partition("#")
        target = address or path
        assert target in {*PAGES, "/api", "/openapi.json"}, link
        assert not anchor or anchor in PAGES[target].ids, link


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_anywhere_else(path: str) -> None:
    page = PAGES[path]
    addresses = [
        value for _, attributes in page.found for name, value in attributes.items() if name in URL_ATTRIBUTES and value
    ]
    assert addresses
    assert all(address.startswith(("/", "#", "data:image/svg+xml,")) for address in addresses)
    assert not any(address.startswith("//") for address in addresses)
    for text in [*page.inline["script"], *page.inline["style"]]:
        assert "http://" not in text
        assert "https://" not in text
    assert not any("url(" in text or "@import" in text for text in page.inline["style"])


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_allows_what_is_written_in_the_page_and_nothing_else(path: str) -> None:
    page, documents = PAGES[path], API.state.documents
    policy = (documents.front if path == "/" else documents.reference).headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        hashes = {f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in page.inline[element]}
        assert hashes
        assert set(rules[directive].split()) == hashes
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    for _, attributes in page.found:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)


def test_a_changed_script_has_another_policy() -> None:
    assert policy_of("<script>1</script><style></style>") != policy_of("<script>2</script><style></style>")


@pytest.mark.parametrize("path", PAGES)
def test_every_input_has_a_label(path: str) -> None:
    page = PAGES[path]
    labelled = {attributes.get("for") for tag, attributes in page.found if tag == "label"}
    inputs = [attributes.get("id") for tag, attributes in page.found if tag in ("input", "select", "textarea")]
    assert inputs
    assert set(inputs) <= labelled


def hostile(value: Any) -> Any:
    """Put markup into every text that people write: descriptions, names of parameters, examples."""
    if isinstance(value, dict):
        changed = {name: hostile(each) for name, each in value.items()}
        for name in ("description", "summary"):
            if isinstance(changed.get(name), str):
                changed[name] += HOSTILE
        return changed
    return [hostile(each) for each in value] if isinstance(value, list) else value


def test_no_text_becomes_markup() -> None:
    document = hostile(deepcopy(DOCUMENT))
    parameter = document["paths"]["/api/stream"]["get"]["parameters"][0]
    parameter["name"] = HOSTILE
    parameter["schema"]["enum"] = [HOSTILE]
    examples = {
        name: Example(200, "application/json", {HOSTILE: [HOSTILE]}, query={HOSTILE: HOSTILE}, headers={HOSTILE: "x"})
        for name in EXAMPLES
    }
    examples["GET /api/portfolio/live-prices"] = Example(200, "application/json", {"quotes": [{HOSTILE: HOSTILE}]})
    plain = documentation(DOCUMENT, {})

    for text in (documentation(document, examples), reference(document)):
        page = Elements(text)
        kinds = [tag for tag, _ in page.found]
        assert HOSTILE in "".join(page.words)
        assert "img" not in kinds
        assert kinds.count("script") == Elements(plain).found.count(("script", {}))
        assert not any("onerror" in attributes for _, attributes in page.found)


def test_markup_escapes_what_is_not_markup() -> None:
    assert tag("p", "<b>", Html("<i>x</i>"), None, title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<i>x</i></p>'
    assert prose("a `<b>` c\n\nd") == "<p>a <code>&lt;b&gt;</code> c</p><p>d</p>"
    assert code_of({"a<": '<\\"x'}).count("<i") == 2
    assert code_of([1.5, None]) == '[\n  <i class="n">1.5</i>,\n  <i class="w">null</i>\n]'


def test_every_error_code_is_explained() -> None:
    words = PAGES["/"].words
    assert {"INVALID_REQUEST", "BROKER_TOKEN_INVALID", "INTERNAL", "TOKEN_EXPIRED"} <= set(error_codes())
    assert set(error_codes()) == MEANINGS.keys()
    assert set(error_codes()) <= set(words)


def test_the_limits_shown_are_those_of_the_code() -> None:
    words = " ".join("".join(PAGES["/"].words).split())
    for kind in ("read", "cached", "write", "sync", "register", "login", "refresh", "recovery", "mail"):
        assert Settings.model_fields[f"gateway_limit_{kind}"].default in words


def test_the_pages_are_the_same_every_time() -> None:
    describe_api.cache_clear()
    again = create_api().state.documents

    assert (again.front.text, again.reference.text) == (FRONT, REFERENCE)
    assert again.information.text == API.state.documents.information.text


# --- examples -----------------------------------------------------------------------------------------------------


def described(name: str) -> dict[str, Any]:
    method, path = name.split(" ", 1)
    operation: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return operation


def test_the_reference_shows_what_fields_mean() -> None:
    described = DOCUMENT["components"]["schemas"]["Signal"]["properties"]["cases"]["description"]
    assert described.replace("`", "") in "".join(PAGES["/docs"].words)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_recorded_example_is_stale(name: str) -> None:
    assert name in {operation.name for operation in OPERATIONS}, "run: make examples"
    assert why_stale(EXAMPLES[name], described(name), DOCUMENT) is None, "run: make examples"


def test_every_operation_has_a_recorded_example() -> None:
    assert {operation.name for operation in OPERATIONS} == EXAMPLES.keys(), "run: make examples"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_stands_in_the_openapi_document_and_on_the_page(name: str) -> None:
    example, operation = EXAMPLES[name], described(name)
    content = operation["responses"][str(example.status)]["content"][example.media_type]
    assert content["example"] == example.answer
    if example.body is not None:
        assert operation["requestBody"]["content"]["application/json"]["example"] == example.body
    shown = "".join(PAGES["/"].words)
    if example.media_type == "application/json":
        assert json.dumps(example.answer, indent=2, ensure_ascii=False) in shown


def test_examples_that_no_longer_fit_are_found() -> None:
    name = "GET /api/portfolio/live-prices"
    good, operation = EXAMPLES[name], described(name)

    def reason(**changes: Any) -> str:
        fields = {each: getattr(good, each) for each in Example.__slots__}
        return why_stale(Example(**{**fields, **changes}), operation, DOCUMENT) or ""

    assert reason() == ""
    assert "extra" in reason(answer={**good.answer, "extra": 1})
    assert "errors" in reason(answer={"quotes": []})
    assert reason(status=201) == "status 201 is not announced"
    assert reason(query={}) == "symbols is missing in the query"
    assert reason(query={**good.query, "page": "1"}) == "page is no parameter in the query"
    assert reason(body={}) == "the body is missing, or there should be none"
    assert reason(media_type="text/csv") == "text/csv is not announced"


def test_no_example_holds_a_token() -> None:
    text = json.dumps([example.answer for example in EXAMPLES.values()])
    assert "eyJ" in text
    assert all(len(word) < 60 for word in text.replace('"', " ").split() if word.startswith("eyJ"))
