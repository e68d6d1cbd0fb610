"""The reference page, `GET /docs`: what stands in `/openapi.json`, its schemas and security, for people."""

from gateway.pages.documentation import ACCESS, assemble, badge, linked_type, path_of, with_or
from gateway.pages.markup import Child, Html, joined, prose, tag
from gateway.pages.operations import (
    JSON,
    Operation,
    Schema,
    read_operations,
    type_of,
)

LEAD = (
    "Everything here is read from the OpenAPI document, which generators of clients understand. "
    "Examples and forms to try operations are on the documentation page."
)


def reference(document: Schema) -> str:
    """Return the whole page."""
    operations = read_operations(document)
    schemas = document["components"]["schemas"]
    contents = [
        _contents("Reference", [("#operations", "Operations"), ("#security", "Security"), ("#schemas", "Schemas")]),
        _contents("Schemas", [(f"#schema-{name}", name) for name in sorted(schemas)]),
    ]
    main = [
        tag(
            "section",
            tag("h1", "Reference", class_="title"),
            tag("p", LEAD, class_="lead"),
            tag("p", tag("a", "/openapi.json", href="/openapi.json"), " · ", tag("a", "documentation", href="/")),
            class_="topic",
            id="reference",
        ),
        _section("operations", "Operations", _operations(operations, document)),
        _section("security", "Security", [_scheme(*each) for each in _schemes(document)]),
        _section("schemas", "Schemas", [_schema(name, schemas[name]) for name in sorted(schemas)]),
    ]
    return assemble(f"{document['info']['title']} reference", contents, main, document=document, is_full=False)


def _contents(title: str, links: list[tuple[str, str]]) -> Html:
    listed = (tag("li", tag("a", tag("span", name), href=address)) for address, name in links)
    return tag("div", tag("p", title, class_="toc-title"), tag("ul", listed), class_="toc-group")


def _section(anchor: str, title: str, content: Child) -> Html:
    return tag("section", tag("h2", title), content, class_="topic wide", id=anchor)


def _operations(operations: list[Operation], document: Schema) -> Html:
    rows = [_row(operation, document["paths"][operation.path][operation.method.lower()]) for operation in operations]
    heads = tag("tr", (tag("th", name, scope="col") for name in ("Operation", "Body", "Answer", "Access")))
    return tag("div", tag("table", tag("thead", heads), tag("tbody", rows)), class_="scroll", tabindex="0")


def _row(operation: Operation, described: Schema) -> Html:
    address = tag("a", badge(operation.method), " ", tag("code", path_of(operation.path)), href=f"/#{operation.anchor}")
    body = [linked_type(each) for each in _body_forms(described)]
    answer = linked_type(operation.answer) if operation.answer is not None else operation.media_type
    return tag(
        "tr",
        tag("td", address),
        tag("td", with_or(body)),
        tag("td", tag("b", operation.status), " ", answer),
        tag("td", ACCESS[operation.access]),
    )


def _body_forms(described: Schema) -> list[Schema]:
    content = described.get("requestBody", {}).get("content", {})
    schema = content.get(JSON, {}).get("schema")
    if schema is None:
        return []
    return list(schema.get("oneOf") or schema.get("anyOf") or [schema])


def _schemes(document: Schema) -> list[tuple[str, Schema]]:
    return list(document["components"].get("securitySchemes", {}).items())


def _scheme(name: str, scheme: Schema) -> Html:
    where = f"{scheme['type']} · {scheme.get('scheme') or scheme.get('name', '')}"
    return tag(
        "article",
        tag("h3", name),
        tag("p", where, class_="kind"),
        prose(scheme.get("description", "")),
        class_="schema",
        id=f"security-{name}",
    )


def _schema(name: str, schema: Schema) -> Html:
    required = schema.get("required", [])
    members = [
        _member(field, member, is_required=field in required) for field, member in schema.get("properties", {}).items()
    ]
    return tag(
        "article",
        tag("h3", tag("a", name, href=f"#schema-{name}", class_="anchor")),
        prose(schema.get("description", "")),
        tag("dl", members, class_="fields") if members else tag("p", type_of(schema), class_="kind"),
        class_="schema",
        id=f"schema-{name}",
    )


def _member(name: str, schema: Schema, *, is_required: bool) -> Html:
    need = None if is_required else tag("span", "optional", class_="note")
    head = tag("dt", tag("code", name), " ", tag("span", linked_type(schema), class_="kind"), " ", need)
    return joined([head, tag("dd", prose(schema.get("description", "")))])
