"""`make compose-restore`: has the handbook's own commands save, restore and mend composed containers.

The blocks under Backup and Restore in docs/operations.md are run as they stand there, against containers of a name and
passwords of their own, which are taken down after it. Without a Docker engine it says that it is skipped.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from harness.clients import PASSWORD, Account, gateway_client, register  # noqa: E402
from harness.compose import DockerFailed, Project, composed, free_port, missing_tool  # noqa: E402
from harness.handbook import GO_BACK, PUT_KEYS_BACK, SKIP_NUMBERS, TAKE_KEYS_AWAY, Handbook  # noqa: E402

PROJECT = "bourse-restore"
OWN = "/api/portfolios/me"
# What the handbook skips when it goes back in time.
NUMBERS_SKIPPED = 100_000


async def status_of(client: httpx.AsyncClient, account: Account) -> int:
    """Return what asking with an account's first token is answered with."""
    return (await client.get(OWN, headers=account.bearer)).status_code


async def logged_in(client: httpx.AsyncClient, account: Account) -> dict[str, Any]:
    """Log in and return the answer, or what refused it."""
    answer = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
    client.cookies.clear()
    body: dict[str, Any] = answer.json()
    return body


async def rehearse(handbook: Handbook, project: Project, client: httpx.AsyncClient) -> None:
    """Lose the keys and put them back; then lose everything since a backup."""
    old = await register(client)
    made = await client.post(OWN, json={"name": "before"}, headers=old.bearer)
    alert = {"type": "sell", "symbol": "NSE:SBIN", "price": 80_000_000}
    set_ = await client.post("/api/alerts/me", json=alert, headers=old.bearer)
    report("a portfolio and an alert made", is_so=made.is_success and set_.is_success, told=(made.text, set_.text))
    backup = handbook.save()
    report("saved", is_so=True)

    project.run("exec", "--no-TTY", "auth", "rm", "-r", "/var/lib/bourse/auth-keys")
    handbook.run(PUT_KEYS_BACK, backup=backup)
    # The gateway remembers keys, and tokens that it has verified.
    project.run("restart", "gateway")
    project.run("up", "--detach", "--wait")
    status = await status_of(client, old)
    report("keys put back: a token from before counts", is_so=status == HTTPStatus.OK, told=status)

    young = await register(client)
    await client.post(OWN, json={"name": "after"}, headers=old.bearer)
    handbook.run(GO_BACK, backup=backup)
    handbook.run(TAKE_KEYS_AWAY)
    handbook.run(SKIP_NUMBERS)
    status = await status_of(client, old)
    report("restored: a token from before is worth nothing", is_so=status == HTTPStatus.UNAUTHORIZED, told=status)
    back = await logged_in(client, old)
    report("who was there logs in", is_so="access_token" in back, told=back)
    report("who came after the backup is not known", is_so="access_token" not in await logged_in(client, young))
    bearer = {"Authorization": f"Bearer {back['access_token']}"}
    names = [portfolio["name"] for portfolio in (await client.get(OWN, headers=bearer)).json()]
    report("portfolios are those of the backup", is_so="before" in names and "after" not in names, told=names)
    alerts = (await client.get("/api/alerts/me", headers=bearer)).json()
    report("the alert is back", is_so=[each["symbol"] for each in alerts["sell"]] == [alert["symbol"]], told=alerts)
    newest = await register(client)
    gap = int(newest.user_id) - int(young.user_id)
    report("no number of an account is given again", is_so=gap > NUMBERS_SKIPPED // 2, told=gap)


def report(step: str, *, is_so: bool, told: object = None) -> None:
    """Say that a step was good; fail otherwise."""
    if not is_so:
        raise AssertionError(f"{step}: no, {told}")
    print(f"compose restore: {step}", flush=True)


async def rehearse_at(url: str, handbook: Handbook, project: Project) -> None:
    """Rehearse with what answers at an address."""
    async with gateway_client(url) as client:
        await rehearse(handbook, project, client)


def main() -> int:
    """Return 0 when everything went as the handbook says, or nothing could be tried; else 1."""
    if (problem := missing_tool()) is not None:
        print(f"compose restore: SKIPPED, {problem}")
        return 0
    port = free_port()
    began_at = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, composed(PROJECT, {"GATEWAY_PORT": str(port)}) as project:
            handbook = Handbook(project, Path(folder))
            asyncio.run(rehearse_at(f"http://127.0.0.1:{port}", handbook, project))
    except (AssertionError, DockerFailed, subprocess.SubprocessError) as error:
        print(f"compose restore: FAILED, {error}")
        return 1
    print(f"compose restore: passed after {time.monotonic() - began_at:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
