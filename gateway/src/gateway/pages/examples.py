"""The product's own answers, recorded by `make examples` from the suite on the sample market.

They stand in the OpenAPI document and on the page. A test reads each with the model of its route, so that one that has
become stale fails.
"""

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Example:
    """One request and what the product answered.

    Attributes:
        path: the values of the path's parameters, by name.
        headers: those of the answer that say something about it.
        answer: the body: JSON as it is, other types as text.
        left_out: how many elements lists had before they were cut, by their place in the answer.
    """

    status: int
    media_type: str
    answer: Any
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def address(self, template: str) -> str:
        """Return the path and query that were asked."""
        path = template
        for name, value in self.path.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=":,"))
        query = urlencode(self.query, safe=":,")
        return f"{path}?{query}" if query else path


Examples = dict[str, Example]
"""By method and path, such as `GET /api/index/snapshot`."""

FILE = files("gateway.pages").joinpath("examples.json")
READER = TypeAdapter(Examples)


def read_examples() -> Examples:
    """Return what is recorded."""
    return READER.validate_json(FILE.read_bytes())


def as_text(examples: Examples) -> str:
    """Return examples as they are kept."""
    plain = READER.dump_python(dict(sorted(examples.items())), mode="json", exclude_defaults=True)
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
