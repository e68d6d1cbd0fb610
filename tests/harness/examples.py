"""Whether a recorded example still is what the product answers: it is held against the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from gateway.pages.examples import Example

JSON = "application/json"


def why_stale(example: Example, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an example; None when it fits its operation."""
    problems = [*_request_problems(example, operation, document), *_answer_problems(example, operation, document)]
    return problems[0] if problems else None


def _request_problems(example: Example, operation: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    known = {(each["in"], each["name"]): each for each in operation.get("parameters", [])}
    given = {("path", name) for name in example.path} | {("query", name) for name in example.query}
    required = {key for key, each in known.items() if each.get("required") and key[0] in ("path", "query")}
    problems = [f"{name} is no parameter in the {place}" for place, name in sorted(given - known.keys())]
    problems += [f"{name} is missing in the {place}" for place, name in sorted(required - given)]
    body = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if (body is None) != (example.body is None):
        return [*problems, "the body is missing, or there should be none"]
    return problems if body is None else [*problems, *_misfits(example.body, body["schema"], document)]


def _answer_problems(example: Example, operation: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    response = operation["responses"].get(str(example.status))
    if response is None:
        return [f"status {example.status} is not announced"]
    content = response.get("content", {}).get(example.media_type)
    if content is None:
        return [f"{example.media_type} is not announced"]
    return _misfits(example.answer, content.get("schema", {}), document)


def _misfits(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)]
