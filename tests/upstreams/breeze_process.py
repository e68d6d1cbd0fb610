"""The real breeze_connect in a process of its own, from a test's side; `breeze_program` is the other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("breeze_program.py")
END_SECONDS = 20


class BreezeProcess:
    """An SDK client that has tried to log in.

    Attributes:
        opened: `{"answer": None}` after a login, or `{"error": "…"}`.
    """

    def __init__(self, root: str, folder: Path, *, api_key: str, api_secret: str, api_session: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, root],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.opened = self._ask([api_key, api_secret, api_session])

    def call(self, method: str, **arguments: str) -> Any:
        """Call one method of the SDK; return `{"answer": …}` or `{"error": "…"}`."""
        return self._ask([method, arguments])

    def end(self) -> None:
        """End the process."""
        self._process.communicate(timeout=END_SECONDS)

    def _ask(self, question: list[Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())
