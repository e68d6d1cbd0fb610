import re
import tomllib
from pathlib import Path

import pytest
from honcho.environ import parse_procfile

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists())
DEPLOYABLES = {"gateway": ROOT / "gateway"} | {name: ROOT / "services" / name for name in SERVICES}
PARTS = {"__pycache__", "domain", "feed", "handlers", "messages", "providers", "storage"}
MIGRATION = re.compile(r"^\d{4}_[a-z0-9_]+\.py$")


def source_of(service: str) -> Path:
    return ROOT / "services" / service / "src" / service


def test_there_are_the_five_services_the_plan_names() -> None:
    assert SERVICES == ["alerts", "auth", "brokers", "market", "portfolio"]


@pytest.mark.parametrize("name", DEPLOYABLES)
def test_every_deployable_has_the_same_files(name: str) -> None:
    folder = DEPLOYABLES[name]
    expected = ["README.md", "pyproject.toml", "requirements.txt"]
    expected += [f"src/{name}/{file}" for file in ("__init__.py", "__main__.py", "app.py", "settings.py", "py.typed")]
    missing = [path for path in expected if not (folder / path).is_file()]
    assert not missing


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_code_lies_in_the_same_folders(name: str) -> None:
    folders = {path.name for path in source_of(name).iterdir() if path.is_dir()}
    assert folders <= PARTS


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_tested_in_the_same_folders(name: str) -> None:
    tests = ROOT / "services" / name / "tests"
    assert (tests / "unit").is_dir()
    assert (tests / "integration").is_dir()
    assert {path.name for path in tests.iterdir() if path.is_dir()} <= {
        "unit",
        "integration",
        "payloads",
        "__pycache__",
    }


@pytest.mark.parametrize("name", [name for name in SERVICES if (source_of(name) / "storage").is_dir()])
def test_a_database_has_tables_and_numbered_migrations(name: str) -> None:
    storage = source_of(name) / "storage"
    assert (storage / "tables.py").is_file()
    assert (storage / "migrations" / "env.py").is_file()
    versions = sorted(path.name for path in (storage / "migrations" / "versions").glob("*.py"))
    assert all(MIGRATION.match(version) for version in versions)
    numbers = [int(version[:4]) for version in versions]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", [name for name in SERVICES if (source_of(name) / "domain").is_dir()])
def test_a_domain_names_what_it_needs_in_ports(name: str) -> None:
    adapters = [part for part in ("storage", "providers") if (source_of(name) / part).is_dir()]
    assert not adapters or (source_of(name) / "domain" / "ports.py").is_file()


def test_no_module_has_a_name_that_says_nothing() -> None:
    nameless = {"utils", "helpers", "common", "misc", "base", "util", "helper"}
    folders = ("chassis", "mail", "gateway", "services", "suite")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert not [str(path.relative_to(ROOT)) for path in found if path.stem in nameless]


def test_the_procfile_runs_nats_and_every_deployable() -> None:
    commands = parse_procfile((ROOT / "Procfile").read_text()).processes
    assert set(commands) == {"nats", *DEPLOYABLES}
    assert next(iter(commands)) == "nats"
    assert list(commands)[-1] == "gateway"
    for name in DEPLOYABLES:
        assert commands[name] == f"python -m {name}"


def test_make_installs_every_member_of_the_workspace() -> None:
    makefile = (ROOT / "Makefile").read_text()
    found = re.search(r"^MEMBERS := (.+)$", makefile, re.MULTILINE)
    assert found
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    members = {
        path.parent.relative_to(ROOT).as_posix()
        for pattern in workspace
        for path in ROOT.glob(f"{pattern}/pyproject.toml")
    }
    assert set(found.group(1).split()) == members


def test_every_member_supports_the_same_pythons_under_the_same_licence() -> None:
    projects = [tomllib.loads(path.read_text())["project"] for path in ROOT.glob("**/pyproject.toml") if is_ours(path)]
    assert {project["requires-python"] for project in projects} == {">=3.11,<3.14"}
    assert {project["license"] for project in projects} == {"Apache-2.0"}


def is_ours(path: Path) -> bool:
    return ".venv" not in path.parts
