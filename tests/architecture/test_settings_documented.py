import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
PROCESSES = ["alerts", "auth", "brokers", "gateway", "market", "portfolio", "suite"]
ENTRY = re.compile(r"^#?([A-Z][A-Z0-9_]*)=")


def settings_of(process: str) -> type[BaseSettings]:
    kind: type[BaseSettings] = importlib.import_module(f"{process}.settings").Settings
    return kind


def shown(value: Any) -> str:
    """Write a default as one would write it in the environment; nothing for unset."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def documented() -> dict[str, str]:
    """Every variable of .env.example with the comment above it."""
    entries: dict[str, str] = {}
    comment = ""
    for line in EXAMPLE.read_text().splitlines():
        if entry := ENTRY.match(line):
            assert entry.group(1) not in entries, f"{entry.group(1)} is there twice"
            entries[entry.group(1)] = comment
        comment = line.removeprefix("# ") if line.startswith("# ") else comment if ENTRY.match(line) else ""
    return entries


def declared(process: str) -> dict[str, str]:
    fields = settings_of(process).model_fields
    return {name.upper(): shown(field.get_default(call_default_factory=True)) for name, field in fields.items()}


@pytest.fixture(scope="module")
def sourced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a shell makes of the example with every variable set, as it is told to be used."""
    file = tmp_path_factory.mktemp("example") / ".env"
    file.write_text(re.sub(r"^#([A-Z][A-Z0-9_]*=)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE))
    show = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    command = ["/bin/sh", "-e", "-c", f"set -a; . ./.env; set +a; {show}"]
    ended = subprocess.run(command, cwd=file.parent, env={}, check=True, capture_output=True, text=True, timeout=60)
    assert ended.stderr == ""
    values: dict[str, str] = json.loads(ended.stdout)
    return values


@pytest.mark.parametrize("process", PROCESSES)
def test_every_variable_a_process_reads_is_in_the_example_with_its_default(
    process: str, sourced: dict[str, str]
) -> None:
    expected = declared(process)
    assert {name: sourced.get(name, "MISSING") for name in expected} == expected


def test_the_example_names_nothing_that_no_process_reads() -> None:
    read = {name for process in PROCESSES for name in declared(process)}
    assert set(documented()) <= read


def test_every_variable_is_explained() -> None:
    assert not [name for name, comment in documented().items() if len(comment) < 15]


def test_a_variable_means_the_same_to_all_who_read_it() -> None:
    defaults: dict[str, set[str]] = {}
    for process in PROCESSES:
        for name, default in declared(process).items():
            defaults.setdefault(name, set()).add(default)
    assert not {name: values for name, values in defaults.items() if len(values) > 1}


def test_copying_the_example_changes_nothing() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert not [line for line in lines if line and not line.startswith("#")]
