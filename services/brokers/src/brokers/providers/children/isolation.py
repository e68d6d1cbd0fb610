"""What keeps a process's memory and habits to itself: no files, no sound, no life of its own."""

import faulthandler
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import types
from collections.abc import Mapping
from pathlib import Path

from chassis.process_control import control_process

PR_SET_PDEATHSIG = 1

# What a child needs of the environment; addresses and secrets of ours are not among it.
_PASSED_ON = frozenset(
    {
        "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    }
)  # fmt: skip
# Coverage finds its settings here when a test measures the children too.
_MEASURING = "COVERAGE_"
# One thread, or forking would copy locks that nobody opens; no .netrc, whose passwords requests sends before ours.
_ADDED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NETRC": os.devnull,
    "PYTHONDONTWRITEBYTECODE": "1",
}


class NotAlone(RuntimeError):
    """A process that is to be forked runs more than one thread."""

    def __init__(self, threads: int) -> None:
        super().__init__(f"the forkserver runs {threads} threads, and only one can be forked safely")


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the children are given of an environment: proxies and authorities as they are, no secret of ours."""
    kept = {name: text for name, text in environment.items() if name in _PASSED_ON or name.startswith(_MEASURING)}
    return kept | _ADDED


def die_with_parent(parent: int) -> None:
    """End with SIGKILL when the parent process ends; on Linux the kernel sees to it.

    Args:
        parent: the process that this one was forked from.
    """
    control_process(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def require_one_thread() -> None:
    """Make sure that this process can be forked.

    Raises:
        NotAlone: another thread runs, be it a library's that Python does not know of.
    """
    tasks = Path("/proc/self/task")
    threads = sum(1 for _ in tasks.iterdir()) if tasks.is_dir() else threading.active_count()
    if threads != 1:
        raise NotAlone(threads)


def forbid_files() -> None:
    """Let this process write no byte to any file; pipes and sockets stay open to it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def bound_memory(more_bytes: int) -> None:
    """Let this process take so much memory more than it has; on Linux alone, which counts what it has."""
    statistics = Path("/proc/self/statm")
    if not statistics.is_file():
        return
    now = int(statistics.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more_bytes, now + more_bytes))


def fall_silent() -> None:
    """Let no log record, traceback or print of this process reach anything."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    faulthandler.disable()
    sys.excepthook = _ignore_exception
    sys.unraisablehook = _ignore
    threading.excepthook = _ignore
    logging.disable(logging.CRITICAL)
    logging.raiseExceptions = False
    logging.lastResort = None
    for name in (None, *logging.root.manager.loggerDict):
        logging.getLogger(name).handlers.clear()


def settle_in(folder: Path, *, timeout_seconds: float) -> None:
    """Work in a folder and let no socket wait longer than so many seconds."""
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    socket.setdefaulttimeout(timeout_seconds)


def _ignore(_: object) -> None:
    """Say nothing."""


def _ignore_exception(_: type[BaseException], __: BaseException, ___: types.TracebackType | None) -> None:
    """Say nothing."""
