"""The composed containers, under a name, passwords and a port of their own.

The standard library does: `make compose-smoke` has no more.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
PASSWORDS = ROOT / "scripts" / "compose_env.py"
PROCESSES = ("gateway", "auth", "market", "portfolio", "brokers", "alerts")
STORES = ("postgres", "redis", "nats")
UP_SECONDS = 600.0
DOCKER_SECONDS = 60.0
STOP_SECONDS = 30
KEPT = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_BUILDKIT", "LANG", "TMPDIR")
# Each build and each start takes a processor or two.
PARALLEL = "2"


class DockerFailed(RuntimeError):
    """A command of docker's did not do what it should."""

    def __init__(self, arguments: Sequence[str], output: str) -> None:
        super().__init__(f"docker {' '.join(arguments)}: {output.strip()[-2_000:]}")


def docker(*arguments: str, seconds: float = DOCKER_SECONDS) -> str:
    """Run a docker command and return what it wrote, errors included.

    Raises:
        DockerFailed: it did not end well.
    """
    ended = subprocess.run(
        ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False
    )
    output = ended.stdout.decode(errors="replace")
    if ended.returncode != 0:
        raise DockerFailed(arguments, output)
    return output


class Project:
    """One set of the composed containers, with variables of their own instead of the caller's.

    Attributes:
        environment: the variables of compose's commands.
        command: what each of them begins with.
        variables: the file with what docker-compose.yml asks for.
    """

    def __init__(self, name: str, variables: Path, files: Sequence[Path] = ()) -> None:
        self.name = name
        self.environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environment["COMPOSE_PARALLEL_LIMIT"] = PARALLEL
        named = [part for file in (FILE, *files) for part in ("--file", str(file))]
        self.command = ["docker", "compose", "--project-name", name, "--project-directory", str(ROOT)]
        self.command += ["--env-file", str(variables), *named]
        self.variables = variables
        self._containers: dict[str, str] = {}

    def run(self, *arguments: str) -> None:
        """Run a compose command; what it writes is shown."""
        command = [*self.command, *arguments]
        subprocess.run(command, env=self.environment, check=True, timeout=UP_SECONDS)

    def output(self, *arguments: str) -> str:
        """Run a compose command and return what it wrote to its standard output."""
        command = [*self.command, *arguments]
        ended = subprocess.run(command, env=self.environment, check=True, timeout=DOCKER_SECONDS, capture_output=True)
        return ended.stdout.decode(errors="replace")

    def variable(self, name: str) -> str:
        """Return a variable's value, such as a password."""
        values = dict(line.split("=", 1) for line in self.variables.read_text().splitlines())
        return values[name]

    # --- one container ------------------------------------------------------------------------------------------

    def container(self, service: str) -> str:
        """Return the id of a service's container, which stays the same when it is stopped and started."""
        if service not in self._containers:
            self._containers[service] = self.output("ps", "--all", "--quiet", service).strip()
        return self._containers[service]

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        [found] = json.loads(docker("inspect", self.container(service)))
        container: dict[str, Any] = found
        return container

    def address(self, service: str, network: str) -> str:
        """Return where this machine reaches a container, by the bridge of a network."""
        ip: str = self.inspect(service)["NetworkSettings"]["Networks"][f"{self.name}_{network}"]["IPAddress"]
        return ip

    def log_since(self, service: str, since: float) -> str:
        """Return what a container has written since a time, by the clock."""
        return docker("logs", "--since", f"{since:.3f}", self.container(service))


@contextmanager
def composed(
    name: str, variables: Mapping[str, str], files: Sequence[Path] = (), *, builds: bool = True
) -> Iterator[Project]:
    """Bring everything up and wait until all of it is healthy; take it down with its volumes, whatever happens.

    Args:
        name: the project's, which nobody else's containers have.
        variables: what the file of variables holds beside random passwords.
        files: what is laid over docker-compose.yml.
        builds: whether the images are built first.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "env"
        path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        subprocess.run([sys.executable, PASSWORDS, path], check=True, stdout=subprocess.DEVNULL)
        project = Project(name, path, files)
        build = ["--build"] if builds else []
        try:
            project.run("up", *build, "--detach", "--wait", "--wait-timeout", f"{UP_SECONDS:.0f}")
            yield project
        except BaseException:
            project.run("ps", "--all")
            project.run("logs", "--no-color", "--tail", "30")
            raise
        finally:
            project.run("down", "--volumes", "--remove-orphans", "--timeout", str(STOP_SECONDS))


def missing_tool() -> str | None:
    """Say what keeps containers from being started here; None when nothing does."""
    if shutil.which("docker") is None:
        return "there is no docker"
    for command, problem in ((["info"], "no Docker engine answers"), (["compose", "version"], "there is no compose")):
        try:
            docker(*command, seconds=20)
        except (DockerFailed, subprocess.TimeoutExpired):
            return problem
    return None


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Ask again and again until it holds.

    Raises:
        AssertionError: it does not in that time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.1)
