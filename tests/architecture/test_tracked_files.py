import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Put together from parts, so that this file does not find itself.
MACHINE_PATHS = re.compile(
    r"(?<![\w.])/(?:" + "|".join(("ro" + "ot", "wo" + "rk", "ho" + r"me/\w", "Us" + r"ers/\w")) + r")/"
)
REGISTRIES = re.compile(
    "(?i)" + "|".join(("pypi" + r"\.org", "python" + "hosted", "index" + "-url", "find" + "-links"))
)
SECRETS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\s)*[A-Za-z0-9+/]{40}"),
    "a signed token": re.compile(r"\beyJ[\w-]{12,}\.[\w-]{12,}\.[\w-]{12,}"),
    "a cloud key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a token of a code host": re.compile(r"\bgh[pousr]_\w{30,}"),
}


def tracked() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_text(errors="replace") for name in names}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return tracked()


def found_in(files: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [f"{name}: {match.group()}" for name, text in files.items() if (match := pattern.search(text))]


def test_the_patterns_find_what_they_look_for() -> None:
    assert MACHINE_PATHS.search("see /" + "root/x")
    assert not MACHINE_PATHS.search("client/" + "work/x")
    assert REGISTRIES.search("https://" + "pypi" + ".org/simple")
    assert SECRETS["a private key"].search("-----BEGIN EC PRIVATE KEY-----\n" + "M" * 64)
    assert SECRETS["a signed token"].search("eyJ" + "a" * 20 + "." + "b" * 20 + "." + "c" * 20)


def test_no_tracked_file_names_a_path_of_somebodys_machine(files: dict[str, str]) -> None:
    assert not found_in(files, MACHINE_PATHS)


def test_no_tracked_file_names_a_registry(files: dict[str, str]) -> None:
    assert not found_in(files, REGISTRIES)


@pytest.mark.parametrize("kind", SECRETS)
def test_no_tracked_file_holds_a_secret(files: dict[str, str], kind: str) -> None:
    assert not found_in(files, SECRETS[kind])


def test_pins_hold_hashes_and_no_address(files: dict[str, str]) -> None:
    pins = {name: text for name, text in files.items() if re.search(r"requirements(/\w+)?\.txt$", name)}
    assert len(pins) >= 4
    for name, text in pins.items():
        assert "://" not in text, name
        packages = re.findall(r"^[a-z0-9][\w.\[\]-]*==", text, re.MULTILINE)
        assert packages, name
        entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        assert all("--hash=sha256:" in entry for entry in entries), name


def test_generated_code_and_lock_files_with_addresses_are_not_tracked(files: dict[str, str]) -> None:
    assert not [name for name in files if name.endswith(("_pb2.py", "_pb2_grpc.py", "uv.lock"))]
