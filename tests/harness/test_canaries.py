import base64
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.canaries import CHUNK_BYTES, CanarySearch, WatchedProcesses, changed_since, new_canary, now

FORMS: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "a piece": lambda canary: canary[11:19].encode(),
    "base64": lambda canary: base64.b64encode(canary.encode()),
    "base64 after one byte": lambda canary: base64.b64encode(b"x" + canary.encode()),
    "base64 after two bytes": lambda canary: base64.b64encode(b"xx" + canary.encode()),
    "base64 for addresses": lambda canary: base64.urlsafe_b64encode(canary.encode()),
    "a piece of base64": lambda canary: base64.b64encode(canary.encode())[8:16],
    "hexadecimal": lambda canary: canary.encode().hex().encode(),
    "upper hexadecimal": lambda canary: canary.encode().hex().upper().encode(),
    "URL-encoded": lambda canary: quote(canary, safe="").encode(),
    "URL-encoded in lower case": lambda canary: quote(canary, safe="").lower().encode(),
    "UTF-16": lambda canary: canary.encode("utf-16-le"),
    "reversed": lambda canary: canary[::-1].encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", range(9))
def test_a_canary_is_found_in_every_form_and_place(form: str, before: int) -> None:
    canary = new_canary()
    search = CanarySearch({"api_secret": canary, "other": new_canary()})

    hits = search.in_bytes(b"." * before + FORMS[form](canary) + b" and more", "here")

    assert {(hit.place, hit.canary) for hit in hits} == {("here", "api_secret")}


def test_seven_characters_are_no_find(tmp_path: Path) -> None:
    canary = new_canary()
    search = CanarySearch({"api_secret": canary})

    assert search.in_bytes(canary[:7].encode(), "here") == []
    assert search.in_bytes(b"", "here") == []


def test_other_randomness_is_no_find() -> None:
    search = CanarySearch({name: new_canary() for name in "abcdefgh"})
    rest = "".join(new_canary() for _ in range(2_000)).encode()

    assert search.in_bytes(rest + base64.b64encode(rest) + rest.hex().encode(), "here") == []


def test_a_canary_across_two_chunks_of_a_file_is_found(tmp_path: Path) -> None:
    canary = new_canary()
    (tmp_path / "large").write_bytes(b"." * (CHUNK_BYTES - 5) + canary[:8].encode() + b"." * 100)

    assert [hit.form for hit in CanarySearch({"a": canary}).in_folders([tmp_path])] == ["raw"]


def test_names_of_files_and_folders_are_searched_too(tmp_path: Path) -> None:
    canary = new_canary().replace("/", "-")
    (tmp_path / f"of-{canary[:10]}").mkdir()
    (tmp_path / f"of-{canary[-10:]}.log").touch()

    hits = CanarySearch({"a": canary}).in_folders([tmp_path])

    assert len({hit.place for hit in hits}) == 2


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("place", ["cmdline", "environ"])
def test_a_canary_in_a_process_is_found(place: str) -> None:
    canary = new_canary()
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import sys; sys.stdin.read()'])"
    arguments = [canary] if place == "cmdline" else []
    environment = {"PATH": "/usr/bin:/bin", **({"TOKEN": canary} if place == "environ" else {})}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, stdin=subprocess.PIPE)
    try:
        with WatchedProcesses(CanarySearch({"a": canary}), [process.pid]) as watched:
            deadline = time.monotonic() + 10
            while not watched.hits and time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        process.communicate(timeout=10)

    assert any(hit.place.startswith(place) for hit in watched.hits)


def test_what_was_written_since_is_listed(tmp_path: Path) -> None:
    since = now()
    (tmp_path / "skipped").mkdir()
    (tmp_path / "skipped" / "a").touch()
    (tmp_path / "b").touch()

    assert changed_since(since, [tmp_path], without=["skipped"]) == [tmp_path / "b"]
    assert changed_since(since + 3600, [tmp_path]) == []
