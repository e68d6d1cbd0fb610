"""What promtool cannot see of rules and dashboards: that what they ask for is told, and what they point to is there."""

import importlib
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]  # nobody else here needs its stubs

from chassis.bus import EVENTS, TICKS
from harness.monitoring import (
    FOREIGN,
    MONITORING,
    ROOT,
    SOURCES,
    dashboards,
    expressions_of,
    names_in,
    panels_of,
    rules,
    told,
)

HANDBOOK = "docs/operations.md"
HANDBOOK_LINES = (ROOT / HANDBOOK).read_text().splitlines()
SEVERITIES = {"critical", "warning"}


def unknown(expression: str) -> set[str]:
    """Return what an expression asks for that nobody tells and no rule records."""
    recorded = rules("record")
    return {
        name
        for name in names_in(expression)
        if name not in told() and name not in recorded and not FOREIGN.fullmatch(name)
    }


def test_names_are_found_in_expressions() -> None:
    expression = (
        'max by (job, x) (rate(a_total{b="c_d"}[5m])) > 0.5 and on (route) route:b:rate5m offset 15m unless e_f'
    )
    assert names_in(expression) == {"a_total", "route:b:rate5m", "e_f"}


def test_links_in_the_handbook_lead_somewhere() -> None:
    text = (ROOT / HANDBOOK).read_text()
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.+)$", text)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors
    for path in re.findall(r"\]\(([^#)]+)\)", text):
        assert (ROOT / "docs" / path).exists(), path


def test_what_processes_tell_is_found_in_their_source() -> None:
    assert {"bourse_rpc_calls_total", "bourse_rpc_seconds_bucket", "bourse_ready"} <= set(told())
    assert not {"bourse_rpc_calls", "bourse_rpc_seconds", "bourse_ready_total"} & set(told())


@pytest.mark.parametrize("name", [*rules("alert"), *rules("record")])
def test_a_rule_asks_for_what_somebody_tells(name: str) -> None:
    rule = (rules("alert") | rules("record"))[name]
    assert unknown(rule["expr"]) == set()
    assert names_in(rule["expr"])


@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_shows_what_somebody_tells(name: str) -> None:
    strange = {title: unknown(shown) for title, shown in expressions_of(dashboards()[name]) if unknown(shown)}
    assert strange == {}


def headings() -> list[str]:
    runbooks = (ROOT / HANDBOOK).read_text().partition("## Runbooks")[2]
    return re.findall(r"^### (\w+)$", runbooks, re.MULTILINE)


@pytest.mark.parametrize("name", rules("alert"))
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = rules("alert")[name]
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"{HANDBOOK}#{name.lower()}"
    assert headings().count(name) == 1


def test_every_runbook_is_an_alerts() -> None:
    assert set(headings()) == set(rules("alert"))


def test_alerts_are_shown_to_fire_and_to_be_silent() -> None:
    tests = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    outcomes: dict[str, set[bool]] = {}
    for test in tests:
        for expected in test["promql_expr_test"]:
            for name in re.findall(r'alertname="(\w+)", alertstate="firing"', expected["expr"]):
                outcomes.setdefault(name, set()).add(bool(expected["exp_samples"]))
    assert outcomes == {name: {True, False} for name in rules("alert")}
    quiet = [each for each in tests[0]["promql_expr_test"] if each["expr"] == "ALERTS"]
    assert quiet
    assert not any(each["exp_samples"] for each in quiet)


@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_is_one_that_grafana_takes(name: str) -> None:
    dashboard = dashboards()[name]
    assert re.fullmatch(r"bourse-[a-z]{1,30}", dashboard["uid"])
    assert dashboard["title"].startswith("Bourse: ")
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard
    assert [each["type"] for each in dashboard["templating"]["list"]] == ["datasource"]
    panels = list(panels_of(dashboard))
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["type"] in {"row", "timeseries", "stat"}
        if panel["type"] != "row":
            check_targets(panel)


def check_targets(panel: Mapping[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == source
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["datasource"] == source
        assert target["expr"]


@pytest.mark.parametrize("name", dashboards())
def test_panels_do_not_cover_one_another(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboards()[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_dashboards_are_told_apart() -> None:
    found = dashboards()
    assert len(found) == 4
    assert len({each["uid"] for each in found.values()}) == len({each["title"] for each in found.values()}) == 4


@pytest.mark.parametrize("name", dashboards())
def test_prometheus_can_read_what_a_dashboard_shows(name: str, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool to read expressions with")
    shown = [shown.replace("$__rate_interval", "5m") for _, shown in expressions_of(dashboards()[name])]
    made = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(shown)]
    rules_file = tmp_path / "rules.yml"
    rules_file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": made}]}))
    checked = subprocess.run([promtool, "check", "rules", rules_file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# The handbook


@pytest.mark.parametrize("service", ["auth", "market", "portfolio", "alerts"])
def test_the_handbook_names_every_table(service: str) -> None:
    tables = importlib.import_module(f"{service}.storage.tables").METADATA.tables
    row = next(line for line in HANDBOOK_LINES if line.startswith(f"| `{service}` | `"))
    named = set(re.findall(r"`(\w+)`", row.split("|")[2]))
    assert named == set(tables)


def test_the_handbook_names_every_subject_and_stream() -> None:
    text = "\n".join(HANDBOOK_LINES)
    sources = [path.read_text() for folder in SOURCES for root in ROOT.glob(folder) for path in root.rglob("*.py")]
    subjects = {found for source in sources for found in re.findall(r'"((?:events|control)\.\w+\.\w+)"', source)}
    assert len(subjects) >= 8
    assert not {subject for subject in subjects if f"`{subject}`" not in text}
    for stream in (EVENTS, TICKS):
        assert stream.subjects
        assert stream.max_bytes
        assert f"| `{stream.name}` | `{stream.subjects[0]}` |" in text
        assert f"{stream.max_bytes // 2**20} MiB" in text


def test_the_handbook_names_what_can_be_set() -> None:
    examples = [ROOT / ".env.example", ROOT / "deploy" / "compose.env.example"]
    documented = {
        name for example in examples for name in re.findall(r"^#?([A-Z][A-Z0-9_]*)=", example.read_text(), re.MULTILINE)
    }
    used = {
        name
        for line in HANDBOOK_LINES
        for name in re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", line)
        if not name.startswith(("OTEL_TRACES", "GRPC_TLS_"))
    }
    assert len(used) > 20
    assert used <= documented | {"DEADLINE_EXCEEDED", "NATS_ROUTE_PASSWORD"}
