"""The API's description: FastAPI's, without what the framework assumes and this API does not do."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

UNUSED_STATUS = "422"
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def describe(api: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document; validation answers 400, which every route documents itself."""
    document = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop(UNUSED_STATUS, None)
    schemas = document.get("components", {}).get("schemas", {})
    for name in UNUSED_SCHEMAS:
        schemas.pop(name, None)
    return document


def as_text(document: dict[str, Any]) -> str:
    """Return the document as it is served and kept, the same text for the same API."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
