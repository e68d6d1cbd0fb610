"""Three NATS servers, each on a host of its own that can be cut off: network namespaces of this machine, made by root.

They run with the configuration that deploys (`deploy/k8s/components/nats`). The hosts have a bridge of their own with
one link to this machine; it leads nowhere else.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chassis.testing import nats_server_binary, stop_process

SHIPPED = Path(__file__).parents[2] / "deploy" / "k8s" / "components" / "nats"
NODES = (1, 2, 3)
COMMAND_SECONDS = 30
STREAMS_SECONDS = 150


def can_make_networks() -> bool:
    """Say whether this process may make network namespaces; root in a container often may not."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    probe = f"bourse{os.getpid() % 10_000}-probe"
    for action in ("add", "del"):
        if subprocess.run(
            ["ip", "netns", action, probe], check=False, capture_output=True, timeout=COMMAND_SECONDS
        ).returncode:
            return False
    return True


class NatsCluster:
    """Three servers that keep three copies of each stream.

    Attributes:
        url: the addresses of all three, as NATS_URL has them.
    """

    def __init__(self, folder: Path) -> None:
        mine = os.getpid()
        self._prefix = f"bourse{mine % 10_000}"
        self._network = f"10.99.{mine % 250 + 1}"
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._password = "a-password-of-a-test"  # of servers that nobody else reaches
        self._route_password = "another-of-a-test"
        self.url = ",".join(f"nats://bourse:{self._password}@{self._network}.{node}:4222" for node in NODES)

    def start(self) -> None:
        """Lay the network, start the servers and have the streams made."""
        self._lay()
        for node in NODES:
            self._processes.append(self._start(node))
        subprocess.run(  # our own script
            [sys.executable, SHIPPED / "streams.py"],
            env={**os.environ, "NATS_URL": self.url},
            check=True,
            capture_output=True,
            timeout=STREAMS_SECONDS,
        )

    def cut(self, node: int) -> None:
        """Cut a host off from the others and from this machine: nothing is refused, nothing arrives."""
        self._ip("-n", self._host("switch"), "link", "set", f"port{node}", "down")

    def heal(self, node: int) -> None:
        """Connect a host again."""
        self._ip("-n", self._host("switch"), "link", "set", f"port{node}", "up")

    def part(self, node: int) -> None:
        """Cut a host off from the other two alone: its clients on this machine keep their connections."""
        for other in self._others(node):
            self._ip("-n", self._host(node), "route", "add", "blackhole", other)

    def rejoin(self, node: int) -> None:
        """Connect a host with the other two again."""
        for other in self._others(node):
            self._ip("-n", self._host(node), "route", "del", "blackhole", other)

    def address_of(self, node: int) -> str:
        """Return the address of one server."""
        return self.url.split(",")[node - 1]

    def stop(self) -> None:
        """End the servers and take the network down."""
        for process in self._processes:
            stop_process(process)
        for host in ("switch", *NODES):
            subprocess.run(
                ["ip", "netns", "del", self._host(host)],
                check=False,
                capture_output=True,
                timeout=COMMAND_SECONDS,
            )

    def _others(self, node: int) -> list[str]:
        return [f"{self._network}.{each}/32" for each in NODES if each != node]

    def _host(self, name: str | int) -> str:
        return f"{self._prefix}-{name}"

    def _lay(self) -> None:
        switch, link = self._host("switch"), f"{self._prefix}r"
        self._ip("netns", "add", switch)
        self._ip("-n", switch, "link", "add", "bridge0", "type", "bridge")
        self._ip("-n", switch, "link", "set", "bridge0", "up")
        self._ip("link", "add", link, "type", "veth", "peer", "name", "outside", "netns", switch)
        self._ip("-n", switch, "link", "set", "outside", "master", "bridge0", "up")
        self._ip("addr", "add", f"{self._network}.254/24", "dev", link)
        self._ip("link", "set", link, "up")
        for node in NODES:
            host = self._host(node)
            self._ip("netns", "add", host)
            self._ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{node}", "netns", switch)
            self._ip("-n", switch, "link", "set", f"port{node}", "master", "bridge0", "up")
            self._ip("-n", host, "addr", "add", f"{self._network}.{node}/24", "dev", "eth0")
            self._ip("-n", host, "link", "set", "eth0", "up")
            self._ip("-n", host, "link", "set", "lo", "up")

    def _start(self, node: int) -> "subprocess.Popen[bytes]":
        folder = self._folder / f"nats-{node}"
        folder.mkdir()
        configuration = folder / "nats.conf"
        shipped = (SHIPPED / "nats.conf").read_text()
        configuration.write_text(shipped.replace('"/data"', f'"{folder}"').replace("/tmp/", f"{folder}/"))
        routes = {
            f"NATS_ROUTE_{each - 1}": f'"nats://server:{self._route_password}@{self._network}.{each}:6222"'
            for each in NODES
        }
        passwords = {"NATS_PASSWORD": f'"{self._password}"', "NATS_ROUTE_PASSWORD": f'"{self._route_password}"'}
        environment = {"POD_NAME": f"nats-{node}", **passwords, **routes}
        with (folder / "nats.log").open("wb") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", self._host(node), nats_server_binary(), "--config", str(configuration)],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=COMMAND_SECONDS)


@contextmanager
def nats_cluster(folder: Path) -> Iterator[NatsCluster]:
    """Run three servers that store under `folder`; needs what `can_make_networks` asks for."""
    cluster = NatsCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
