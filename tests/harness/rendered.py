"""What `kubectl kustomize` makes of an overlay, and how to ask it."""

import functools
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]  # nobody else here needs its stubs

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "k8s"
OVERLAYS = ("local", "production")
OURS = "bourse/"
WORKLOADS = ("Deployment", "StatefulSet", "Job")

Object = Mapping[str, Any]


@functools.cache
def render(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay; skip the test where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl to render overlays with")
    made = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return tuple(yaml.safe_load_all(made.stdout))


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def named(objects: tuple[Object, ...], kind: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in of_kind(objects, kind)}


def pod_of(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def labels_of(workload: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def containers(objects: tuple[Object, ...], *kinds: str) -> Iterator[tuple[str, Object]]:
    """Yield each container with a name to tell it by."""
    for workload in of_kind(objects, *(kinds or WORKLOADS)):
        pod = pod_of(workload)
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield f"{workload['kind']} {workload['metadata']['name']} {container['name']}", container


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Say whether a label selector matches; an empty one matches all."""
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", ())
    assert all(expression["operator"] == "In" for expression in expressions)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def ports_of(workload: Object) -> dict[str, int]:
    """Return the named ports of a workload's pods."""
    return {
        port["name"]: port["containerPort"]
        for container in pod_of(workload)["containers"]
        for port in container.get("ports", ())
    }


def quantity(text: str) -> float:
    """Return what a resource quantity amounts to."""
    for suffix, factor in (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("m", 1e-3)):
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)
