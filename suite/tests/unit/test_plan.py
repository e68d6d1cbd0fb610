from pathlib import Path

import pytest

from suite.plan import (
    Plan,
    ProcfileIncomplete,
    ProcfileMissing,
    Role,
    names_to_address,
    plan_suite,
    ports_wanted,
    read_procfile,
)
from suite.settings import Settings

COMMANDS = {
    "nats": "nats-server --config ${RUN_DIR}/nats.conf",
    "auth": "python -m auth",
    "gateway": "python -m gateway",
}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "RUN_DIR", "GATEWAY_PORT", "GATEWAY_HOST", "SANDBOX_PORT"):
        monkeypatch.delenv(name, raising=False)


def planned(environment: dict[str, str] | None = None, settings: Settings | None = None) -> Plan:
    return plan_suite(
        COMMANDS,
        settings=settings or Settings(run_dir=Path("/run/bourse")),
        environment=environment or {},
        ports=[21_000, 21_001, 21_002, 21_003],
    )


def test_every_process_gets_its_role_command_and_address() -> None:
    shown = {process.name: (process.role, process.command, process.address) for process in planned().processes}
    assert shown == {
        "nats": (Role.BUS, ("nats-server", "--config", "/run/bourse/nats.conf"), "127.0.0.1:21000"),
        "auth": (Role.SERVICE, ("python", "-m", "auth"), "127.0.0.1:21001"),
        "gateway": (Role.GATEWAY, ("python", "-m", "gateway"), "127.0.0.1:8000"),
    }


def test_every_process_learns_where_the_others_are() -> None:
    environment = planned({"PATH": "/usr/bin", "HTTPS_PROXY": "http://127.0.0.1:3128"}).processes[1].environment
    assert environment["AUTH_ADDRESS"] == "127.0.0.1:21001"
    assert environment["NATS_URL"] == "nats://127.0.0.1:21000"
    assert environment["RUN_DIR"] == "/run/bourse"
    assert environment["GATEWAY_PORT"] == "8000"
    assert environment["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert environment["PATH"].endswith(":/usr/bin")
    assert "NATS_ADDRESS" not in environment


def test_the_sample_market_never_closes_unless_it_is_told_to() -> None:
    assert planned().processes[0].environment["SAMPLE_ALWAYS_OPEN"] == "1"
    assert planned({"SAMPLE_ALWAYS_OPEN": "0"}).processes[0].environment["SAMPLE_ALWAYS_OPEN"] == "0"


def test_the_sandbox_brokers_are_where_they_are_started() -> None:
    assert planned().processes[1].environment["BROKERS_SANDBOX_URL"] == "http://127.0.0.1:8700"
    elsewhere = Settings(run_dir=Path("/run/bourse"), sandbox_port=9700)
    assert planned(settings=elsewhere).processes[1].environment["BROKERS_SANDBOX_URL"] == "http://127.0.0.1:9700"


@pytest.mark.parametrize("given", ["http://127.0.0.1:9999", ""])
def test_a_sandbox_that_is_named_or_refused_stays_so(given: str) -> None:
    assert planned({"BROKERS_SANDBOX_URL": given}).processes[1].environment["BROKERS_SANDBOX_URL"] == given


def test_an_address_that_is_set_wins() -> None:
    plan = planned({"AUTH_ADDRESS": "127.0.0.1:7101"})
    assert plan.processes[1].address == "127.0.0.1:7101"
    assert plan.processes[2].environment["AUTH_ADDRESS"] == "127.0.0.1:7101"


def test_with_a_nats_of_ones_own_none_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://bourse:word@10.0.0.1:4222")
    plan = planned(settings=Settings(run_dir=Path("/run/bourse")))
    assert [process.name for process in plan.processes] == ["auth", "gateway"]
    assert plan.processes[0].environment["NATS_URL"] == "nats://bourse:word@10.0.0.1:4222"
    assert plan.public_nats_url == "nats://[redacted]@10.0.0.1:4222"


def test_the_gateway_needs_no_derived_port() -> None:
    assert names_to_address(COMMANDS) == ["nats", "auth"]


def test_operators_ask_each_process_at_an_address_of_its_own() -> None:
    assert ports_wanted(COMMANDS) == 4
    processes = planned({"METRICS_ADDRESS": "127.0.0.1:9100"}).processes
    assert [process.metrics_address for process in processes] == [None, "127.0.0.1:21002", "127.0.0.1:21003"]
    assert [process.environment.get("METRICS_ADDRESS") for process in processes[1:]] == [
        "127.0.0.1:21002",
        "127.0.0.1:21003",
    ]


def test_a_procfile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcfileMissing, match="run from the root of the repository"):
        read_procfile(tmp_path / "Procfile")


@pytest.mark.parametrize("missing", ["nats", "gateway"])
def test_a_procfile_without_nats_or_gateway_is_refused(tmp_path: Path, missing: str) -> None:
    lines = [f"{name}: {command}" for name, command in COMMANDS.items() if name != missing]
    (tmp_path / "Procfile").write_text("\n".join(lines))
    with pytest.raises(ProcfileIncomplete, match=f"no line for {missing}"):
        read_procfile(tmp_path / "Procfile")


def test_a_procfile_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("".join(f"{name}: {command}\n" for name, command in COMMANDS.items()))
    assert list(read_procfile(path).items()) == list(COMMANDS.items())
