"""`make check-deploy`: what tools say about Dockerfiles, the composed file, Kubernetes objects and Prometheus' files.

Nothing is started and nothing is asked over a network. A tool that is not there is a printed skip. What no tool sees is
in `tests/deploy`.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PASSWORDS = ROOT / "scripts" / "compose_env.py"
MONITORING = ROOT / "deploy" / "monitoring"
OVERLAYS = sorted(path.parent for path in (ROOT / "deploy" / "k8s" / "overlays").glob("*/kustomization.yaml"))
DOCKERFILES = sorted([ROOT / "gateway" / "Dockerfile", *ROOT.glob("services/*/Dockerfile")])
TOOL_SECONDS = 300
# Policies that do not fit, and why.
REFUSED_POLICIES = {
    "CKV_K8S_14": "local runs what was built last; tests/deploy wants tags of what is released",
    "CKV_K8S_15": "tags do not move, so that a restart need not wait for a registry",
    "CKV_K8S_35": "processes read their settings from the environment alone",
    "CKV_K8S_40": "70 is who owns the files in PostgreSQL's image, for a local cluster alone",
    "CKV_K8S_43": "the digest is known where images are pushed: kustomize takes it beside the tag",
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


def passes(*command: str | Path) -> bool:
    """Run a tool and say whether it was content; what it says is shown when it was not."""
    done = subprocess.run(  # noqa: S603  # a tool by its full path
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TOOL_SECONDS
    )
    if done.returncode != 0:
        print(done.stdout + done.stderr, end="")
    return done.returncode == 0


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
    """Let Prometheus read its configuration, and the rules that are there."""
    promtool = tool("promtool")
    rules = sorted(MONITORING.glob("rules/*.yml"))
    return passes(promtool, "check", "config", MONITORING / "prometheus.yml") and (
        not rules or passes(promtool, "check", "rules", *rules)
    )


CHECKS: dict[str, Callable[[], bool]] = {
    "Dockerfiles (hadolint)": check_dockerfiles,
    "docker-compose.yml (docker compose config)": check_compose,
    "Kubernetes schemas (kubectl kustomize, kubernetes-validate)": check_schemas,
    "Kubernetes policies (kubectl kustomize, checkov)": check_policies,
    "Prometheus (promtool)": check_prometheus,
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
