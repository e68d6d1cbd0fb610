"""Imports both SDKs once, before any fork, without letting Breeze's import-time habits out.

`import breeze_connect` downloads a file without a timeout, makes `./logs` with two debug files, puts itself into
`sys.path`, takes the module name `config` and switches IPv6 off for the process. None of it is left when this module is
done; it can shrink when the package stops doing so.
"""

import importlib
import io
import logging
import os
import shutil
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

BREEZE_MODULE = "breeze_connect.breeze_connect"
_TALKATIVE = ("APILogger", "WebsocketLogger")


def load_sdks(folder: Path) -> None:
    """Import both SDKs.

    Args:
        folder: an empty private folder that the import may write into.

    Raises:
        Exception: whatever a broken SDK raises.
    """
    importlib.import_module("kiteconnect")
    load_breeze(folder)


def load_breeze(folder: Path) -> ModuleType:
    """Import Breeze, or return it when it is imported, and leave no trace outside of it."""
    loaded = sys.modules.get(BREEZE_MODULE)
    if loaded is not None:
        return loaded
    connection: Any = importlib.import_module("urllib3.util.connection")
    # Breeze needs pandas to look up one name, and every child would carry it.
    with _working_in(folder), _import_state_kept(), _download_stubbed(), deferred("pandas"):
        has_ipv6 = connection.HAS_IPV6
        try:
            module = importlib.import_module(BREEZE_MODULE)
        finally:
            connection.HAS_IPV6 = has_ipv6
            _silence()
            shutil.rmtree("logs", ignore_errors=True)
    module.urlopen = urllib.request.urlopen  # type: ignore[attr-defined]  # it had bound the stub
    return module


def _silence() -> None:
    """Take its file handlers away: they would write whole portfolios, and the root logger would repeat them."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False


class _Deferred(ModuleType):
    """Stands in for a module until one of its names is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _forget_deferred(self.__name__)
        return getattr(importlib.import_module(self.__name__), name)


def _forget_deferred(name: str) -> None:
    if isinstance(sys.modules.get(name), _Deferred):
        del sys.modules[name]


@contextmanager
def deferred(name: str) -> Iterator[None]:
    """Let what is imported in the block import a module only when it uses it; one that is loaded stays as it is."""
    sys.modules.setdefault(name, _Deferred(name))
    try:
        yield
    finally:
        _forget_deferred(name)


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _import_state_kept() -> Iterator[None]:
    """Give back `sys.path` and whatever was called `config` before."""
    path, config = list(sys.path), sys.modules.pop("config", None)
    try:
        yield
    finally:
        sys.path[:] = path
        sys.modules.pop("config", None)
        if config is not None:
            sys.modules["config"] = config


@contextmanager
def _download_stubbed() -> Iterator[None]:
    """Answer the download with an empty archive."""
    archive = io.BytesIO()
    zipfile.ZipFile(archive, "w").close()

    def urlopen(*_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(archive.getvalue())

    real = urllib.request.urlopen
    urllib.request.urlopen = urlopen
    try:
        yield
    finally:
        urllib.request.urlopen = real
