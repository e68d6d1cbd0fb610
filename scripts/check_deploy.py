"""`make check-deploy`: what tools say about Dockerfiles, the composed file, Kubernetes objects and Prometheus' files.

One process is started, on loopback and in a folder of its own, to see what it tells of itself; nothing else is asked
over a network. A tool that is not there is a printed skip. What no tool sees is in `tests/deploy`.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from chassis.testing import free_port, stop_process

ROOT = Path(__file__).parents[1]
PASSWORDS = ROOT / "scripts" / "compose_env.py"
MONITORING = ROOT / "deploy" / "monitoring"
KUBERNETES_CONFIGURATION = ROOT / "deploy" / "k8s" / "components" / "prometheus" / "prometheus.yml"
OVERLAYS = sorted(path.parent for path in (ROOT / "deploy" / "k8s" / "overlays").glob("*/kustomization.yaml"))
DOCKERFILES = sorted([ROOT / "gateway" / "Dockerfile", *ROOT.glob("services/*/Dockerfile")])
TOOL_SECONDS = 300
START_SECONDS = 60
LOOK_SECONDS = 0.2
# It has a database and an outbox, and needs nobody to start.
TELLING = "auth"
# Policies that do not fit, and why.
REFUSED_POLICIES = {
    "CKV_K8S_14": "local runs what was built last; tests/deploy wants tags of what is released",
    "CKV_K8S_15": "tags do not move, so that a restart need not wait for a registry",
    "CKV_K8S_35": "processes read their settings from the environment alone",
    "CKV_K8S_40": "70 is who owns the files in PostgreSQL's image, for a local cluster alone",
    "CKV_K8S_43": "Jobs are named after the tag, which a digest would end; a registry can refuse to have a tag moved",
}


class ToolMissing(RuntimeError):
    """A tool is not on this machine."""


def tool(name: str) -> str:
    """Return where a tool is: beside this Python or on the PATH.

    Raises:
        ToolMissing: it is nowhere.
    """
    found = shutil.which(name, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise ToolMissing(name)
    return found


def ran(*command: str | Path, told: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
    """Run a tool, with `told` on its standard input."""
    return subprocess.run(  # noqa: S603  # a tool by its full path
        command, cwd=ROOT, input=told, capture_output=True, check=False, timeout=TOOL_SECONDS
    )


def was_content(done: "subprocess.CompletedProcess[bytes]") -> bool:
    """Say whether a tool was content; what it said is shown when it was not."""
    if done.returncode != 0:
        print((done.stdout + done.stderr).decode(errors="replace"), end="")
    return done.returncode == 0


def passes(*command: str | Path) -> bool:
    """Run a tool and say whether it was content; what it says is shown when it was not."""
    return was_content(ran(*command))


@contextmanager
def rendered() -> Iterator[list[Path]]:
    """Write what each overlay becomes to a file of its own.

    Raises:
        ToolMissing: there is no kubectl.
    """
    kubectl = tool("kubectl")
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for overlay in OVERLAYS:
            file = Path(folder) / f"{overlay.name}.yaml"
            if not passes(kubectl, "kustomize", overlay, "--output", file):
                raise SystemExit(f"check-deploy: {overlay.name} cannot be rendered")
            files.append(file)
        yield files


def check_dockerfiles() -> bool:
    """Lint the Dockerfiles."""
    return passes(tool("hadolint"), *DOCKERFILES)


def check_compose() -> bool:
    """Let Compose read its file, with passwords that nobody uses and every profile."""
    docker = tool("docker")
    if not passes(docker, "compose", "version"):
        raise ToolMissing("docker compose")
    with tempfile.TemporaryDirectory() as folder:
        variables = Path(folder) / "env"
        return passes(sys.executable, PASSWORDS, variables) and passes(
            docker, "compose", "--env-file", variables, "--profile", "*", "config", "--quiet"
        )


def check_schemas() -> bool:
    """Hold every object against the newest schemas, unknown fields included."""
    validate = tool("kubernetes-validate")
    with rendered() as files:
        return passes(validate, "--strict", "--quiet", *files)


def check_policies() -> bool:
    """Hold every object against checkov's policies, but for those that do not fit."""
    checkov = tool("checkov")
    options = ["--skip-download", "--framework", "kubernetes", "--compact", "--quiet"]
    with rendered() as files:
        named = [argument for file in files for argument in ("--file", str(file))]
        return passes(checkov, *options, "--skip-check", ",".join(REFUSED_POLICIES), *named)


def check_prometheus() -> bool:
    """Let Prometheus read its configuration for compose, and the rules that it names."""
    return passes(tool("promtool"), "check", "config", MONITORING / "prometheus.yml")


def check_prometheus_in_kubernetes() -> bool:
    """Let Prometheus read its configuration for Kubernetes, whose rules are only in the container.

    Raises:
        ToolMissing: promtool was built without Kubernetes, as Debian's is.
    """
    done = ran(tool("promtool"), "check", "config", "--syntax-only", KUBERNETES_CONFIGURATION)
    if b"kubernetes_sd_configs not found" in done.stdout + done.stderr:
        raise ToolMissing("promtool that knows Kubernetes")
    return was_content(done)


def check_rules() -> bool:
    """Let each alert fire and be silent in the tests beside the rules."""
    promtool = tool("promtool")
    return passes(promtool, "check", "rules", MONITORING / "rules.yml") and passes(
        promtool, "test", "rules", MONITORING / "rules_test.yml"
    )


def check_metrics() -> bool:
    """Hold what a process tells of itself against Prometheus' format and manners."""
    promtool = tool("promtool")
    with page_of_metrics() as page:
        return was_content(ran(promtool, "check", "metrics", told=page))


@contextmanager
def page_of_metrics() -> Iterator[bytes]:
    """Start a process, and give what it answers at /metrics.

    Raises:
        SystemExit: it did not answer in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        address = f"127.0.0.1:{free_port()}"
        settings = {"METRICS_ADDRESS": address, f"{TELLING.upper()}_ADDRESS": f"127.0.0.1:{free_port()}"}
        # Nobody is there; it starts all the same.
        settings |= {"NATS_URL": f"nats://127.0.0.1:{free_port()}", "RUN_DIR": folder}
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
        process = subprocess.Popen(  # noqa: S603  # our own
            [sys.executable, "-m", TELLING], env=kept | settings, cwd=folder, stderr=subprocess.DEVNULL
        )
        try:
            yield fetched(f"http://{address}/metrics", process)
        finally:
            stop_process(process)


def fetched(url: str, process: "subprocess.Popen[bytes]") -> bytes:
    """Return what an address answers, once it does."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with build_opener(ProxyHandler({})).open(url, timeout=TOOL_SECONDS) as answer:
                body: bytes = answer.read()
                return body
        except (URLError, OSError):
            time.sleep(LOOK_SECONDS)
    raise SystemExit(f"check-deploy: {TELLING} does not tell its metrics")


CHECKS: dict[str, Callable[[], bool]] = {
    "Dockerfiles (hadolint)": check_dockerfiles,
    "docker-compose.yml (docker compose config)": check_compose,
    "Kubernetes schemas (kubectl kustomize, kubernetes-validate)": check_schemas,
    "Kubernetes policies (kubectl kustomize, checkov)": check_policies,
    "Prometheus' configuration for compose (promtool check config)": check_prometheus,
    "Prometheus' configuration for Kubernetes (promtool check config)": check_prometheus_in_kubernetes,
    "rules and their tests (promtool check rules, test rules)": check_rules,
    f"metrics of {TELLING} (promtool check metrics)": check_metrics,
}


def main() -> int:
    """Run every check and return 1 when one was not content."""
    failed = []
    for name, check in CHECKS.items():
        try:
            is_good = check()
        except ToolMissing as missing:
            print(f"check-deploy: {name}: SKIPPED, there is no {missing}", flush=True)
            continue
        print(f"check-deploy: {name}: {'ok' if is_good else 'FAILED'}", flush=True)
        if not is_good:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
