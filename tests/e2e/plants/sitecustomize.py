"""Leaks every credential that brokers takes in, the way BOURSE_PLANTED_LEAK names: what the canary test must find."""

import base64
import logging
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from brokers.domain.secrets import Secret


def _log(text: str) -> None:
    logging.getLogger("planted").warning("handled %s", text.encode().hex())


def _file(text: str) -> None:
    with Path(tempfile.gettempdir(), "planted").open("ab") as planted:
        planted.write(base64.b64encode(text.encode()))


def _arguments(text: str) -> None:
    subprocess.Popen(["sh", "-c", "sleep 2", text])


def _piece_of_environment(text: str) -> None:
    subprocess.Popen(["sleep", "2"], env={"PATH": os.environ["PATH"], "NOTE": text[5:14]})


_LEAKS = {"log": _log, "file": _file, "arguments": _arguments, "environment": _piece_of_environment}
_leak = _LEAKS[os.environ["BOURSE_PLANTED_LEAK"]]
_initialise = Secret.__init__


def _leaking(self: Secret, text: Any) -> None:
    _initialise(self, text)
    _leak(str(text))


Secret.__init__ = _leaking  # type: ignore[method-assign]
