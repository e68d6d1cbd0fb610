"""Compiles the contracts while the distribution is built, so that generated code is never committed."""

import shutil
import subprocess
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OUTPUT = "generated"


class CompileProtos(BuildHookInterface):  # type: ignore[type-arg]
    """Runs protoc for Python messages, gRPC stubs and their type stubs."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatch's signature
        """Write `generated/bourse/**`; fail the build with protoc's own message when a contract is wrong."""
        root = Path(self.root)
        output = root / OUTPUT
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        contracts = sorted(path.relative_to(root).as_posix() for path in (root / "bourse").rglob("*.proto"))
        scripts = Path(sysconfig.get_path("scripts"))
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={root}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--mypy_out=quiet:{output}",
            f"--mypy_grpc_out=quiet:{output}",
            *contracts,
        ]
        subprocess.run(command, check=True, cwd=root)  # noqa: S603  # nothing in it comes from outside
        for folder in [output / "bourse", *(path for path in (output / "bourse").rglob("*") if path.is_dir())]:
            (folder / "__init__.py").touch()
        (output / "bourse" / "py.typed").touch()
