import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEV = ROOT / "requirements" / "dev.txt"
PINNED = re.compile(r"^([a-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([\w.+]+)", re.MULTILINE)
NARROWER = sorted(
    [
        ROOT / "requirements" / "run.txt",
        ROOT / "requirements" / "build.txt",
        ROOT / "gateway" / "requirements.txt",
        *ROOT.glob("services/*/requirements.txt"),
    ]
)


def pins(path: Path) -> set[tuple[str, str]]:
    return set(PINNED.findall(path.read_text()))


def names(path: Path) -> set[str]:
    return {name for name, _ in pins(path)}


def group(name: str) -> set[str]:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"][name]
    return {re.split(r"[\[<>=; ]", requirement)[0].lower() for requirement in listed}


@pytest.mark.parametrize("path", NARROWER, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_everything_installs_from_one_resolution(path: Path) -> None:
    assert pins(path)
    assert pins(path) <= pins(DEV)


def test_make_run_installs_no_test_tools() -> None:
    # What compiles the protos is needed to run, its type stubs come along; and some of what tests use, a member uses.
    tools = group("dev") - names(ROOT / "requirements" / "build.txt") - asked_by_members()
    assert {"pytest", "ruff", "mypy", "coverage"} <= tools
    assert not names(ROOT / "requirements" / "run.txt") & tools


def test_make_test_installs_all_of_them() -> None:
    assert group("dev") | group("build") <= names(DEV)


def asked_by_members() -> set[str]:
    manifests = [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]
    asked = [each for path in manifests for each in tomllib.loads(path.read_text())["project"]["dependencies"]]
    wanted = {re.split(r"[\[<>=; ]", requirement)[0].lower() for requirement in asked}
    return {name for name in wanted if not name.startswith("bourse-")}


def test_what_members_ask_for_is_pinned() -> None:
    assert len(asked_by_members()) > 10
    assert asked_by_members() <= names(ROOT / "requirements" / "run.txt")


def test_the_installer_itself_is_pinned_and_hashed() -> None:
    text = (ROOT / "requirements" / "uv.txt").read_text()
    assert PINNED.findall(text)[0][0] == "uv"
    assert text.count("--hash=sha256:") > 10
