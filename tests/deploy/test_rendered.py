"""What schemas cannot see of the Kubernetes objects: that they fit together, and fit the processes."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]  # nobody else here needs its stubs

from harness.rendered import (
    KUBERNETES,
    OURS,
    OVERLAYS,
    ROOT,
    Object,
    containers,
    labels_of,
    named,
    of_kind,
    pod_of,
    ports_of,
    quantity,
    render,
    selects,
)

DEPLOYABLES = {"gateway", "auth", "market", "portfolio", "brokers", "alerts"}
WITH_DATABASE = {"auth", "market", "portfolio", "alerts"}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return render(request.param)


def running(objects: tuple[Object, ...]) -> list[Object]:
    return of_kind(objects, "Deployment", "StatefulSet")


def pods_that(objects: tuple[Object, ...], selector: Object) -> list[Object]:
    return [each for each in of_kind(objects, "Deployment", "StatefulSet", "Job") if selects(selector, labels_of(each))]


def documented() -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_process_is_deployed_from_its_own_image(objects: tuple[Object, ...]) -> None:
    images = {container["image"] for _, container in containers(objects, "Deployment")}
    assert {image.split(":")[0].removeprefix(OURS) for image in images if image.startswith(OURS)} == DEPLOYABLES


def test_every_database_is_migrated_by_the_image_that_will_use_it(objects: tuple[Object, ...]) -> None:
    migrations = {
        labels_of(job)["app.kubernetes.io/name"]: pod_of(job)["containers"][0]
        for job in of_kind(objects, "Job")
        if labels_of(job)["app.kubernetes.io/component"] == "migration"
    }
    assert set(migrations) == WITH_DATABASE
    for name, container in migrations.items():
        server = pod_of(named(objects, "Deployment")[name])["containers"][0]
        assert container["image"] == server["image"]
        assert container["args"] == ["migrate"]
        assert {"name": f"{name.upper()}_MIGRATE_ON_START", "value": "0"} in server["env"]


def test_a_job_is_named_after_its_tag_because_it_cannot_be_changed(objects: tuple[Object, ...]) -> None:
    for job in of_kind(objects, "Job"):
        tag = pod_of(job)["containers"][0]["image"].rpartition(":")[2]
        assert job["metadata"]["name"].endswith(f"-{tag}")
        assert len(job["metadata"]["name"]) <= 63


def test_every_image_has_a_tag(objects: tuple[Object, ...]) -> None:
    for name, container in containers(objects):
        assert re.fullmatch(r"[a-z0-9./-]+:[\w.-]+", container["image"]), name


def test_what_is_released_is_not_whatever_is_latest() -> None:
    assert not [name for name, container in containers(render("production")) if container["image"].endswith(":latest")]


def test_a_service_leads_to_pods_and_to_ports_they_have(objects: tuple[Object, ...]) -> None:
    for service in of_kind(objects, "Service"):
        found = pods_that(objects, {"matchLabels": service["spec"]["selector"]})
        assert len(found) == 1, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports_of(found[0]), service["metadata"]["name"]


def test_a_selector_selects_its_own_pods_and_no_others(objects: tuple[Object, ...]) -> None:
    for workload in running(objects):
        assert pods_that(objects, workload["spec"]["selector"]) == [workload]


def test_probes_ask_ports_that_are_there(objects: tuple[Object, ...]) -> None:
    for workload in running(objects):
        ports = ports_of(workload)
        for container in pod_of(workload)["containers"]:
            for kind in ("readinessProbe", "livenessProbe"):
                assert kind in container, (workload["metadata"]["name"], kind)
            asked = [probe_port(container[kind]) for kind in container if kind.endswith("Probe")]
            known = {*ports, *ports.values(), None}
            assert set(asked) <= known, workload["metadata"]["name"]


def test_alive_is_asked_where_metrics_are_and_ready_where_calls_come_in(objects: tuple[Object, ...]) -> None:
    for name in DEPLOYABLES:
        workload = named(objects, "Deployment")[name]
        container = pod_of(workload)["containers"][0]
        ports = ports_of(workload)
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert f"METRICS_ADDRESS=0.0.0.0:{ports['metrics']}" in dockerfile(name)
        if name == "gateway":
            assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        else:
            assert container["readinessProbe"]["grpc"] == container["startupProbe"]["grpc"] == {"port": ports["grpc"]}


def dockerfile(name: str) -> str:
    return (ROOT / ("gateway" if name == "gateway" else f"services/{name}") / "Dockerfile").read_text()


def test_annotations_lead_to_the_port_of_the_metrics(objects: tuple[Object, ...]) -> None:
    for workload in of_kind(objects, "Deployment"):
        ports = ports_of(workload)
        annotations = workload["spec"]["template"]["metadata"].get("annotations", {})
        assert annotations.get("prometheus.io/port") == (str(ports["metrics"]) if "metrics" in ports else None)


def test_rules_and_dashboards_are_those_that_compose_has(objects: tuple[Object, ...]) -> None:
    maps, folder = named(objects, "ConfigMap"), ROOT / "deploy" / "monitoring"
    assert maps["prometheus-rules"]["data"] == {"rules.yml": (folder / "rules.yml").read_text()}
    assert maps["dashboards"]["data"] == {each.name: each.read_text() for each in folder.glob("dashboards/*.json")}
    assert maps["dashboards"]["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_nobody_but_prometheus_has_a_token_and_it_can_only_look_at_pods() -> None:
    objects = render("local")
    with_token = [
        workload["metadata"]["name"]
        for workload in of_kind(objects, "Deployment", "StatefulSet", "Job")
        for volume in pod_of(workload).get("volumes", ())
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source
    ]
    assert with_token == ["prometheus"]
    assert [each["rules"] for each in of_kind(objects, "Role")] == [
        [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    ]
    binding = of_kind(objects, "RoleBinding")[0]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "prometheus", "namespace": "bourse"}]
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    assert not of_kind(render("production"), "Role", "RoleBinding")


def probe_port(probe: Object) -> Any:
    return next((probe[way]["port"] for way in ("grpc", "httpGet", "tcpSocket") if way in probe), None)


def test_an_address_of_a_process_leads_to_its_service(objects: tuple[Object, ...]) -> None:
    shared = next(each for name, each in named(objects, "ConfigMap").items() if re.fullmatch(r"bourse-\w+", name))
    addresses = {name: value for name, value in shared["data"].items() if name.endswith("_ADDRESS")}
    assert set(addresses) == {f"{name.upper()}_ADDRESS" for name in DEPLOYABLES - {"gateway"}}
    for address in addresses.values():
        host, _, port = address.partition(":")
        service = named(objects, "Service")[host]
        assert int(port) in [each["port"] for each in service["spec"]["ports"]]
        assert int(port) in ports_of(named(objects, "Deployment")[host]).values()


def test_what_is_referred_to_exists_or_is_a_secret_from_elsewhere(objects: tuple[Object, ...]) -> None:
    maps, accounts = named(objects, "ConfigMap"), named(objects, "ServiceAccount")
    for workload in of_kind(objects, "Deployment", "StatefulSet", "Job"):
        pod = pod_of(workload)
        assert pod["serviceAccountName"] in accounts
        used = [volume["configMap"]["name"] for volume in pod.get("volumes", ()) if "configMap" in volume]
        used += [
            source["configMapRef"]["name"]
            for container in pod["containers"]
            for source in container.get("envFrom", ())
            if "configMapRef" in source
        ]
        assert set(used) <= set(maps), workload["metadata"]["name"]
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
        mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
        assert mounted == volumes, workload["metadata"]["name"]


def test_no_secret_is_in_what_is_rendered(objects: tuple[Object, ...]) -> None:
    assert not of_kind(objects, "Secret")
    for name, container in containers(objects):
        for variable in container.get("env", ()):
            if re.search(r"PASSWORD|SECRET|_URL$|_KEY$", variable["name"]):
                assert "secretKeyRef" in variable.get("valueFrom", {}) or "$(" in variable["value"], name


def secrets_asked_for(objects: tuple[Object, ...]) -> dict[str, set[str]]:
    """Return the names of Secrets that must be there, with the keys that are asked for by name."""
    asked: dict[str, set[str]] = {}
    for workload in of_kind(objects, "Deployment", "StatefulSet", "Job"):
        for name, key in secrets_of(pod_of(workload)):
            asked.setdefault(name, set()).update({key} if key else ())
    return asked


def secrets_of(pod: Object) -> Iterator[tuple[str, str | None]]:
    """Yield each Secret that a pod cannot start without, with the key it asks for by name."""
    yield from ((volume["secret"]["secretName"], None) for volume in pod.get("volumes", ()) if "secret" in volume)
    for container in pod["containers"]:
        sources = [source["secretRef"] for source in container.get("envFrom", ()) if "secretRef" in source]
        yield from ((source["name"], None) for source in sources if not source.get("optional"))
        values = [variable.get("valueFrom", {}).get("secretKeyRef") for variable in container.get("env", ())]
        yield from ((value["name"], value["key"]) for value in values if value)


def test_the_local_script_makes_exactly_the_secrets_that_are_asked_for() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make secrets with")
    script = KUBERNETES / "overlays" / "local" / "secrets.sh"
    printed = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True).stdout
    made = {each["metadata"]["name"]: set(each["stringData"]) for each in yaml.safe_load_all(printed) if each}
    asked = secrets_asked_for(render("local"))
    assert set(made) == set(asked)
    for name, keys in asked.items():
        assert keys <= made[name]
    ours = {key for name in ("connections", *WITH_DATABASE) for key in made[name]}
    assert ours <= documented()


def test_the_secrets_of_production_are_listed_where_operators_look() -> None:
    readme = (ROOT / "deploy" / "README.md").read_text()
    for name, keys in secrets_asked_for(render("production")).items():
        assert f"| `{name}` |" in readme, name
        assert all(f"`{key}`" in readme for key in keys), name


def test_what_an_operator_has_to_change_is_said_where_operators_look() -> None:
    readme = (ROOT / "deploy" / "README.md").read_text()
    folders = [KUBERNETES / "overlays" / "production", KUBERNETES / "components" / "ingress"]
    made_up = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and "example.com" in path.read_text()
    ]
    assert {path.name for path in made_up} == {"mail.env", "ingress.yaml"}
    for path in made_up:
        assert f"`{path.name}`" in readme or f"`components/{path.parent.name}`" in readme, path


def test_variables_of_our_processes_are_in_the_example(objects: tuple[Object, ...]) -> None:
    maps = named(objects, "ConfigMap")
    known = documented()
    for name, container in containers(objects):
        if not container["image"].startswith(OURS):
            continue
        given = {variable["name"] for variable in container.get("env", ())}
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                given |= set(maps[source["configMapRef"]["name"]]["data"])
        assert given <= known, name


def test_scalers_scale_what_is_there_by_what_it_asks_for(objects: tuple[Object, ...]) -> None:
    deployments = named(objects, "Deployment")
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = deployments[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "each apply would undo what the scaler did"
        assert 2 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]
        for metric in scaler["spec"]["metrics"]:
            for container in pod_of(target)["containers"]:
                assert metric["resource"]["name"] in container["resources"]["requests"]


def replicas_of(objects: tuple[Object, ...], workload: Object) -> int:
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]:
            return int(scaler["spec"]["minReplicas"])
    return int(workload["spec"].get("replicas", 1))


def test_whatever_has_replicas_keeps_all_but_one_while_nodes_are_drained(objects: tuple[Object, ...]) -> None:
    guarded = []
    for budget in of_kind(objects, "PodDisruptionBudget"):
        found = pods_that(objects, budget["spec"]["selector"])
        assert len(found) == 1, budget["metadata"]["name"]
        assert budget["spec"]["maxUnavailable"] == 1
        guarded += found
    names = {each["metadata"]["name"] for each in guarded}
    assert names == {each["metadata"]["name"] for each in running(objects) if replicas_of(objects, each) > 1}


def test_a_rollout_never_takes_away_before_it_adds(objects: tuple[Object, ...]) -> None:
    for name in DEPLOYABLES:
        strategy = named(objects, "Deployment")[name]["spec"]["strategy"]
        assert strategy["rollingUpdate"]["maxUnavailable"] == 0
        assert strategy["rollingUpdate"]["maxSurge"] > 0


def test_a_pod_has_time_to_end_what_it_began(objects: tuple[Object, ...]) -> None:
    shared = next(each for name, each in named(objects, "ConfigMap").items() if re.fullmatch(r"bourse-\w+", name))
    grace = float(shared["data"]["SHUTDOWN_GRACE_SECONDS"])
    for name in DEPLOYABLES:
        pod = pod_of(named(objects, "Deployment")[name])
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleep >= 5
        assert pod["terminationGracePeriodSeconds"] >= sleep + grace + 10


def test_nobody_asks_for_more_than_the_limit(objects: tuple[Object, ...]) -> None:
    for name, container in containers(objects):
        asked, limit = container["resources"]["requests"], container["resources"]["limits"]
        assert set(asked) == set(limit) == {"cpu", "memory"}, name
        assert all(quantity(asked[each]) <= quantity(limit[each]) for each in asked), name


def test_pods_are_restricted(objects: tuple[Object, ...]) -> None:
    namespace = of_kind(objects, "Namespace")[0]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in of_kind(objects, "Deployment", "StatefulSet", "Job"):
        pod = pod_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for name, container in containers(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_everything_is_in_our_namespace(objects: tuple[Object, ...]) -> None:
    outside = [each for each in objects if each["kind"] != "Namespace" and each["metadata"]["namespace"] != "bourse"]
    assert not outside


def test_a_stateful_set_is_named_by_a_headless_service(objects: tuple[Object, ...]) -> None:
    for each in of_kind(objects, "StatefulSet"):
        service = named(objects, "Service")[each["spec"]["serviceName"]]
        assert service["spec"]["clusterIP"] == "None"
        assert selects({"matchLabels": service["spec"]["selector"]}, labels_of(each))


def test_the_ingress_leads_to_the_gateway() -> None:
    objects = render("production")
    backends = [
        path["backend"]["service"]
        for ingress in of_kind(objects, "Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    assert backends
    for backend in backends:
        ports = named(objects, "Service")[backend["name"]]["spec"]["ports"]
        assert backend["port"]["name"] in [port["name"] for port in ports]


# Policies


def test_nothing_is_let_through_that_no_policy_names(objects: tuple[Object, ...]) -> None:
    policy = named(objects, "NetworkPolicy")["deny-all"]["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_selector_of_a_policy_matches_something(objects: tuple[Object, ...]) -> None:
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        peers = [peer for rule in spec.get("ingress", ()) for peer in rule.get("from", ())]
        peers += [peer for rule in spec.get("egress", ()) for peer in rule.get("to", ())]
        selectors = [peer["podSelector"] for peer in peers if "podSelector" in peer and "namespaceSelector" not in peer]
        for selector in (spec["podSelector"], *selectors):
            assert pods_that(objects, selector), policy["metadata"]["name"]
            for expression in selector.get("matchExpressions", ()):
                for value in expression["values"]:
                    assert pods_that(objects, {"matchLabels": {expression["key"]: value}}), policy["metadata"]["name"]


def allows(objects: tuple[Object, ...], *, source: Object, target: Object, port: int) -> bool:
    """Say whether both ends' policies let a connection from one pod to another through."""
    numbers = {port, *(name for name, number in ports_of(target).items() if number == port)}
    return any(passes(rule, "to", labels_of(target), numbers) for rule in rules_for(objects, source, "Egress")) and any(
        passes(rule, "from", labels_of(source), numbers) for rule in rules_for(objects, target, "Ingress")
    )


def rules_for(objects: tuple[Object, ...], workload: Object, direction: str) -> list[Object]:
    return [
        rule
        for policy in of_kind(objects, "NetworkPolicy")
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], labels_of(workload))
        for rule in policy["spec"].get(direction.lower()) or ()
    ]


def passes(rule: Object, side: str, labels: Any, ports: set[Any]) -> bool:
    peers = rule.get(side, ())
    is_peer = any(
        "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], labels)
        for peer in peers
    )
    return is_peer and any(port["port"] in ports for port in rule["ports"])


CALLS = {
    "gateway": {"auth", "market", "portfolio", "brokers", "alerts"},
    "auth": set(),
    "market": {"brokers"},
    "portfolio": {"auth", "market"},
    "brokers": {"market", "portfolio"},
    "alerts": {"auth", "market"},
}


def addresses_read(name: str) -> set[str]:
    source = (ROOT / ("" if name == "gateway" else "services") / name / "src" / name / "settings.py").read_text()
    return {found.lower() for found in re.findall(r"^    (\w+)_address: str", source, re.MULTILINE)} - {name}


def test_the_calls_that_policies_are_held_against_are_those_of_the_processes() -> None:
    assert {name: addresses_read(name) for name in DEPLOYABLES} == CALLS


def test_policies_let_each_process_reach_whom_it_calls_and_nobody_else(objects: tuple[Object, ...]) -> None:
    deployments = named(objects, "Deployment")
    for caller in DEPLOYABLES:
        for called in DEPLOYABLES - {caller, "gateway"}:
            port = ports_of(deployments[called])["grpc"]
            is_open = allows(objects, source=deployments[caller], target=deployments[called], port=port)
            assert is_open == (called in CALLS[caller]), f"{caller} to {called}"


def test_metrics_are_told_to_who_watches_and_to_nobody_else(objects: tuple[Object, ...]) -> None:
    deployments = named(objects, "Deployment")
    for name in (*DEPLOYABLES, "nats-exporter"):
        port = ports_of(deployments[name])["metrics"]
        askers = {
            labels_of(each)["app.kubernetes.io/name"]
            for each in of_kind(objects, "Deployment", "StatefulSet", "Job")
            if allows(objects, source=each, target=deployments[name], port=port)
        }
        assert askers == {"prometheus"} & set(deployments), name
        from_elsewhere = [
            (peer["namespaceSelector"]["matchLabels"], [each["port"] for each in rule["ports"]])
            for rule in rules_for(objects, deployments[name], "Ingress")
            for peer in rule["from"]
            if "namespaceSelector" in peer and {"port": "http"} not in rule["ports"]
        ]
        assert from_elsewhere == [({"kubernetes.io/metadata.name": "monitoring"}, ["metrics"])], name


def test_policies_let_the_exporter_reach_the_monitor_of_nats(objects: tuple[Object, ...]) -> None:
    nats, deployments = named(objects, "StatefulSet")["nats"], named(objects, "Deployment")
    assert allows(objects, source=deployments["nats-exporter"], target=nats, port=8222)
    assert not allows(objects, source=deployments["gateway"], target=nats, port=8222)


def test_policies_let_every_process_reach_nats(objects: tuple[Object, ...]) -> None:
    nats = named(objects, "StatefulSet")["nats"]
    for name in DEPLOYABLES:
        assert allows(objects, source=named(objects, "Deployment")[name], target=nats, port=4222), name
    assert allows(objects, source=nats, target=nats, port=6222)


def test_policies_let_whoever_has_a_database_reach_it_and_its_migration_too() -> None:
    objects = render("local")
    postgres = named(objects, "StatefulSet")["postgres"]
    for workload in of_kind(objects, "Deployment", "Job"):
        is_open = allows(objects, source=workload, target=postgres, port=5432)
        assert is_open == (labels_of(workload)["app.kubernetes.io/name"] in WITH_DATABASE), workload["metadata"]["name"]
