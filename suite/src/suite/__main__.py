import os
import sys

from chassis.process import load_settings
from suite.console import Console
from suite.plan import Plan, ProcfileIncomplete, ProcfileMissing, plan_suite, ports_wanted, read_procfile
from suite.ports import NoFreePort, choose_ports, is_port_free
from suite.probes import is_healthy
from suite.processes import CannotStart
from suite.run_dir import RunDirTaken, RunDirUnusable, held, remove_manifest, write_nats_config
from suite.settings import Settings
from suite.supervisor import Supervisor


class GatewayPortTaken(RuntimeError):
    """Something else listens where the gateway should."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} of {host} is taken or not this machine's: set GATEWAY_PORT to a free one")


REFUSALS = (ProcfileMissing, ProcfileIncomplete, NoFreePort, GatewayPortTaken, RunDirTaken, RunDirUnusable, CannotStart)


def main() -> int:
    """Run the suite until a signal and return the exit code."""
    settings = load_settings(Settings)
    try:
        with held(settings.run_dir):
            return run(settings)
    except REFUSALS as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201  # the terminal is whom it concerns
        return 1


def run(settings: Settings) -> int:
    """Run the suite on a RUN_DIR that is held.

    Raises:
        GatewayPortTaken: something listens there already; nothing was started.
    """
    if not is_port_free(settings.gateway_port, settings.gateway_host):
        raise GatewayPortTaken(settings.gateway_host, settings.gateway_port)
    plan = make_plan(settings)
    remove_manifest(plan)
    write_nats_config(plan)
    console = Console(sys.stdout, [process.name for process in plan.processes])
    return Supervisor(plan, settings, console, probe=is_healthy).run()


def make_plan(settings: Settings) -> Plan:
    """Plan the suite on loopback ports that are free now."""
    commands = read_procfile(settings.procfile)
    ports = choose_ports(settings.run_dir, ports_wanted(commands), is_free=is_port_free)
    return plan_suite(commands, settings=settings, environment=os.environ, ports=ports)


if __name__ == "__main__":
    sys.exit(main())
