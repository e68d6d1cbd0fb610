"""The process that children are forked from: it has both SDKs in memory, one thread, and no secret.

It is our own rather than multiprocessing's, which hides what failed while it preloaded, imports the service's main
module into every child and cannot say which child ended how (docs/decisions/0007).
"""

import gc
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from brokers.providers.children.child import live
from brokers.providers.children.isolation import die_with_parent, require_one_thread
from brokers.providers.children.preload import load_sdks
from brokers.providers.children.wire import CONTROL_BYTES, Control, pack_control, unpack_control
from chassis.process_control import forbid_core_dumps

MAX_PROBLEM_BYTES = 500


class Forkserver:
    """Forks a child for every connection it is handed, ends children when told, and says when one has ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)

    def serve(self) -> None:
        """Serve until the service goes; then end all children."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            with suppress(EOFError, ConnectionError):
                while True:
                    ready = {key.fd for key, _ in selector.select()}
                    if self._woken in ready:
                        self._reap()
                    if self._control.fileno() in ready:
                        self._obey(selector)
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _obey(self, selector: selectors.BaseSelector) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, CONTROL_BYTES, 1)
        if len(message) != CONTROL_BYTES:
            raise EOFError
        what, child, _ = unpack_control(message)
        if what is Control.KILL:
            pid = self._children.get(child)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            return
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as connection:
                self._bear(child, connection, selector)

    def _bear(self, child: int, connection: socket.socket, selector: selectors.BaseSelector) -> None:
        try:
            self._children[child] = self._fork(connection, selector)
        except OSError:
            # A machine that has no place for one more process still has the other children.
            self._control.sendall(pack_control(Control.ENDED, child, -1))

    def _fork(self, connection: socket.socket, selector: selectors.BaseSelector) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid != 0:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            selector.close()
            self._control.close()
            os.close(self._woken)
            os.close(self._wake)
            live(connection, parent=parent)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        ended = {pid: child for child, pid in self._children.items()}
        while ended:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = ended.pop(pid)
            del self._children[child]
            self._control.sendall(pack_control(Control.ENDED, child, os.waitstatus_to_exitcode(status)))


def main() -> int:
    """Load the SDKs, say whether that worked, and serve; the first argument is the control socket's number."""
    control = socket.socket(fileno=int(sys.argv[1]))
    forbid_core_dumps()
    die_with_parent(int(sys.argv[2]))
    # A supervisor may tell all processes of a service to end; the service's own calls are let finish, and need these.
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, signal.SIG_IGN)
    try:
        load_sdks(Path.cwd())
        require_one_thread()
    except Exception as error:  # noqa: BLE001  # whatever a broken SDK raises is told, once, to the service's log
        problem = f"{type(error).__name__}: {error}".encode()[:MAX_PROBLEM_BYTES]
        control.sendall(pack_control(Control.BROKEN, number=len(problem)) + problem)
        return 1
    gc.collect()
    gc.freeze()
    control.sendall(pack_control(Control.READY))
    Forkserver(control).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
