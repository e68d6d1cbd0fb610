"""What the suite stands on: embedded parts, or PostgreSQL, Valkey and a NATS of their own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from chassis.testing import NatsServer, has_valkey, postgres_server, valkey_server
from harness.processes import RunningSuite
from suite.ports import choose_ports, is_port_free

EMBEDDED = "embedded"
SERVERS = "servers"
BACKENDS = (EMBEDDED, SERVERS)
DATABASES = ("auth", "market", "portfolio", "alerts")
# Tests make more users and writes in a minute than any client would; what limits do is tested where they live.
UNLIMITED = {
    "GATEWAY_LIMIT_REGISTER": "1000000/minute",
    "GATEWAY_LIMIT_LOGIN": "1000000/minute",
    "GATEWAY_LIMIT_REFRESH": "1000000/minute",
    "GATEWAY_LIMIT_WRITE": "1000000/minute",
    "GATEWAY_LIMIT_READ": "1000000/minute",
    "GATEWAY_LIMIT_RECOVERY": "1000000/minute",
    "GATEWAY_LIMIT_MAIL": "1000000/minute",
    "AUTH_REGISTRATION_LIMIT": "1000000/hour",
    "AUTH_RECOVERY_LIMIT": "1000000/hour",
    "AUTH_LOGIN_LIMIT": "1000000/minute",
    "AUTH_LOGIN_ACCOUNT_LIMIT": "1000000/minute",
    # Hashing is auth's own tests' affair; here it would only be slow.
    "AUTH_ARGON2_TIME_COST": "1",
    "AUTH_ARGON2_MEMORY_KIB": "64",
}


@contextmanager
def running_suite(
    backend: str, folder: Path, environment: Mapping[str, str], *, replicated: Sequence[str] = ()
) -> Iterator[RunningSuite]:
    """Run the whole suite on a backend until the block is left; every process must have ended by itself then.

    Of what is `replicated` there are two processes.
    """
    with ExitStack() as stack:
        if backend == EMBEDDED:
            suite = RunningSuite.planned(folder, environment)
        else:
            suite = _on_servers(stack, folder, environment)
        for name in replicated:
            suite.add_replica(name)
        stack.callback(_end_leftovers, suite)
        suite.start_all()
        yield suite
        codes = suite.stop_all()
        assert set(codes.values()) <= {0}, f"not ended cleanly: {codes}"


def _on_servers(stack: ExitStack, folder: Path, environment: Mapping[str, str]) -> RunningSuite:
    postgres = stack.enter_context(postgres_server())
    nats = NatsServer(folder, *choose_ports(folder, 1, is_free=is_port_free))
    nats.start()
    stack.callback(nats.stop)
    addresses = {f"{name.upper()}_DATABASE_URL": postgres.create_database() for name in DATABASES}
    if has_valkey():
        addresses["REDIS_URL"] = stack.enter_context(valkey_server(folder))
    return RunningSuite.planned(folder, {**addresses, **environment}, nats=nats)


def _end_leftovers(suite: RunningSuite) -> None:
    suite.stop_all()
