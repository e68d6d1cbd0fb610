"""OpenBB's REST API with the loopback vendor in place of the real one; run by the python that OPENBB_PYTHON names.

    python -I bench/openbb_api.py <port> <where /stable is>

Its code is as it was installed, but for the address of each call: its vendor's is not a setting. So both are asked, and
ask, in plain HTTP over loopback, and a call for anybody else's address fails.
"""

import importlib
import sys
from typing import Any

VENDOR = "https://financialmodelingprep.com/stable"


def send_calls_to(url: str) -> None:
    session = importlib.import_module("aiohttp").ClientSession
    request = session._request  # noqa: SLF001  # all its calls go through here

    async def redirected(self: Any, method: str, address: Any, **options: Any) -> Any:
        if not str(address).startswith(VENDOR):
            raise ConnectionRefusedError("only the vendor that is played may be asked")
        return await request(self, method, url + str(address).removeprefix(VENDOR), **options)

    session._request = redirected  # noqa: SLF001


def main() -> None:
    port, url = int(sys.argv[1]), sys.argv[2]
    send_calls_to(url)
    importlib.import_module("uvicorn").run(
        "openbb_core.api.rest_api:app", host="127.0.0.1", port=port, access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
