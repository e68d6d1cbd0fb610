"""The composed containers under a test's control, with what tests of the contract ask of `RunningSuite`."""

import base64
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from harness.backends import BACKENDS, UNLIMITED
from harness.compose import (
    PROCESSES,
    STOP_SECONDS,
    STORES,
    Project,
    composed,
    docker,
    free_port,
    wait_until,
)
from harness.compose_relay import relayed
from suite.plan import ProcessPlan, Role

COMPOSED = "composed"
# `make compose-contract` sets it to COMPOSED.
VARIABLE = "CONTRACT_OF"
PROJECT = "bourse-contract"
HOST = "127.0.0.1"
START_SECONDS = 60.0
# What was being written when somebody looked is seen the next time.
OVERLAP_SECONDS = 2.0
FOLDER_IN_CONTAINER = "/relay"
RELAY = Path(__file__).with_name("compose_relay.py")
# Who asks which vendors.
ASKED_BY = {"brokers": ("KITE_ROOT_URL", "KITE_TICKER_URL", "BREEZE_ROOT_URL"), "auth": ("GOOGLE_JWKS_URL",)}
# Who keeps mails, and auth's keys, in its volume.
KEEP_FILES = ("auth", "portfolio", "alerts")
# Prints what was written in a folder since a moment, as JSON: names below the folder, and base64.
NEW_FILES = """
import base64, json, pathlib, sys
folder, since = pathlib.Path("/var/lib/bourse"), float(sys.argv[1])
paths = [path for pattern in ("outbox/*.eml", "auth-keys/*.pem") for path in folder.glob(pattern)]
new = [path for path in paths if path.stat().st_mtime >= since]
print(json.dumps({str(path.relative_to(folder)): base64.b64encode(path.read_bytes()).decode() for path in new}))
"""
# `docker compose run` in the foreground does not tell how what it ran has ended.
GATEWAY_AGAIN = """
container=$("$@" run --detach --no-deps --publish "127.0.0.1:$GATEWAY_PORT:8000" VARIABLES gateway) || exit
trap 'docker stop "$container"' TERM
docker logs --follow "$container" & wait $!
code=$(docker wait "$container")
docker rm "$container"
exit "$code"
"""


def is_composed() -> bool:
    """Tell whether tests are to ask the composed containers."""
    return os.environ.get(VARIABLE) == COMPOSED


def backends_asked() -> tuple[str, ...]:
    """Return what the suite stands on in this run, one after the other."""
    return (COMPOSED,) if is_composed() else BACKENDS


class Container:
    """One of the containers; its output goes to a file that survives its restarts."""

    def __init__(self, project: Project, plan: ProcessPlan, log: Path) -> None:
        self.plan = plan
        self.log = log
        self._project = project
        self._follower: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether it runs, and has not been started again but by a test."""
        container = self._project.inspect(self.plan.name)
        return bool(container["State"]["Running"]) and container["RestartCount"] == 0

    @property
    def exit_code(self) -> int:
        return int(self._project.inspect(self.plan.name)["State"]["ExitCode"])

    def follow(self, since: float = 0) -> None:
        """Write down what it says from a time on, until it is stopped."""
        self.end_following()
        command = ["docker", "logs", "--follow", "--since", f"{since:.3f}", self._project.container(self.plan.name)]
        with self.log.open("ab") as log:
            self._follower = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end_following(self) -> None:
        """Wait for the last of what a container that has ended said."""
        if self._follower is None:
            return
        try:
            self._follower.wait(5)
        except subprocess.TimeoutExpired:
            self._follower.kill()
            self._follower.wait()
        self._follower = None


class ComposedPlan:
    """Where the suite is, and a copy of the files of its containers."""

    def __init__(self, project: Project, gateway_url: str, folder: Path) -> None:
        self.gateway_url = gateway_url
        self._project = project
        self._folder = folder
        self._looked_at = 0.0

    @property
    def run_dir(self) -> Path:
        """Return a folder with the mails and keys that lie in the containers' volumes at this moment."""
        since = self._looked_at - OVERLAP_SECONDS
        self._looked_at = time.time()
        for name in KEEP_FILES:
            found = docker("exec", self._project.container(name), "python", "-c", NEW_FILES, str(since))
            for path, content in json.loads(found).items():
                copy = self._folder / path
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(base64.b64decode(content))
        return self._folder


class ComposedSuite:
    """Gateway, services and stores in containers."""

    def __init__(self, project: Project, gateway_url: str, folder: Path) -> None:
        files = folder / "run"
        files.mkdir()
        self.plan = ComposedPlan(project, gateway_url, files)
        self._project = project
        self.processes = {
            name: Container(project, _plan_of(project, name, urlsplit(gateway_url).netloc), folder / f"{name}.log")
            for name in (*PROCESSES, *STORES)
        }
        for container in self.processes.values():
            container.follow()

    @property
    def gateway_url(self) -> str:
        return self.plan.gateway_url

    def log_of(self, name: str) -> str:
        return self.processes[name].log.read_text(errors="replace")

    def database_url(self, name: str) -> str:
        password = self._project.variable(f"{name.upper()}_DATABASE_PASSWORD")
        return f"postgresql+asyncpg://{name}:{password}@{self._project.address('postgres', 'databases')}/{name}"

    def stop(self, name: str) -> int:
        """Ask one container to end and return its exit code."""
        docker("stop", "--time", str(STOP_SECONDS), self._project.container(name))
        self.processes[name].end_following()
        return self.processes[name].exit_code

    def start(self, name: str) -> None:
        """Start a container that was stopped, and wait until it serves again."""
        began_at = time.time()
        docker("start", self._project.container(name))
        self.processes[name].follow(began_at)
        if name in ASKED_BY:
            # Its relay still lives in the network that ended with the container.
            docker("restart", "--time", "1", self._project.container(relay_of(name)))
        wait_until(lambda: self._is_ready(name), f"{name} is ready", seconds=START_SECONDS)

    def _is_ready(self, name: str) -> bool:
        address = self._project.address(name, "services")
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://{address}:9100/readyz", trust_env=False, verify=False, timeout=1).is_success
        return False

    def stop_all(self) -> dict[str, int]:
        """End gateway and services as compose does, and return the exit codes."""
        self._project.run("stop", *PROCESSES)
        for container in self.processes.values():
            container.end_following()
        return {name: self.processes[name].exit_code for name in PROCESSES}


def relay_of(name: str) -> str:
    """Return what the container beside a service is called."""
    return f"{name}-relay"


@contextmanager
def composed_suite(folder: Path, environment: Mapping[str, str]) -> Iterator[ComposedSuite]:
    """Run the composed containers until the block is left; gateway and services must have ended by themselves then.

    Args:
        environment: variables of theirs, among them addresses of vendors on this machine's loopback.
    """
    port = free_port()
    variables = {**UNLIMITED, **environment, "GATEWAY_PORT": str(port)}
    asked = {name: _ports_in(environment, urls) for name, urls in ASKED_BY.items()}
    with ExitStack() as stack:
        # Near the root: a socket's path has about a hundred characters at most.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sockets.chmod(0o755)
        stack.enter_context(relayed(sockets, sorted({port for ports in asked.values() for port in ports})))
        override = folder / "relays.json"
        override.write_text(
            json.dumps({"services": {relay_of(n): _relay(n, p, sockets) for n, p in asked.items() if p}})
        )
        project = stack.enter_context(composed(PROJECT, variables, [override]))
        suite = ComposedSuite(project, f"http://{HOST}:{port}", folder)
        yield suite
        codes = suite.stop_all()
        assert set(codes.values()) <= {0}, f"not ended cleanly: {codes}"
        for name in PROCESSES:
            assert "Traceback" not in suite.log_of(name), name


def _ports_in(environment: Mapping[str, str], urls: tuple[str, ...]) -> list[int]:
    found = {urlsplit(environment[name]).port for name in urls if environment.get(name)}
    return sorted(port for port in found if port)


def _relay(name: str, ports: list[int], sockets: Path) -> Mapping[str, object]:
    """Return a container in the network of a service's, so that vendors are on loopback there, too."""
    return {
        "image": f"bourse/{name}:${{BOURSE_TAG:-latest}}",
        "network_mode": f"service:{name}",
        "entrypoint": ["python", f"{FOLDER_IN_CONTAINER}/{RELAY.name}", f"{FOLDER_IN_CONTAINER}/sockets"],
        "command": [str(port) for port in ports],
        "volumes": [
            f"{RELAY}:{FOLDER_IN_CONTAINER}/{RELAY.name}:ro",
            f"{sockets}:{FOLDER_IN_CONTAINER}/sockets:ro",
        ],
        "depends_on": {name: {"condition": "service_started"}},
        "healthcheck": {"disable": True},
        "init": True,
        "read_only": True,
        "cap_drop": ["ALL"],
    }


def _plan_of(project: Project, name: str, gateway_address: str) -> ProcessPlan:
    """Return a container as a process whose command runs its program once more, with the same variables.

    The gateway's is a second container, which listens at GATEWAY_PORT and takes the GATEWAY_LIMIT_* it is given.
    """
    if name == "gateway":
        limits = sorted(variable for variable in _variables(project, name) if variable.startswith("GATEWAY_LIMIT_"))
        script = GATEWAY_AGAIN.replace("VARIABLES", " ".join(f"--env {limit}" for limit in limits))
        command = ("sh", "-c", script, "sh", *project.command)
        return ProcessPlan(name, Role.GATEWAY, command, project.environment, gateway_address)
    command = (*project.command, "exec", "--no-TTY", name, "python", "-m", name)
    return ProcessPlan(name, Role.BUS if name in STORES else Role.SERVICE, command, project.environment, name)


def _variables(project: Project, name: str) -> list[str]:
    return [pair.partition("=")[0] for pair in project.inspect(name)["Config"]["Env"]]
