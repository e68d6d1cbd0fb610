"""What the processes tell of themselves, read out of their source, and what rules and dashboards ask for."""

import ast
import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]  # nobody else here needs its stubs

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
SOURCES = ("chassis/src", "mail/src", "gateway/src", "services/*/src")
# What Prometheus makes itself, what its library counts of each process, and NATS' exporter.
FOREIGN = re.compile(r"up|ALERTS|process_\w+|python_\w+|jetstream_\w+|gnatsd_\w+")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",), None: ("", "_total")}

_WORDS = {"and", "or", "unless", "on", "by", "ignoring", "without", "group_left", "group_right", "offset", "bool"}


@functools.cache
def told() -> Mapping[str, str | None]:
    """Return what each sample is called that a process may tell, with the metric's own name."""
    samples: dict[str, str | None] = {}
    for name, kind in _declared():
        samples |= {f"{name}{suffix}": name for suffix in SUFFIXES[kind]}
    return samples


def _declared() -> Iterator[tuple[str, str | None]]:
    for folder in SOURCES:
        for path in sorted(file for root in ROOT.glob(folder) for file in root.rglob("*.py")):
            text = path.read_text()
            if '"bourse_' in text:
                yield from _in_module(ast.parse(text))


def _in_module(module: ast.Module) -> Iterator[tuple[str, str | None]]:
    made: set[int] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            kind = _kind_of(node)
            if kind and isinstance(first, ast.Constant) and isinstance(first.value, str):
                made.add(id(first))
                yield first.value, kind
    for node in ast.walk(module):
        # Named in a table that is gone through: a gauge or a counter.
        if isinstance(node, ast.Constant) and id(node) not in made and re.fullmatch(r"bourse_\w+", str(node.value)):
            yield str(node.value), None


def _kind_of(call: ast.Call) -> str | None:
    assert isinstance(call.func, ast.Name)
    if call.func.id in {"counter", "histogram"}:
        return call.func.id
    if call.func.id != "reading":
        return None
    return "counter" if any(keyword.arg == "is_counter" for keyword in call.keywords) else "gauge"


def names_in(expression: str) -> set[str]:
    """Return the names of the samples that an expression asks for."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\boffset\s+\w+", "", bare)
    words = re.findall(r"[a-zA-Z_][\w:]*(?!\w)(?!\s*\()", bare)
    return {word for word in words if word not in _WORDS}


@functools.cache
def groups() -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    return found


@functools.cache
def rules(kind: str) -> dict[str, Mapping[str, Any]]:
    """Return the rules of a kind, `alert` or `record`, by name."""
    return {rule[kind]: rule for group in groups() for rule in group["rules"] if kind in rule}


@functools.cache
def dashboards() -> dict[str, Mapping[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(MONITORING.glob("dashboards/*.json"))}


def panels_of(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def expressions_of(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the title of each panel with each expression that it shows."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
