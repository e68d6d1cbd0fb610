import importlib
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]  # nobody else here needs its stubs

from harness.rendered import containers, render

ROOT = Path(__file__).parents[2]
PROCESSES = ("gateway", "auth", "market", "portfolio", "brokers", "alerts")
WITH_DATABASE = ("auth", "market", "portfolio", "alerts")
EXAMPLE = (ROOT / "deploy" / "compose.env.example").read_text()
PASSWORDS = set(re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE))
TAGS = set(re.findall(r"^#([A-Z]+_TAG)=", EXAMPLE, re.MULTILINE))
DOCUMENTED = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
# What the image or the network settles, and files, which somebody has to mount as well.
SETTLED = {"RUN_DIR", "METRICS_ADDRESS", "GATEWAY_HOST", "GATEWAY_PORT"}
# What OpenTelemetry's own library reads, and no settings of ours name.
OF_TRACING = {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
FILES = {"GRPC_TLS_CERTIFICATE", "GRPC_TLS_KEY", "GRPC_TLS_AUTHORITY", "AUTH_SIGNING_KEY_FILE"}
FILES |= {"MARKET_SPLITS_PATH", "REPLAY_PATH"}

Service = Mapping[str, Any]


@pytest.fixture(scope="module")
def composed() -> Mapping[str, Any]:
    document: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="module")
def services(composed: Mapping[str, Any]) -> Mapping[str, Service]:
    found: Mapping[str, Service] = composed["services"]
    return found


def test_what_make_run_runs_is_composed(services: Mapping[str, Service]) -> None:
    assert {*PROCESSES, "nats"} <= set(services)


@pytest.mark.parametrize("name", PROCESSES)
def test_every_variable_a_process_reads_can_be_set(services: Mapping[str, Service], name: str) -> None:
    read = {field.upper() for field in importlib.import_module(f"{name}.settings").Settings.model_fields}
    own = set() if name == "gateway" else {f"{name.upper()}_ADDRESS"}
    assert read - SETTLED - FILES - own == set(services[name]["environment"]) - OF_TRACING


@pytest.mark.parametrize("name", PROCESSES)
def test_variables_are_those_of_the_example(services: Mapping[str, Service], name: str) -> None:
    assert set(services[name]["environment"]) - OF_TRACING <= DOCUMENTED
    assert all(variable in (ROOT / ".env.example").read_text() for variable in OF_TRACING)


def test_no_password_is_in_the_file_and_a_missing_one_is_named() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    asked = re.findall(r"\$\{([A-Z_]*PASSWORD)(.*?)\}", text)
    assert {name for name, _ in asked} == PASSWORDS
    assert {rest for _, rest in asked} == {":?make compose-env writes it to .env"}


def test_other_variables_of_the_file_are_those_of_the_examples() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert asked - PASSWORDS - TAGS <= DOCUMENTED


def test_each_image_can_have_a_tag_of_its_own(services: Mapping[str, Service]) -> None:
    names = {name for name in services if services[name]["image"].startswith("bourse/")}
    assert names == {*PROCESSES, *(f"{name}-migration" for name in WITH_DATABASE)}
    for name in names:
        process = name.removesuffix("-migration")
        tag = f"{process.upper()}_TAG"
        assert services[name]["image"] == f"bourse/{process}:${{{tag}:-${{BOURSE_TAG:-latest}}}}"
        assert tag in TAGS


def test_containers_are_closed(services: Mapping[str, Service]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name


def test_a_service_starts_on_a_schema_that_is_up_to_date(services: Mapping[str, Service]) -> None:
    for name in WITH_DATABASE:
        migration = services[f"{name}-migration"]
        assert services[name]["depends_on"][f"{name}-migration"] == {"condition": "service_completed_successfully"}
        assert services[name]["environment"][f"{name.upper()}_MIGRATE_ON_START"] == "0"
        assert migration["image"] == services[name]["image"]
        assert migration["restart"] == "no"
        url = f"{name.upper()}_DATABASE_URL"
        assert migration["environment"] == {url: services[name]["environment"][url]}


def test_stores_are_on_networks_without_a_way_out(composed: Mapping[str, Any], services: Mapping[str, Service]) -> None:
    for name in ("postgres", "redis", "nats"):
        assert all(composed["networks"][network]["internal"] for network in services[name]["networks"])
        assert "ports" not in services[name]


def test_what_listens_for_people_does_so_on_loopback_unless_told(services: Mapping[str, Service]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(re.match(r"127\.0\.0\.1:|\$\{GATEWAY_HOST:-127\.0\.0\.1\}:", port) for port in published)


def test_addresses_lead_to_the_ports_that_images_expose(services: Mapping[str, Service]) -> None:
    for service in services.values():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_ADDRESS"):
                name, _, port = value.partition(":")
                dockerfile = (ROOT / "services" / name / "Dockerfile").read_text()
                assert variable == f"{name.upper()}_ADDRESS"
                assert f"EXPOSE {port} 9100\n" in dockerfile


def test_stores_are_the_same_as_in_kubernetes(services: Mapping[str, Service]) -> None:
    images = {container["image"] for _, container in containers(render("local"))}
    assert {services[name]["image"] for name in ("postgres", "redis", "nats")} <= images


def test_whoever_watches_reaches_what_it_asks(services: Mapping[str, Service]) -> None:
    configuration = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    names = jobs["bourse"]["dns_sd_configs"][0]
    assert set(names["names"]) == set(PROCESSES)
    asked = {*names["names"], *(target.partition(":")[0] for target in jobs["nats"]["static_configs"][0]["targets"])}
    watcher = services["prometheus"]
    for name in asked:
        assert set(services[name]["networks"]) & set(watcher["networks"]), name
    mounted = [volume.split(":")[1] for volume in watcher["volumes"]]
    for file in configuration["rule_files"]:
        assert f"/etc/prometheus/{file}" in mounted


def test_missing_passwords_are_added_and_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("NATS_PASSWORD=kept\nMARKET_PROVIDERS=yahoo")
    command = [sys.executable, str(ROOT / "scripts" / "compose_env.py"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    first = path.read_text()
    subprocess.run(command, check=True, capture_output=True)
    values = dict(line.split("=", 1) for line in first.splitlines())
    assert path.read_text() == first
    assert set(values) == PASSWORDS | {"MARKET_PROVIDERS"}
    assert values["NATS_PASSWORD"] == "kept"
    assert len({values[name] for name in PASSWORDS}) == len(PASSWORDS)


def test_a_copied_example_is_filled_in_and_becomes_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text(EXAMPLE)
    path.chmod(0o644)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "compose_env.py"), str(path)], check=True)
    lines = path.read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert set(values) == PASSWORDS
    assert all(values.values())
    assert len(lines) == len(EXAMPLE.splitlines())
    assert path.stat().st_mode & 0o777 == 0o600
