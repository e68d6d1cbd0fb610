"""Answers as comma-separated values (RFC 4180), safe to open in a spreadsheet.

A text that a spreadsheet would take for a formula gets an apostrophe in front of it. A number never does: it is one by
its field's type, not by its looks, and `-1.25` stays what it is. What is unknown is an empty cell.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response

from gateway.reply import Reply, read_in_turns

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
CSV_CONTENT = {"text/csv": {"schema": {"type": "string"}}}


async def csv_answer(model: type[Reply], rows: Sequence[Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return rows as a table: the model's JSON names in the first line, then what the model reads from each row."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(field.serialization_alias or name for name, field in model.model_fields.items())
    for row in await read_in_turns(model, rows):
        writer.writerow(map(_cell, row.model_dump(mode="json").values()))
    return Response(text.getvalue(), headers=dict(headers or {}), media_type="text/csv")


def _cell(value: str | float | bool | None) -> str | float | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
