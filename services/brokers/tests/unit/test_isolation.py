import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brokers.providers.children import isolation
from brokers.providers.children.isolation import NotAlone, clean_environment, require_one_thread
from brokers.providers.children.wire import (
    CONTROL_BYTES,
    Control,
    FrameTooLong,
    frame,
    pack_control,
    receive_frame,
    unpack_control,
)
from chassis import process_control


def in_a_process(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script that may do to its process what a child does."""
    imports = "from brokers.providers.children.isolation import *\nfrom chassis.process_control import *\n"
    source = imports + "import os, resource, sys, threading\n" + script
    return subprocess.run(
        [sys.executable, "-c", source], cwd=folder, check=False, capture_output=True, text=True, timeout=30
    )


def test_only_what_children_need_of_the_environment_is_passed_on() -> None:
    given = {
        "PATH": "/bin",
        "https_proxy": "http://127.0.0.1:3128",
        "SSL_CERT_FILE": "/ca.pem",
        "TZ": "UTC",
        "ICICI_ADMIN_SECRET": "canary",
        "ICICI_API_KEY": "canary",
        "PORTFOLIO_DATABASE_URL": "canary",
        "NATS_URL": "nats://canary@127.0.0.1",
        "HOME": "/somewhere",
    }
    kept = clean_environment(given)
    assert kept.items() >= {name: given[name] for name in ("PATH", "https_proxy", "SSL_CERT_FILE", "TZ")}.items()
    assert "canary" not in str(kept)
    assert "HOME" not in kept
    assert (kept["OMP_NUM_THREADS"], kept["NETRC"]) == ("1", os.devnull)


def test_no_core_is_dumped(tmp_path: Path) -> None:
    script = "forbid_core_dumps(); print(resource.getrlimit(resource.RLIMIT_CORE))"
    assert in_a_process(script, tmp_path).stdout == "(0, 0)\n"


def test_a_process_whose_parent_is_another_ends_at_once(tmp_path: Path) -> None:
    done = in_a_process("die_with_parent(os.getppid()); print('alive', flush=True); die_with_parent(1)", tmp_path)
    assert (done.stdout, done.returncode) == ("alive\n", 1)


def test_files_can_be_read_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("text")
    script = """
forbid_files()
print(open("there").read())
try:
    with open("new", "w") as file:
        file.write("text")
except OSError as error:
    print(type(error).__name__)
"""
    assert in_a_process(script, tmp_path).stdout == "text\nOSError\n"
    assert (tmp_path / "new").read_text() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not bound memory")
def test_memory_is_bounded(tmp_path: Path) -> None:
    script = """
bound_memory(64 * 1024 * 1024)
small = bytearray(1024 * 1024)
try:
    bytearray(256 * 1024 * 1024)
except MemoryError:
    print("bounded")
"""
    assert in_a_process(script, tmp_path).stdout == "bounded\n"


def test_silence_is_complete(tmp_path: Path) -> None:
    script = """
import logging
logging.basicConfig(level="DEBUG")
fall_silent()
logging.critical("canary")
print("canary")
os.write(2, b"canary")
threading.Thread(target=lambda: 1 / 0).start()
class Unraisable:
    def __del__(self):
        raise ValueError("canary")
Unraisable()
raise RuntimeError("canary")
"""
    done = in_a_process(script, tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 1)


def test_a_child_works_in_its_folder_and_waits_for_no_socket_for_ever(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    script = f"""
import socket, tempfile
settle_in(Path({str(folder)!r}), timeout_seconds=3)
print(os.getcwd(), tempfile.gettempdir(), socket.getdefaulttimeout())
"""
    assert in_a_process(script, tmp_path).stdout == f"{folder} {folder} 3.0\n"


def test_a_process_with_more_threads_is_not_forked(tmp_path: Path) -> None:
    require_one = "require_one_thread(); print('one')\n"
    assert in_a_process(require_one, tmp_path).stdout == "one\n"
    more = "threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()\n" + require_one
    assert "NotAlone" in in_a_process(more, tmp_path).stderr


def test_threads_are_counted_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    monkeypatch.setattr("threading.active_count", lambda: 3)
    with pytest.raises(NotAlone, match="3 threads"):
        require_one_thread()


def test_other_systems_have_no_process_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_control, "IS_LINUX", False)
    monkeypatch.setattr("ctypes.CDLL", None)
    isolation.die_with_parent(os.getppid())


@pytest.fixture
def ends() -> Any:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_frame_arrives_whole(ends: Any) -> None:
    ours, theirs = ends
    ours.sendall(frame({"text": "ü", "numbers": [1, 0.1, None]}))
    assert receive_frame(theirs, at_most=100) == {"text": "ü", "numbers": [1, 0.1, None]}


def test_a_frame_that_is_too_long_is_refused_before_it_is_read(ends: Any) -> None:
    ours, theirs = ends
    ours.sendall(frame("x" * 100))
    with pytest.raises(FrameTooLong, match="102 bytes"):
        receive_frame(theirs, at_most=50)


def test_a_frame_that_never_ends_is_an_end(ends: Any) -> None:
    ours, theirs = ends
    ours.sendall(frame("x" * 100)[:-1])
    ours.close()
    with pytest.raises(EOFError):
        receive_frame(theirs, at_most=1_000)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_frame_holds_no_number_that_is_none(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        frame(value)


def test_control_messages_have_one_size() -> None:
    message = pack_control(Control.ENDED, 7, -9)
    assert len(message) == CONTROL_BYTES
    assert unpack_control(message) == (Control.ENDED, 7, -9)
