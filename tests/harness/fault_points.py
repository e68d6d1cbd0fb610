"""Runs a service in which a process can be made to die at a named point: `python -m harness.fault_points`.

    python -m harness.fault_points <point> <passage> <port> -- alerts

The service's own code holds none of this: functions of it are wrapped here before it runs. At the given passage of the
point the process kills itself, if the port is 0; or else, at it and at every so many behind it, it says so on that
loopback port and stands still, with all of its event loop, until it is answered. An unknown point, or one whose
function is gone, ends the process at once.
"""

import importlib
import inspect
import os
import runpy
import signal
import socket
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

ANSWER_SECONDS = 60.0


class Point(NamedTuple):
    """A moment: in front of, or behind, a call of one function."""

    module: str
    name: str
    is_behind: bool = False


POINTS = {
    "batch taken": Point("alerts.feed.ticks", "read_batch", is_behind=True),
    "batch evaluated": Point("alerts.domain.watch", "Watch.evaluate", is_behind=True),
    "fire begins": Point("alerts.storage.fires", "Fires.fire"),
    "fire not committed": Point("alerts.storage.fires", "enqueue", is_behind=True),
    "fire committed": Point("alerts.storage.fires", "Fires.fire", is_behind=True),
    "relay publishes": Point("chassis.bus", "Bus.publish_event"),
    "relay published one": Point("chassis.bus", "Bus.publish_event", is_behind=True),
    "relay published all": Point("chassis.outbox", "delete"),
    "checkpoint begins": Point("alerts.storage.progress", "SavedProgress.save"),
    "checkpoint not committed": Point("alerts.storage.progress", "delete", is_behind=True),
    "checkpoint committed": Point("alerts.storage.progress", "SavedProgress.save", is_behind=True),
    "arming has a position": Point("alerts.storage.alerts", "Alerts.save"),
    "arming not committed": Point("alerts.storage.alerts", "_insert", is_behind=True),
    "arming committed": Point("alerts.storage.alerts", "Alerts.save", is_behind=True),
    "lease begins": Point("alerts.storage.leases", "Leases.renew"),
    "lease not committed": Point("alerts.storage.leases", "_change_hands", is_behind=True),
    "lease renewed": Point("alerts.storage.leases", "Leases.renew", is_behind=True),
    "lease given up": Point("alerts.storage.leases", "Leases.release"),
    "shard loaded": Point("alerts.domain.shards", "ShardLoader.load", is_behind=True),
    "mail taken up": Point("alerts.storage.deliveries", "Deliveries.begin", is_behind=True),
    "mail begins": Point("mail.mailers", "SmtpMailer.send"),
    "mail sent": Point("mail.mailers", "SmtpMailer.send", is_behind=True),
    "mail recorded": Point("alerts.storage.deliveries", "Deliveries.settle", is_behind=True),
}


class Fault:
    """Counts the passages of a point, and strikes at every so many."""

    def __init__(self, name: str, passage: int, port: int) -> None:
        self._name = name
        self._passage = passage
        self._left = passage
        self._port = port

    def pass_by(self) -> None:
        """Strike if it is time."""
        self._left -= 1
        if self._left:
            return
        self._left = self._passage
        if not self._port:
            os.kill(os.getpid(), signal.SIGKILL)
        with socket.create_connection(("127.0.0.1", self._port), timeout=ANSWER_SECONDS) as control:
            control.sendall(self._name.encode())
            control.recv(1)

    def install(self, point: Point) -> None:
        """Wrap the point's function where the service looks it up."""
        owner: Any = importlib.import_module(point.module)
        *path, name = point.name.split(".")
        for step in path:
            owner = getattr(owner, step)
        setattr(owner, name, self._wrapped(getattr(owner, name), is_behind=point.is_behind))

    def _wrapped(self, function: Callable[..., Any], *, is_behind: bool) -> Callable[..., Any]:
        @wraps(function)
        async def call_and_wait(*arguments: Any, **named: Any) -> Any:
            if not is_behind:
                self.pass_by()
            result = await function(*arguments, **named)
            if is_behind:
                self.pass_by()
            return result

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if not is_behind:
                self.pass_by()
            result = function(*arguments, **named)
            if is_behind:
                self.pass_by()
            return result

        return call_and_wait if inspect.iscoroutinefunction(function) else call


def main(arguments: list[str]) -> None:
    """Install the fault that the command line asks for and be the service it names."""
    name, passage, port, _, service, *rest = arguments
    Fault(name, int(passage), int(port)).install(POINTS[name])
    sys.argv = [service, *rest]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
