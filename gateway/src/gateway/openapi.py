"""The API's description: FastAPI's, without what the framework assumes, with recorded examples and described groups."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from gateway.pages.examples import Example, Examples

UNUSED_STATUS = "422"
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
SERVERS = [{"url": "/", "description": "The server that this document came from."}]
TAGS = {
    "prices": "Last prices, one by one or as they change.",
    "stocks": "Prices, history, companies and their figures, by stock.",
    "indices": "Index levels, their members and the market at a glance.",
    "forex": "Currency pairs.",
    "earnings": "Who reports when.",
    "news": "Articles and press releases.",
    "exchanges": "Exchanges and when they are open.",
    "treasury": "Yields of US treasuries.",
    "instruments": "Finding an instrument, and the names it goes by.",
    "auth": "Accounts and sessions.",
    "email": "Mails: which are wanted, and a summary on demand.",
    "portfolio": "Holdings and positions synced from a broker.",
    "portfolios": "Portfolios that one enters by hand.",
    "watchlists": "Lists of instruments to watch, with their prices.",
    "alerts": "Price alerts that fire once.",
    "brokers": "The server-wide broker sessions.",
    "system": "The server itself: its pages, its health.",
}
"""What groups of operations are, in the order they are shown; a group that is not here follows in its routes' order."""
SPELLINGS = {"pnl": "P&L", "zerodha": "Zerodha", "icici": "ICICI", "api": "API"}


def describe(
    routes: Sequence[BaseRoute], examples: Examples, *, title: str, version: str, description: str
) -> dict[str, Any]:
    """Return the OpenAPI document; validation answers 400, which every route documents itself.

    Title, version and description are the document's own.
    """
    document = get_openapi(
        title=title, version=version, description=description, routes=list(routes), servers=list(SERVERS)
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop(UNUSED_STATUS, None)
            operation["summary"] = _sentence(operation["summary"])
            _illustrate(operation, examples.get(f"{method.upper()} {path}"))
    schemas = document.get("components", {}).get("schemas", {})
    for name in UNUSED_SCHEMAS:
        schemas.pop(name, None)
    document["tags"] = _tags_of(document)
    return document


def as_text(document: dict[str, Any]) -> str:
    """Return the document as it is served and kept, the same text for the same API."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sentence(summary: str) -> str:
    """Write a summary, which the framework makes of a function's name, as a sentence begins."""
    words = summary.lower().split()
    text = " ".join(SPELLINGS.get(word, word) for word in words)
    return text[:1].upper() + text[1:]


def _illustrate(operation: dict[str, Any], example: Example | None) -> None:
    if example is None:
        return
    content = operation["responses"].get(str(example.status), {}).get("content", {})
    if example.media_type in content:
        content[example.media_type]["example"] = example.answer
    if example.body is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example.body
    for parameter in operation.get("parameters", []):
        given = (example.path | example.query).get(parameter["name"])
        if given is not None and "example" not in parameter and "examples" not in parameter["schema"]:
            parameter["example"] = given


def _tags_of(document: Mapping[str, Any]) -> list[dict[str, str]]:
    used = dict.fromkeys(_used_tags(document))
    order = [*(name for name in TAGS if name in used), *(name for name in used if name not in TAGS)]
    return [{"name": name, "description": TAGS.get(name, name.capitalize())} for name in order]


def _used_tags(document: Mapping[str, Any]) -> Iterable[str]:
    return (operation["tags"][0] for methods in document["paths"].values() for operation in methods.values())
