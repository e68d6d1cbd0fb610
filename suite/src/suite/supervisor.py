"""Starts the processes together, says when each is healthy, and ends them in order, whatever happens."""

import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType

from chassis.settings import ProcessSettings
from suite.console import Console
from suite.plan import Plan, ProcessPlan, Role
from suite.probes import Probe
from suite.processes import RunningProcess
from suite.run_dir import remove_manifest, write_manifest

START_TIMEOUT_SECONDS = 60.0
PROBE_INTERVAL_SECONDS = 0.1
# The gateway lets go of its clients first, then the services of their calls, NATS of what they flushed: under 10 s.
STOP_ORDER = ((Role.GATEWAY, 4.0), (Role.SERVICE, 4.0), (Role.BUS, 1.5))
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# make, timeout and terminals send one wish to end more than once: to the group, and again to the child.
REPEATED_SIGNAL_SECONDS = 1.0
QUIET_NATS_LEVEL = "[INF]"


@dataclass(frozen=True, slots=True)
class Healthy:
    """A process answered that it is healthy."""

    name: str


@dataclass(frozen=True, slots=True)
class NotHealthy:
    """A process did not become healthy in time."""

    name: str


@dataclass(frozen=True, slots=True)
class Exited:
    """A process ended."""

    name: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A signal asked the suite to end."""

    signal_name: str


Event = Healthy | NotHealthy | Exited | StopAsked


class Supervisor:
    """Runs one plan from start to end."""

    def __init__(self, plan: Plan, settings: ProcessSettings, console: Console, *, probe: Probe) -> None:
        self._plan = plan
        self._settings = settings
        self._console = console
        self._probe = probe
        # Its `put` may be called by a signal handler; at most a few events a process ever lie in it.
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._processes: dict[str, RunningProcess] = {}
        self._running: set[str] = set()
        self._is_stopping = threading.Event()
        self._stop_began_at = 0.0

    def run(self) -> int:
        """Run until a signal, a death or a start that fails; return the exit code, 0 after a signal.

        Raises:
            CannotStart: a command could not be run; what was started before it has ended.
        """
        for number in STOP_SIGNALS:
            # Whoever started the suite with a signal ignored, as nohup does, meant it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._ask_to_stop)
        with ExitStack() as leaving:
            leaving.callback(self._stop)
            started_at = time.monotonic()
            self._start()
            return self._watch(started_at)

    def _ask_to_stop(self, number: int, _: FrameType | None) -> None:
        self._events.put(StopAsked(signal.Signals(number).name))

    def _start(self) -> None:
        try:
            for process_plan in self._plan.processes:
                process = RunningProcess(process_plan)
                self._processes[process.name] = process
                self._running.add(process.name)
        finally:
            # Threads come after the last fork, and for those before one that could not be started too.
            for process in self._processes.values():
                process.follow(self._relay, lambda name: self._events.put(Exited(name)))
        for process in self._processes.values():
            threading.Thread(target=self._await_health, args=(process.plan,), daemon=True).start()

    def _relay(self, name: str, text: str) -> None:
        is_noise = self._processes[name].plan.role is Role.BUS and QUIET_NATS_LEVEL in text
        if not is_noise:
            self._console.relay(name, text)

    def _await_health(self, plan: ProcessPlan) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._is_stopping.wait(PROBE_INTERVAL_SECONDS):
            if self._probe(plan, self._settings):
                self._events.put(Healthy(plan.name))
                return
            if time.monotonic() > deadline:
                self._events.put(NotHealthy(plan.name))
                return

    def _watch(self, started_at: float) -> int:
        waiting = set(self._processes)
        while True:
            match self._events.get():
                case Healthy(name):
                    waiting.discard(name)
                    self._say_healthy(name)
                    if not waiting:
                        self._say_ready(time.monotonic() - started_at)
                case NotHealthy(name):
                    self._console.say(f"{name} did not become healthy within {START_TIMEOUT_SECONDS:.0f} s")
                    return 1
                case Exited(name):
                    self._running.discard(name)
                    self._say_died(self._processes[name])
                    return 1
                case StopAsked(signal_name):
                    self._console.say(f"{signal_name}: stopping")
                    return 0

    def _say_healthy(self, name: str) -> None:
        process = self._processes[name]
        self._console.say(f"{name} is healthy: pid {process.pid}, {process.plan.address}")

    def _say_ready(self, seconds: float) -> None:
        write_manifest(self._plan, {name: process.pid for name, process in self._processes.items()})
        self._console.say(f"ready in {seconds:.1f} s: {self._plan.gateway_url}")

    def _say_died(self, process: RunningProcess) -> None:
        self._console.say(f"{process.name} (pid {process.pid}) died: {process.reason()}; its last lines:")
        for line in process.last_lines:
            self._console.say(f"  {line}")

    def _stop(self) -> None:
        self._is_stopping.set()
        self._stop_began_at = time.monotonic()
        remove_manifest(self._plan)
        for role, grace_seconds in STOP_ORDER:
            names = [name for name in self._running if self._processes[name].plan.role is role]
            self._end(names, signal.SIGTERM)
            self._wait_for_exits(names, grace_seconds)
            stubborn = [name for name in names if name in self._running]
            for name in stubborn:
                self._console.say(f"{name} did not end within {grace_seconds:g} s: killing it")
            self._end(stubborn, signal.SIGKILL)
            self._wait_for_exits(stubborn, grace_seconds)
        # One more of the same would otherwise change the exit code at the very end.
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._console.say("stopped")

    def _end(self, names: Sequence[str], number: signal.Signals) -> None:
        for name in names:
            self._processes[name].end(number)

    def _wait_for_exits(self, names: Sequence[str], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._running.intersection(names):
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return
            self._note_while_stopping(event)

    def _note_while_stopping(self, event: Event) -> None:
        match event:
            case Exited(name):
                self._running.discard(name)
                process = self._processes[name]
                if process.exit_code != 0:
                    self._console.say(f"{name} ended with {process.reason()}")
            case StopAsked(signal_name) if time.monotonic() - self._stop_began_at > REPEATED_SIGNAL_SECONDS:
                self._console.say(f"{signal_name} again: killing what is left")
                self._end(sorted(self._running), signal.SIGKILL)
            case _:
                pass
