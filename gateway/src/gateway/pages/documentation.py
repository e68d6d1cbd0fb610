"""The documentation page, `GET /`: an introduction, and every operation with an example and a form to try it."""

import json
import re
from importlib.resources import files
from string import Template
from typing import Any

from gateway import errors
from gateway.errors import (
    BY_REASON,
    BY_STATUS,
    BY_TRANSPORT_STATUS,
    INTERNAL,
    ApiError,
    AuthRequired,
    Row,
    envelope,
)
from gateway.pages.examples import Example, Examples
from gateway.pages.markup import Child, Html, code_of, joined, prose, tag
from gateway.pages.operations import STREAM, Field, Operation, Schema, name_of, read_operations, type_of
from gateway.settings import Settings

FOLDER = files("gateway.pages")
ORIGIN = "http://127.0.0.1:8000"
"""Where `make run` serves; the page's script puts its own address in its place."""
SHOWN_REQUEST_ID = "5f1c09d2a7be-1a"
LIVE_PRICES = "GET /api/portfolio/live-prices"
REFERENCE = "/docs"
ACCESS = {"open": "no token needed", "optional": "token optional", "token": "token required"}
MEANINGS = {
    "INVALID_REQUEST": "The request cannot be understood or breaks a rule; `message` names the field and the rule.",
    "INVALID_CREDENTIALS": "The password, the refresh token or Google's ID token is wrong.",
    "AUTH_REQUIRED": "There is no token, or none that can be used.",
    "TOKEN_EXPIRED": "The token was good once. Refresh it.",
    "TOKEN_REVOKED": "Its session was ended, by its owner or because an old refresh token was used again.",
    "ACCESS_DENIED": "The token is good, but not for this: you can only access your own data.",
    "NOT_FOUND": "There is nothing at this path, or no such thing of yours.",
    "RATE_LIMITED": "Too many requests; `Retry-After` says when to come back.",
    "BROKER_TOKEN_INVALID": "A broker refused its credentials. Your token here is as good as before.",
    "UPSTREAM_UNAVAILABLE": "Something this answer needs is away; `Retry-After` says when to try again.",
    "UPSTREAM_TIMEOUT": "Something this answer needs did not answer in time.",
    "INTERNAL": "A fault of ours. The text is fixed; the `request_id` finds it in our log.",
}
TRIED_BODY_ROWS = 12

_TOPIC = re.compile(r'<section class="topic[a-z ]*" id="([a-z-]+)">\s*<h2>([^<]+)</h2>')


def documentation(document: Schema, examples: Examples) -> str:
    """Return the whole page."""
    operations = read_operations(document)
    introduction = introduce(document, examples)
    groups = [
        (each, [operation for operation in operations if operation.tag == each["name"]]) for each in document["tags"]
    ]
    contents = [
        _contents("Introduction", [(f"#{anchor}", None, title) for anchor, title in _TOPIC.findall(introduction)]),
        *(
            _contents(each["name"].capitalize(), [(f"#{found.anchor}", found.method, found.title) for found in members])
            for each, members in groups
        ),
    ]
    main = [introduction, *(_group(each, members, examples) for each, members in groups)]
    return assemble(f"{document['info']['title']} API", contents, main, document=document, is_full=True)


def assemble(title: str, contents: Child, main: Child, *, document: Schema, is_full: bool) -> str:
    """Return a page: what all pages share, with its own contents and main part."""
    return Template(read("page.html")).substitute(
        title=joined(title),
        version=joined(document["info"]["version"]),
        style=read("page.css"),
        theme=read("theme.js"),
        script=read("page.js"),
        contents=joined(contents),
        main=joined(main),
        on_full=' aria-current="page"' if is_full else "",
        on_reference="" if is_full else ' aria-current="page"',
    )


def read(name: str) -> str:
    """Return a source file of the pages."""
    return FOLDER.joinpath(name).read_text(encoding="utf-8")


# --- the introduction ---------------------------------------------------------------------------------------------


def introduce(document: Schema, examples: Examples) -> Html:
    """Return what comes before the operations, its figures those of the code."""
    figures = {name: joined(str(info.default)) for name, info in Settings.model_fields.items()}
    return Html(
        Template(read("introduction.html")).substitute(
            figures,
            description=joined(document["info"]["description"]),
            version=joined(document["info"]["version"]),
            operations=str(sum(len(methods) for methods in document["paths"].values())),
            error=code_of(json.loads(_refusal())),
            quote=_quote(examples.get(LIVE_PRICES)),
            error_rows=joined(_error_row(code, statuses) for code, statuses in sorted(error_codes().items())),
        )
    )


def _refusal() -> bytes:
    error = AuthRequired()
    return envelope(error.status, error.code, error.detail, for_request=SHOWN_REQUEST_ID)


def _quote(example: Example | None) -> Html:
    quotes = example.answer["quotes"] if example is not None else []
    return code_of(quotes[0] if quotes else {})


def error_codes() -> dict[str, set[int]]:
    """Return every code that an error may have, with the statuses it comes with."""
    rows = [*BY_REASON.values(), *BY_STATUS.values(), *BY_TRANSPORT_STATUS.values(), INTERNAL, *_own_rows()]
    found: dict[str, set[int]] = {}
    for row in rows:
        found.setdefault(row.code, set()).add(row.status)
    return found


def _own_rows() -> list[Row]:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ApiError)]
    return [Row(kind.status, kind.code) for kind in kinds]


def _error_row(code: str, statuses: set[int]) -> Html:
    shown = ", ".join(str(status) for status in sorted(statuses))
    return tag("tr", tag("td", tag("code", code)), tag("td", shown), tag("td", prose(MEANINGS.get(code, ""))))


# --- operations ---------------------------------------------------------------------------------------------------


def _contents(title: str, links: list[tuple[str, str | None, str]]) -> Html:
    return tag(
        "div",
        tag("p", title, class_="toc-title"),
        tag("ul", (tag("li", _link(*link)) for link in links)),
        class_="toc-group",
    )


def _link(address: str, method: str | None, title: str) -> Html:
    return tag("a", tag("span", title), badge(method) if method else None, href=address)


def badge(method: str) -> Html:
    """Return a method's badge."""
    return tag("span", method, class_=f"method {method.lower()}")


def path_of(path: str) -> list[Child]:
    """Return a path that may break at its slashes, its parameters marked."""
    parts = re.split(r"(\{[^}]*\}|/)", path)
    return [
        tag("em", part) if part.startswith("{") else [part, tag("wbr")] if part == "/" else part
        for part in parts
        if part
    ]


def _group(described: Schema, operations: list[Operation], examples: Examples) -> Html:
    name = described["name"]
    return tag(
        "section",
        tag("h2", name.capitalize(), class_="group-title"),
        tag("p", described["description"], class_="lead"),
        *(_operation(operation, examples.get(operation.name)) for operation in operations),
        class_="group",
        id=f"group-{name}",
    )


def _operation(operation: Operation, example: Example | None) -> Html:
    title = tag("a", operation.title, href=f"#{operation.anchor}", class_="anchor")
    address = tag("code", path_of(operation.path), class_="path")
    return tag(
        "article",
        tag(
            "div",
            tag("h3", title),
            tag("p", badge(operation.method), " ", address, class_="address"),
            tag("p", ACCESS[operation.access], class_=f"access {operation.access}"),
            prose(operation.description),
            _parameters(operation),
            [_body(name, fields) for name, fields in operation.bodies],
            _answers(operation),
            class_="about",
        ),
        tag("div", _example(operation, example), _trial(operation, example), class_="shown"),
        class_="operation",
        id=operation.anchor,
    )


def _parameters(operation: Operation) -> Html | None:
    if not operation.parameters:
        return None
    return joined([tag("h4", "Parameters"), fields_list(operation.parameters)])


def _body(name: str, fields: tuple[Field, ...]) -> Html:
    link = tag("a", name, href=f"{REFERENCE}#schema-{name}")
    return joined([tag("h4", "Body ", link), fields_list(fields)])


def fields_list(fields: tuple[Field, ...]) -> Html:
    """Return fields with what may be sent in them."""
    return tag("dl", (_field(field) for field in fields), class_="fields")


def _field(field: Field) -> Html:
    place = f"{field.place} · " if field.place != "body" else ""
    need = tag("span", "required", class_="required") if field.is_required else None
    kind = tag("span", f"{place}{field.type}", class_="kind")
    description = prose(field.description)
    return joined([tag("dt", tag("code", field.name), " ", kind, " ", need), tag("dd", description)])


def _answers(operation: Operation) -> Html:
    shape: Child = operation.media_type
    if operation.answer is not None:
        shape = linked_type(operation.answer, REFERENCE)
    good = tag("li", tag("b", operation.status), " ", shape, class_="good")
    bad = [tag("li", tag("b", code), " ", title) for code, title in operation.errors]
    return joined([tag("h4", "Answers"), tag("ul", good, bad, class_="answers")])


def linked_type(schema: Schema, page: str = "") -> Html:
    """Return in words what a schema allows, named schemas as links to where they stand on a page."""
    name = name_of(schema)
    if name:
        return tag("a", name, href=f"{page}#schema-{name}")
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return with_or([linked_type(branch, page) for branch in branches])
    if schema.get("type") == "array":
        return joined(["list of ", linked_type(schema.get("items", {}), page)])
    return joined(type_of(schema))


def with_or(parts: list[Html]) -> Html:
    """Return parts with a word between them."""
    return Html(" or ".join(parts))


# --- examples -----------------------------------------------------------------------------------------------------


def _example(operation: Operation, example: Example | None) -> Html:
    asked = tag("pre", tag("code", curl_line(operation, example)), tabindex="0", data_origin=True)
    request = tag("figure", tag("figcaption", "Request", _copy_button()), asked)
    if example is None:
        return request
    caption = [
        f"Answer {example.status}",
        tag("span", "recorded, sample market", class_="note"),
        _copy_button(),
    ]
    answer = code_of(example.answer) if example.media_type == "application/json" else joined(str(example.answer))
    is_wrapped = example.media_type == STREAM
    shown = tag("pre", tag("code", answer), class_="wrapped" if is_wrapped else None, tabindex="0")
    headers = [tag("li", tag("b", name), f" {value}") for name, value in example.headers.items()]
    cuts = ", ".join(f"{place or 'the answer'} has {count:,}" for place, count in example.left_out.items())
    return joined(
        [
            request,
            tag(
                "figure",
                tag("figcaption", caption),
                tag("ul", headers, class_="headers") if headers else None,
                shown,
                tag("p", f"Shortened: {cuts}.", class_="cut") if cuts else None,
            ),
        ]
    )


def _copy_button() -> Html:
    return tag("button", "Copy", type="button", class_="copy")


def curl_line(operation: Operation, example: Example | None) -> str:
    """Return the command that asks for the example."""
    address = (example or _asked_by_default(operation)).address(operation.path)
    lines = [f"curl{' -N' if operation.media_type == STREAM else ''}"]
    if operation.method != "GET":
        lines[0] += f" -X {operation.method}"
    lines[0] += f" '{ORIGIN}{_quoted(address)}'"
    if operation.access == "token":
        lines.append("-H 'Authorization: Bearer '\"$TOKEN\"")
    if example is not None and example.body is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d '{_quoted(json.dumps(example.body, ensure_ascii=False))}'")
    return " \\\n  ".join(lines)


def _asked_by_default(operation: Operation) -> Example:
    given = [field for field in operation.parameters if field.is_required and field.example]
    return Example(
        int(operation.status),
        operation.media_type,
        None,
        path={field.name: field.example for field in given if field.place == "path"},
        query={field.name: field.example for field in given if field.place == "query"},
    )


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''")


# --- trying it ----------------------------------------------------------------------------------------------------


def _trial(operation: Operation, example: Example | None) -> Html:
    inputs = [_input(field, operation, example) for field in operation.parameters if field.place in ("path", "query")]
    form = tag(
        "form",
        inputs,
        _body_input(operation, example),
        tag(
            "p",
            tag("button", "Send", type="submit", class_="send"),
            tag("button", "Stop", type="button", class_="stop", hidden=True),
            class_="buttons",
        ),
        tag("p", class_="status", role="status"),
        tag("pre", tag("code"), class_="answer", tabindex="0", hidden=True),
        class_="trial",
        data_method=operation.method,
        data_path=operation.path,
        data_access=operation.access,
    )
    return tag("details", tag("summary", "Try it"), form)


def _input(field: Field, operation: Operation, example: Example | None) -> Html:
    # A path and a query may both have a field of this name.
    name = f"{operation.anchor}--{field.place}-{field.name}"
    value = _given(field, example)
    shared: dict[str, Any] = {"id": name, "name": field.name, "data_place": field.place, "required": field.is_required}
    if field.choices:
        control = tag("select", _choices(field, value), **shared)
    else:
        control = tag("input", value=value, autocomplete="off", spellcheck="false", **shared)
    return tag("p", tag("label", field.name, for_=name), control, class_="input")


def _given(field: Field, example: Example | None) -> str:
    if example is None:
        return field.example if field.is_required else ""
    return (example.path if field.place == "path" else example.query).get(field.name, "")


def _choices(field: Field, value: str) -> list[Html]:
    choices = field.choices if field.is_required else ("", *field.choices)
    return [
        tag("option", choice or "not sent", value=choice, selected=choice == value and bool(value))
        for choice in choices
    ]


def _body_input(operation: Operation, example: Example | None) -> Html | None:
    if not operation.bodies:
        return None
    name = f"{operation.anchor}--body"
    given = example.body if example and example.body is not None else _empty_body(operation)
    text = json.dumps(given, indent=2, ensure_ascii=False)
    rows = str(min(TRIED_BODY_ROWS, text.count("\n") + 1))
    area = tag("textarea", text, id=name, name="body", rows=rows, spellcheck="false")
    return tag("p", tag("label", "Body", for_=name), area, class_="input")


def _empty_body(operation: Operation) -> dict[str, str]:
    return {field.name: "" for field in operation.bodies[0][1] if field.is_required}
