"""The terminal: every line with the name of the process that wrote it."""

import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

SUITE = "suite"


class Console:
    """Prints lines of several processes, one at a time; a reader that went away silences it and stops nothing."""

    def __init__(self, output: TextIO, names: Iterable[str]) -> None:
        names = list(names)
        self._output = output
        width = max(map(len, [SUITE, *names]))
        self._printer = Printer(output, time_format="", width=width)
        self._colours = dict(zip(names, get_colours(), strict=False))
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print a line of the suite's own."""
        self.relay(SUITE, text)

    def relay(self, name: str, text: str) -> None:
        """Print a line that the process `name` wrote."""
        message = Message("line", text, datetime.now(UTC), name, self._colours.get(name))
        with self._lock:
            try:
                self._printer.write(message)
            except OSError:
                self._silence()

    def _silence(self) -> None:
        # The pipe's reader or the terminal is gone. Python's own advice for SIGPIPE: what is still written, at exit
        # too, goes nowhere without another error.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._output.fileno())
        os.close(nowhere)
