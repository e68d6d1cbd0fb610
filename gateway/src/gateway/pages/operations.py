"""Reads the OpenAPI document into what the pages show of an operation."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

JSON = "application/json"
STREAM = "text/event-stream"
FIRST_ERROR_STATUS = 400
SCHEMA_PREFIX = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Field:
    """One named value that is sent: a parameter, or a member of a body.

    Attributes:
        place: `path`, `query`, `header` or `body`.
        choices: all that may be sent; empty when that is no short list.
        example: a value that can be sent; empty when none is given.
    """

    name: str
    place: str
    type: str
    is_required: bool
    description: str
    choices: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as the pages show it.

    Attributes:
        access: `open` to anybody, `optional` where a token adds something, or `token`.
        bodies: the forms a body may have, each with its name; empty without a body.
        answer: the schema of the first good answer; None when it is not JSON.
        errors: statuses with their titles.
    """

    method: str
    path: str
    tag: str
    title: str
    description: str
    access: str
    parameters: tuple[Field, ...]
    bodies: tuple[tuple[str, tuple[Field, ...]], ...]
    status: str
    media_type: str
    answer: Schema | None
    errors: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Return the operation as it is spoken of: method and path."""
        return f"{self.method} {self.path}"

    @property
    def anchor(self) -> str:
        """Return the operation's place on the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def read_operations(document: Schema) -> list[Operation]:
    """Return all operations, in the order of the tags and of the document."""
    order = [each["name"] for each in document["tags"]]
    found = [
        _operation(path, method, described, document)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]
    return sorted(found, key=lambda operation: order.index(operation.tag))


def _operation(path: str, method: str, described: Schema, document: Schema) -> Operation:
    status, good = next(each for each in described["responses"].items() if int(each[0]) < FIRST_ERROR_STATUS)
    media_type, content = next(iter(good.get("content", {JSON: {}}).items()))
    errors = [each for each in described["responses"].items() if int(each[0]) >= FIRST_ERROR_STATUS]
    return Operation(
        method=method.upper(),
        path=path,
        tag=described["tags"][0],
        title=described["summary"],
        description=described["description"],
        access=_access(described.get("security", [])),
        parameters=tuple(_parameter(each) for each in described.get("parameters", [])),
        bodies=tuple(_bodies(described, document)),
        status=status,
        media_type=media_type,
        answer=content.get("schema") if media_type == JSON else None,
        errors=tuple((code, response["description"]) for code, response in errors),
    )


def _access(security: list[Schema]) -> str:
    if not security:
        return "open"
    return "optional" if {} in security else "token"


def _parameter(described: Schema) -> Field:
    schema = described["schema"]
    return Field(
        described["name"],
        described["in"],
        type_of(schema),
        described.get("required", False),
        described.get("description", ""),
        choices_of(schema),
        str(described.get("example", next(iter(schema.get("examples", [])), ""))),
    )


def _bodies(described: Schema, document: Schema) -> Iterator[tuple[str, tuple[Field, ...]]]:
    schema = described.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
    if schema is None:
        return
    for form in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        resolved = resolve(form, document)
        yield name_of(form), fields_of(resolved)


def fields_of(schema: Schema) -> tuple[Field, ...]:
    """Return the members of an object."""
    required = schema.get("required", [])
    return tuple(
        Field(name, "body", type_of(member), name in required, member.get("description", ""), choices_of(member))
        for name, member in schema.get("properties", {}).items()
    )


def resolve(schema: Schema, document: Schema) -> Schema:
    """Follow a reference."""
    name = name_of(schema)
    found: Schema = document["components"]["schemas"][name] if name else schema
    return found


def name_of(schema: Schema) -> str:
    """Return the name of the schema that is referred to; empty without one."""
    reference: str = schema.get("$ref", "")
    return reference.removeprefix(SCHEMA_PREFIX)


def choices_of(schema: Schema) -> tuple[str, ...]:
    """Return all values that a short list of them allows."""
    schema = next((each for each in schema.get("anyOf", []) if each.get("type") != "null"), schema)
    if schema.get("type") == "boolean":
        return ("true", "false")
    return tuple(str(choice) for choice in schema.get("enum", []))


def type_of(schema: Schema) -> str:
    """Return in words what values a schema allows."""
    if "$ref" in schema:
        return name_of(schema)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return " or ".join(type_of(branch) for branch in branches)
    if "const" in schema:
        return repr_of(schema["const"])
    if "enum" in schema:
        return " | ".join(repr_of(choice) for choice in schema["enum"])
    return _plain_type(schema)


def repr_of(value: Any) -> str:
    """Return a value as it stands in JSON; texts without quotes."""
    return {True: "true", False: "false", None: "null"}.get(value, str(value))


def _plain_type(schema: Schema) -> str:
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"object of {type_of(values)}" if isinstance(values, Mapping) else "object"
    return f"{schema.get('format') or kind}{_bounds(schema)}"


def _bounds(schema: Schema) -> str:
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    unit = " characters" if schema.get("type") == "string" else ""
    above = f", above {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else ""
    if low is not None and low == high:
        return f", {low}{unit}"
    if low is not None and high is not None:
        return f", {low} to {high:,}{unit}{above}"
    if high is not None:
        return f", up to {high:,}{unit}{above}"
    return f", {low} or more{unit}{above}" if low is not None else above
