"""One running process of the suite: started, listened to, and ended, by its pid."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from suite.plan import ProcessPlan

KEPT_LINES = 15
PR_SET_PDEATHSIG = 1

OnLine = Callable[[str, str], None]
OnExit = Callable[[str], None]


class CannotStart(RuntimeError):
    """A command of the Procfile could not be run at all."""

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(f"cannot start {name}: {error.strerror} ({error.filename})")


class RunningProcess:
    """A started process; its output is read to the end, whether or not anybody wants it."""

    def __init__(self, plan: ProcessPlan) -> None:
        self.plan = plan
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # the Procfile is ours
                plan.command,
                env=dict(plan.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal goes to the whole group; the suite alone decides who ends when.
                start_new_session=True,
                preexec_fn=_end_with_parent(),  # noqa: PLW1509  # no thread runs before the last process is started
            )
        except OSError as error:
            raise CannotStart(plan.name, error) from error

    @property
    def name(self) -> str:
        """Return the process's name in the Procfile."""
        return self.plan.name

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return how it ended, a signal as its negative number; None while it runs."""
        return self._process.poll()

    def follow(self, on_line: OnLine, on_exit: OnExit) -> None:
        """Report every line of output, then the end, from a thread of their own."""
        threading.Thread(target=self._follow, args=(on_line, on_exit), name=f"follow-{self.name}", daemon=True).start()

    def end(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        self._process.send_signal(number)

    def reason(self) -> str:
        """Say how it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "still running"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    def _follow(self, on_line: OnLine, on_exit: OnExit) -> None:
        if self._process.stdout is None:
            raise AssertionError("the output is a pipe")
        with self._process.stdout as output:
            for line in output:
                text = line.decode(errors="replace").rstrip("\n")
                self.last_lines.append(text)
                on_line(self.name, text)
        self._process.wait()
        on_exit(self.name)


def _end_with_parent() -> Callable[[], None] | None:
    """Return what makes Linux end the process when the suite is killed; None where no such thing exists."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return partial(_ask_for_signal, prctl, os.getpid())


def _ask_for_signal(prctl: Callable[[int, int], int], parent: int) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
