"""The real, unmodified breeze_connect in a process of its own, because importing it changes the whole process.

It is told the root as its argument, empty for the vendor's own addresses; questions and answers are lines of JSON on
stdin and stdout. The first question is `[api_key, api_secret, api_session]`, each further one `[method, arguments]`;
`open` tries another login.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def loaded(root: str) -> ModuleType:
    """Import the SDK with its addresses under a root, or its own for an empty one; it leaves a folder of logs."""
    spec = importlib.util.find_spec("breeze_connect")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    config_spec = importlib.util.spec_from_file_location("config", package / "config.py")
    assert config_spec is not None
    assert config_spec.loader is not None
    config: Any = importlib.util.module_from_spec(config_spec)
    config_spec.loader.exec_module(config)
    if root:
        config.API_URL = f"{root}/breezeapi/api/v1/"
        config.BREEZE_NEW_URL = f"{root}/api/v2/"
        config.SECURITY_MASTER_URL = f"{root}/MotherAppMaster/SecurityMaster.zip"
    sys.modules["config"] = config
    return importlib.import_module("breeze_connect.breeze_connect")


def main() -> None:
    """Answer questions until stdin ends."""
    sdk = loaded(sys.argv[1])
    api_key, secret, api_session = json.loads(sys.stdin.readline())
    client = sdk.BreezeConnect(api_key)
    answer(client.generate_session, secret, api_session)
    for line in sys.stdin:
        method, arguments = json.loads(line)
        if method == "open":
            other = sdk.BreezeConnect(arguments["key"])
            answer(other.generate_session, secret, arguments["session"])
        else:
            answer(getattr(client, method), **arguments)


def answer(call: Any, *positional: Any, **named: Any) -> None:
    """Call the SDK and print what it returned, or what it raised: it raises bare Exceptions."""
    try:
        outcome = {"answer": call(*positional, **named)}
    except Exception as error:  # noqa: BLE001
        outcome = {"error": str(error)}
    print(json.dumps(outcome), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
