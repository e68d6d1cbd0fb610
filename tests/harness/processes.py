"""The processes of `make run`, one by one: each can be killed and started again in place."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import httpx

from chassis.testing import free_port
from suite.plan import Plan, ProcessPlan, Role, plan_suite, ports_wanted, read_procfile
from suite.ports import choose_ports, is_port_free
from suite.probes import is_healthy
from suite.run_dir import write_nats_config
from suite.settings import Settings
from suite.supervisor import STOP_ORDER

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
STOP_SECONDS = 15.0


class NatsByHand(Protocol):
    """A NATS server outside the plan."""

    url: str

    def start(self) -> None: ...

    def kill(self) -> None: ...


class Process:
    """One process of the plan; its output goes to a file that survives its restarts."""

    def __init__(self, plan: ProcessPlan, log: Path) -> None:
        self.plan = plan
        self.log = log
        self.environment = dict(plan.environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.is_running, f"{self.plan.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.plan.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(STOP_SECONDS)


class RunningSuite:
    """Gateway, services and NATS, started as `make run` starts them, under the test's control."""

    def __init__(self, plan: Plan, settings: Settings, logs: Path, *, nats: NatsByHand | None = None) -> None:
        self.plan = plan
        self._settings = settings
        self._nats = nats
        self.processes = {process.name: Process(process, logs / f"{process.name}.log") for process in plan.processes}

    @classmethod
    def planned(cls, folder: Path, environment: Mapping[str, str], *, nats: NatsByHand | None = None) -> "RunningSuite":
        """Plan a suite that stores under `folder`, with `environment` on top of this process's own."""
        inherited = {name: value for name, value in os.environ.items() if name not in variables_of_bourse()}
        commands = read_procfile(ROOT / "Procfile")
        wanted = ports_wanted(commands)
        *ports, gateway_port = choose_ports(folder / "run", wanted + 1, is_free=is_port_free)
        own = {"RUN_DIR": str(folder / "run"), "GATEWAY_PORT": str(gateway_port), **environment}
        if nats is not None:
            own["NATS_URL"] = nats.url
        settings = Settings.model_validate({name.lower(): own[name] for name in SUITE_VARIABLES if name in own})
        plan = plan_suite(commands, settings=settings, environment=inherited | own, ports=ports)
        plan.run_dir.mkdir(parents=True)
        write_nats_config(plan)
        return cls(plan, settings, folder, nats=nats)

    def add_replica(self, name: str) -> None:
        """Plan a second process of a service or the gateway, before the start; who calls the first one calls both."""
        first = self.processes[name].plan
        address, metrics_address = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        own = {"METRICS_ADDRESS": metrics_address, f"{name.upper()}_ADDRESS": address}
        if first.role is Role.GATEWAY:
            own["GATEWAY_PORT"] = address.rpartition(":")[2]
        for process in self.processes.values():
            if process.plan.name != name:
                process.environment[f"{name.upper()}_ADDRESS"] = f"ipv4:{first.address},{address}"
        environment = MappingProxyType({**self.processes[name].environment, **own})
        plan = replace(
            first,
            name=second(name),
            environment=environment,
            address=address,
            metrics_address=metrics_address,
        )
        self.processes[plan.name] = Process(plan, self.processes[name].log.with_stem(plan.name))

    @property
    def gateway_url(self) -> str:
        return self.plan.gateway_url

    @property
    def nats_url(self) -> str:
        return self.plan.nats_url

    def start_all(self) -> None:
        for process in self.processes.values():
            process.start()
        self.wait_until_healthy(*self.processes)
        self.wait_until_all_hold()

    def start(self, name: str) -> None:
        """Start a process that is gone, where it was, and wait until it serves again."""
        if name == "nats" and self._nats is not None:
            self._nats.start()
            return
        self.processes[name].start()
        self.wait_until_healthy(name)

    def kill(self, name: str) -> None:
        """End a process without a chance to say goodbye."""
        if name == "nats" and self._nats is not None:
            self._nats.kill()
            return
        self.processes[name].signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self, name: str) -> int:
        """Ask one process to end and return its exit code."""
        self.processes[name].signal(signal.SIGTERM)
        return _exit_code_of(self.processes[name])

    def wait_until_healthy(self, *names: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        for name in names:
            process = self.processes[name]
            while not is_healthy(process.plan, self._settings):
                assert process.is_running, f"{name} ended:\n{self.log_of(name)[-4000:]}"
                assert time.monotonic() < deadline, f"{name} is not healthy:\n{self.log_of(name)[-4000:]}"
                time.sleep(0.05)

    def wait_until_all_hold(self) -> None:
        """Wait until each process has found the others too, which takes a moment more than serving."""
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=self.gateway_url, timeout=5) as client:
            while (health := client.get("/api/health").json())["status"] != "healthy":
                assert time.monotonic() < deadline, health
                time.sleep(0.05)

    def log_of(self, name: str) -> str:
        return self.processes[name].log.read_text(errors="replace")

    def wait_for_log(self, name: str, words: str, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.log_of(name):
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.log_of(name)[-4000:]}"
            time.sleep(0.05)

    def database_url(self, name: str) -> str:
        given = self.processes[name].environment.get(f"{name.upper()}_DATABASE_URL")
        return given or self._settings.sqlite_url(name)

    def stop_all(self) -> dict[str, int]:
        """End everything as the suite does, and return the exit codes."""
        codes: dict[str, int] = {}
        for role, _ in STOP_ORDER:
            ending = [process for process in self.processes.values() if process.plan.role is role]
            running = [process for process in ending if process.is_running]
            for process in running:
                process.signal(signal.SIGTERM)
            for process in running:
                codes[process.plan.name] = _exit_code_of(process)
        return codes


def second(name: str) -> str:
    """Return what a service's second replica is called."""
    return f"{name}-2"


def _exit_code_of(process: Process) -> int:
    try:
        return process.wait()
    except subprocess.TimeoutExpired:
        process.signal(signal.SIGKILL)
        return process.wait()


SUITE_VARIABLES = tuple(name.upper() for name in Settings.model_fields)


def variables_of_bourse() -> set[str]:
    """Name what an operator may have set, which is not to reach a test."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return {line.removeprefix("#").partition("=")[0] for line in lines if line.startswith("#") and "=" in line}
