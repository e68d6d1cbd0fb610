"""`make compose-smoke`: brings docker-compose.yml up under a name and passwords of its own, uses it, takes it down.

A user registers, reads prices, and sets an alert that fires. Without a Docker engine it says that it is skipped.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from harness.compose import DockerFailed, composed, free_port, missing_tool  # noqa: E402

PROJECT = "bourse-smoke"
REQUEST_SECONDS = 10
FIRE_SECONDS = 30
POLL_SECONDS = 0.5
ACCOUNT = {"email": "smoke@example.com", "password": "correct horse battery"}
PRICES = "/api/portfolio/live-prices?symbols=NSE:TCS,NASDAQ:AAPL"


class SmokeFailed(AssertionError):
    """Something that should have happened did not."""


class Client:
    """Asks the gateway, with a token once there is one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        self._opener = build_opener(ProxyHandler({}))

    def get(self, path: str) -> Any:
        """Return the answer's JSON."""
        return self._ask(Request(self._url + path, headers=self._headers))  # noqa: S310  # loopback

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON and return the answer's."""
        content = json.dumps(body).encode()
        return self._ask(Request(self._url + path, data=content, headers=self._headers))  # noqa: S310  # loopback

    def log_in(self) -> None:
        """Register, log in and keep the token."""
        self.post("/api/auth/register", ACCOUNT)
        token = self.post("/api/auth/login", ACCOUNT)["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"

    def _ask(self, request: Request) -> Any:
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise SmokeFailed(f"{request.get_method()} {request.selector}: {error.code} {error.read()!r}") from error


def use(client: Client) -> None:
    """Do what a first user does."""
    health = client.get("/api/health")
    report("healthy", is_so=health["status"] == "healthy", told=health)
    client.log_in()
    report("registered and logged in", is_so=True)
    prices = client.get(PRICES)
    report("prices read", is_so="TCS" in json.dumps(prices), told=prices)
    client.post("/api/alerts/me", {"type": "buy", "symbol": "NSE:TCS", "price": 100_000})
    fires = wait_for_fire(client)
    report("an alert fired", is_so=len(fires) == 1, told=fires)


def wait_for_fire(client: Client) -> list[Any]:
    """Return the fires of the account, once there are any."""
    deadline = time.monotonic() + FIRE_SECONDS
    while time.monotonic() < deadline:
        fires: list[Any] = client.get("/api/alerts/me/history")["fires"]
        if fires:
            return fires
        time.sleep(POLL_SECONDS)
    raise SmokeFailed(f"no alert fired within {FIRE_SECONDS} s")


def report(step: str, *, is_so: bool, told: object = None) -> None:
    """Say that a step was good; fail otherwise."""
    if not is_so:
        raise SmokeFailed(f"{step}: no, {told}")
    print(f"compose smoke: {step}", flush=True)


def main() -> int:
    """Return 0 when everything went as it should, or nothing could be tried; else 1."""
    if (problem := missing_tool()) is not None:
        print(f"compose smoke: SKIPPED, {problem}")
        return 0
    port = free_port()
    started = time.monotonic()
    try:
        with composed(PROJECT, {"GATEWAY_PORT": str(port)}):
            print(f"compose smoke: up and healthy after {time.monotonic() - started:.0f} s", flush=True)
            use(Client(f"http://127.0.0.1:{port}"))
    except (SmokeFailed, DockerFailed, subprocess.SubprocessError) as error:
        print(f"compose smoke: FAILED, {error}")
        return 1
    print("compose smoke: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
