"""Writes HTML. What is not `Html` already is escaped where it enters, so that no text can become markup."""

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any, TypeAlias

VOID_ELEMENTS = frozenset({"input", "wbr"})

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>true|false|null)"
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"


def tag(name: str, /, *children: Child, **attributes: str | bool | None) -> Html:
    """Return an element; `class_` stands for `class`, `data_path` for `data-path`, None and False for no attribute."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID_ELEMENTS:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Child) -> Html:
    """Return children one after the other."""
    if children is None:
        return Html()
    if isinstance(children, Html):
        return children
    if isinstance(children, str):
        return Html(escape(children))
    return Html("".join(joined(child) for child in children))


def prose(text: str) -> Html:
    """Return paragraphs of plain text, whatever stands between backticks as code."""
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return joined(tag("p", _inline(paragraph)) for paragraph in paragraphs if paragraph)


def code_of(value: Any) -> Html:
    """Return a JSON value, indented and highlighted."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    parts: list[Child] = []
    end = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup or ""
        parts += [text[end : token.start()], tag("i", token.group(), class_=kind[0])]
        end = token.end()
    return joined([*parts, text[end:]])


def _inline(text: str) -> list[Child]:
    return [tag("code", part) if place % 2 else part for place, part in enumerate(text.split("`"))]


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'
