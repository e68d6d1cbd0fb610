"""What will run: the Procfile's lines with their environment and addresses, before anything is started."""

import shlex
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from string import Template
from types import MappingProxyType

from honcho.environ import parse_procfile

from chassis.logs import redact
from suite.ports import HOST
from suite.settings import Settings

NATS = "nats"
GATEWAY = "gateway"


class Role(Enum):
    """What a process is to the others; it decides how it is asked for its health and when it is stopped."""

    BUS = "bus"
    SERVICE = "service"
    GATEWAY = "gateway"


class ProcfileMissing(RuntimeError):
    """There is no Procfile where it should be."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"there is no {path}: run from the root of the repository, or set PROCFILE")


class ProcfileIncomplete(RuntimeError):
    """The Procfile names no gateway or no NATS."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"the Procfile has no line for {missing}")


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process: its name in the Procfile, how it is started, and where it will listen as `host:port`.

    Attributes:
        metrics_address: where it answers operators; None for NATS, which is asked otherwise.
    """

    name: str
    role: Role
    command: tuple[str, ...]
    environment: Mapping[str, str]
    address: str
    metrics_address: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole suite, in the Procfile's order."""

    run_dir: Path
    processes: tuple[ProcessPlan, ...]
    nats_url: str
    gateway_url: str

    @property
    def nats_config(self) -> Path:
        """Return where the embedded NATS server's configuration lies."""
        return self.run_dir / "nats.conf"

    @property
    def public_nats_url(self) -> str:
        """Return NATS' address without credentials."""
        return redact(self.nats_url)


def read_procfile(path: Path) -> dict[str, str]:
    """Return the commands by process name, in the file's order.

    Raises:
        ProcfileMissing: there is no such file.
        ProcfileIncomplete: NATS or the gateway is not in it.
    """
    if not path.is_file():
        raise ProcfileMissing(path)
    commands = dict(parse_procfile(path.read_text()).processes)
    for name in (NATS, GATEWAY):
        if name not in commands:
            raise ProcfileIncomplete(name)
    return commands


def names_to_address(commands: Mapping[str, str]) -> list[str]:
    """Return the processes that need a loopback port: all but the gateway, which has its own settings."""
    return [name for name in commands if name != GATEWAY]


def ports_wanted(commands: Mapping[str, str]) -> int:
    """Return how many loopback ports a suite needs: for what it serves, and for what operators ask each process."""
    return len(names_to_address(commands)) + sum(name != NATS for name in commands)


def plan_suite(
    commands: Mapping[str, str], *, settings: Settings, environment: Mapping[str, str], ports: Sequence[int]
) -> Plan:
    """Work out every process of the suite.

    Args:
        commands: what the Procfile says.
        settings: RUN_DIR, the gateway's address, and NATS_URL when NATS runs elsewhere.
        environment: what the processes inherit; an address that is set there wins.
        ports: free loopback ports, as many as `ports_wanted(commands)`.
    """
    run_dir = settings.run_dir.absolute()
    names = names_to_address(commands)
    derived = dict(zip(names, ports, strict=False))
    observers = (f"{HOST}:{port}" for port in ports[len(names) :])
    addresses = {name: environment.get(f"{name.upper()}_ADDRESS") or f"{HOST}:{port}" for name, port in derived.items()}
    addresses[NATS] = f"{HOST}:{derived[NATS]}"
    addresses[GATEWAY] = f"{settings.gateway_host}:{settings.gateway_port}"
    nats_url = f"nats://{addresses[NATS]}" if settings.has_own_nats else settings.nats_url.get_secret_value()
    shared = _shared_environment(environment, settings, addresses, nats_url)
    processes = tuple(
        _plan_process(name, command, shared, address=addresses[name], metrics=None if name == NATS else next(observers))
        for name, command in commands.items()
        if name != NATS or settings.has_own_nats
    )
    return Plan(run_dir, processes, nats_url, f"http://{addresses[GATEWAY]}")


def _plan_process(
    name: str, command: str, shared: Mapping[str, str], *, address: str, metrics: str | None
) -> ProcessPlan:
    # One address for all of them would be taken by the first.
    own = dict(shared) if metrics is None else {**shared, "METRICS_ADDRESS": metrics}
    return ProcessPlan(name, _role_of(name), _expanded(command, own), MappingProxyType(own), address, metrics)


def _shared_environment(
    environment: Mapping[str, str], settings: Settings, addresses: Mapping[str, str], nats_url: str
) -> dict[str, str]:
    scripts = sysconfig.get_path("scripts")
    services = {f"{name.upper()}_ADDRESS": address for name, address in addresses.items()}
    services.pop("NATS_ADDRESS")
    services.pop("GATEWAY_ADDRESS")
    return {
        **environment,
        **services,
        "PATH": f"{scripts}:{environment.get('PATH', '')}",
        "RUN_DIR": str(settings.run_dir.absolute()),
        "NATS_URL": nats_url,
        "GATEWAY_HOST": settings.gateway_host,
        "GATEWAY_PORT": str(settings.gateway_port),
        # A first look on a Sunday should show prices that move.
        "SAMPLE_ALWAYS_OPEN": environment.get("SAMPLE_ALWAYS_OPEN") or "1",
        # Links in mails lead to where this suite answers.
        "PUBLIC_URL": environment.get("PUBLIC_URL") or f"http://{addresses[GATEWAY]}",
        # Set to nothing, it keeps the sandbox's keys out.
        "BROKERS_SANDBOX_URL": environment.get("BROKERS_SANDBOX_URL", settings.sandbox_url),
    }


def _role_of(name: str) -> Role:
    return {NATS: Role.BUS, GATEWAY: Role.GATEWAY}.get(name, Role.SERVICE)


def _expanded(command: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(Template(word).safe_substitute(environment) for word in shlex.split(command))
