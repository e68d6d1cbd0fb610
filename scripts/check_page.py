"""`make check-page`: looks at the documentation page in headless Chromium, over the DevTools protocol.

It starts the suite on the sample market, and checks on a phone and a desktop, light and dark: no console error, no
request to another host, links and anchors that lead somewhere, search, and forms that are pressed. Screenshots go to
SCREENSHOTS, a folder, when that is set. Without Chromium it says that it is skipped.
"""

import asyncio
import base64
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import websockets

ROOT = Path(__file__).parents[1]
# The suite under control is the tests' own, which is not installed.
sys.path.insert(0, str(ROOT / "tests"))

from harness.processes import RunningSuite  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
)
START_SECONDS = 30.0
ANSWER_SECONDS = 20.0
POLL_SECONDS = 0.05
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
SIZES = {"phone": (390, 844, True), "desktop": (1440, 900, False)}
THEMES = ("light", "dark")
# Of a server that goes on running nobody else should know the account.
ACCOUNT = {"email": f"page-{token_hex(8)}@example.com", "password": token_hex(16), "name": "Asha Rao"}


class PageWrong(AssertionError):
    """The page is not as it should be."""


@dataclass(slots=True)
class Browser:
    """One page of a browser: sends commands, keeps what went wrong and what was asked of which host."""

    socket: Any
    problems: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    _answers: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _count: int = 0

    async def listen(self) -> None:
        """Read what the browser tells, until it ends."""
        async for text in self.socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._note(message["method"], message["params"])

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.problems.append(str(told["exceptionDetails"]))
        elif event == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.problems.append(str(told["args"]))
        elif event == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._count += 1
        self._answers[self._count] = asyncio.get_running_loop().create_future()
        answer = self._answers[self._count]
        await self.socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        async with asyncio.timeout(ANSWER_SECONDS):
            message = await answer
        if "error" in message:
            raise PageWrong(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    async def run(self, script: str) -> Any:
        """Run a script in the page and return its value."""
        told = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise PageWrong(f"{script}: {told['exceptionDetails']}")
        return told["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Wait until a script's value is true, and return it."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not (value := await self.run(condition)):  # noqa: ASYNC110  # a page has no event for it
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            raise PageWrong(f"never true: {condition}") from error
        return value

    async def open(self, url: str) -> None:
        """Go to an address and wait until it is there."""
        await self.send("Page.navigate", url=url)
        await self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    async def wear(self, size: str, theme: str) -> None:
        """Take a size and a theme."""
        width, height, is_phone = SIZES[size]
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            # What scrolls at once is where it should be when it is looked at.
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def picture(self, name: str) -> None:
        """Keep a screenshot where SCREENSHOTS says."""
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            shot = await self.send("Page.captureScreenshot", format="png")
            await asyncio.to_thread(keep, Path(folder) / f"{name}.png", base64.b64decode(shot["data"]))


def keep(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@asynccontextmanager
async def browser(program: str) -> AsyncIterator[Browser]:
    """Run Chromium until the block is left."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--user-data-dir={profile}",
            *ARGUMENTS,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            address = await _page_address(Path(profile))
            async with websockets.connect(address, max_size=MAX_MESSAGE_BYTES, proxy=None) as socket:
                page = Browser(socket)
                listening = asyncio.create_task(page.listen())
                try:
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await page.send(f"{domain}.enable")
                    yield page
                finally:
                    listening.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _page_address(profile: Path) -> str:
    found = profile / "DevToolsActivePort"
    async with asyncio.timeout(START_SECONDS):
        while not found.exists() or "\n" not in found.read_text():  # noqa: ASYNC110  # Chromium tells this file alone
            await asyncio.sleep(POLL_SECONDS)
    port, path = found.read_text().split("\n")[:2]
    async with websockets.connect(f"ws://127.0.0.1:{port}{path}", proxy=None) as socket:
        await socket.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
        target = json.loads(await socket.recv())["result"]["targetId"]
    return f"ws://127.0.0.1:{port}/devtools/page/{target}"


# --- what is checked ----------------------------------------------------------------------------------------------


async def check(page: Browser, url: str) -> None:
    """Check everything, printing each part as it is done.

    Raises:
        PageWrong: something is not as it should be.
    """
    await look_at_all(page, url)
    await page.wear("desktop", "light")
    await page.open(f"{url}/")
    for part in (check_links, check_search, check_theme, check_keyboard, check_ticker, check_forms):
        await part(page, url)
        print(f"  {part.__name__.removeprefix('check_')}: ok", flush=True)
    strangers = {host for each in page.requested if (host := urlsplit(each).netloc) not in ("", urlsplit(url).netloc)}
    require(not strangers, f"asked other hosts: {strangers}")
    require(not page.problems, f"the console says: {page.problems}")


async def look_at_all(page: Browser, url: str) -> None:
    """See both pages in all sizes and themes: nothing is wider than the screen."""
    for size, (width, *_) in SIZES.items():
        for theme in THEMES:
            await page.wear(size, theme)
            for name, path in (("documentation", "/"), ("reference", "/docs")):
                await page.open(f"{url}{path}")
                await page.until("!document.getElementById('ticker').hidden")
                await page.picture(f"{name}-{size}-{theme}")
                wide = await page.run("document.documentElement.scrollWidth")
                require(wide <= width, f"{path} is {wide} wide on a {size} of {width}")
            await page.open(f"{url}/")
            await page.run("document.getElementById('get-api-index-snapshot').scrollIntoView()")
            await page.picture(f"operation-{size}-{theme}")
            await page.run("document.getElementById('menu').click()")
            await page.picture(f"contents-{size}-{theme}")
    print("  sizes and themes: ok", flush=True)


async def check_links(page: Browser, url: str) -> None:
    """Follow every link: anchors are on their page, pages answer."""
    links = await page.run("[...document.querySelectorAll('a[href]')].map((each) => each.href)")
    pages: dict[str, set[str]] = {}
    for link in sorted(set(links)):
        address, _, anchor = link.partition("#")
        require(address.startswith(url), f"{link} leads elsewhere")
        pages.setdefault(address, set()).add(anchor)
    for address, anchors in pages.items():
        text = await page.run(f"fetch({json.dumps(address)}).then((answer) => answer.ok ? answer.text() : '')")
        require(text, f"{address} does not answer")
        missing = [anchor for anchor in anchors if anchor and f'id="{anchor}"' not in text]
        require(not missing, f"{address} has no {missing}")


async def check_search(page: Browser, _: str) -> None:
    """Search for an operation, for nothing, and end the search."""
    total = await page.run("document.querySelectorAll('.operation').length")
    shown = "document.querySelectorAll('.operation:not([hidden])').length"
    await search(page, "live-prices")
    found = await page.run(shown)
    require(0 < found < total, f"search shows {found} of {total} operations")
    require(await page.run("!document.getElementById('get-api-portfolio-live-prices').hidden"), "search hides a match")
    await page.picture("search")
    await search(page, "no such thing")
    require(await page.run(shown) == 0, "search shows what does not match")
    await search(page, "")
    require(await page.run(shown) == total, "an ended search still hides")


async def search(page: Browser, text: str) -> None:
    """Type into the search box."""
    await page.run(
        f"{{ const box = document.getElementById('search'); box.value = {json.dumps(text)};"
        "box.dispatchEvent(new Event('input')); }"
    )


async def check_theme(page: Browser, _: str) -> None:
    """Press the theme's button twice: another background, and the first again."""
    colour = "getComputedStyle(document.body).backgroundColor"
    first = await page.run(colour)
    await page.run("document.getElementById('theme').click()")
    require(await page.run(colour) != first, "the theme's button changes nothing")
    await page.run("document.getElementById('theme').click()")
    require(await page.run(colour) == first, "the theme's button does not lead back")


async def check_keyboard(page: Browser, _: str) -> None:
    """Press `/` to search, Escape to leave, and see that Tab reaches the way past the contents first."""
    for kind in ("keyDown", "keyUp"):
        await page.send("Input.dispatchKeyEvent", type=kind, key="/", text="/" if kind == "keyDown" else "")
    require(await page.run("document.activeElement.id === 'search'"), "/ does not lead to the search")
    require(await page.run("document.getElementById('search').value === ''"), "/ is typed into the search")
    await page.run("document.activeElement.blur()")
    unnamed = await page.run(
        "[...document.querySelectorAll('input, select, textarea')].filter((each) => !each.labels.length).length"
    )
    require(unnamed == 0, f"{unnamed} inputs have no label")


async def check_ticker(page: Browser, _: str) -> None:
    """See prices that are marked, and that change."""
    await page.until("document.querySelectorAll('#ticker-prices li').length >= 5")
    require(
        await page.run("document.getElementById('ticker-mark').textContent") == "simulated", "prices are not marked"
    )
    prices = "document.getElementById('ticker-prices').textContent"
    before = json.dumps(await page.run(prices))
    await page.until(f"{prices} !== {before}")


async def check_forms(page: Browser, _: str) -> None:
    """Send forms: a GET, one with a parameter, the stream, a registration, what it lets in, and a refusal."""
    status, answer = await press(page, "get-api-index-snapshot")
    require(status == "200" and "nifty_price" in answer, f"snapshot: {status} {answer}")
    status, answer = await press(page, "get-api-portfolio-live-prices", symbols="NSE:INFY")
    require(status == "200" and '"NSE:INFY"' in answer, f"live prices: {status} {answer}")
    await check_stream_form(page)
    status, answer = await press(page, "post-api-auth-register", body=json.dumps(ACCOUNT))
    require(status == "201" and "access_token" in answer, f"register: {status} {answer}")
    require(len(await page.run("document.getElementById('token').value")) > len("token"), "the token was not taken")
    credentials = {name: ACCOUNT[name] for name in ("email", "password")}
    status, answer = await press(page, "post-api-auth-login", body=json.dumps(credentials))
    require(status == "200" and "access_token" in answer, f"login: {status} {answer}")
    status, answer = await press(page, "get-api-auth-user-user-id", user_id="me")
    require(status == "200" and ACCOUNT["email"] in answer, f"profile: {status} {answer}")
    await page.picture("trial")
    await page.run("document.getElementById('token-clear').click()")
    body = json.dumps({"type": "buy", "symbol": "NASDAQ:AAPL", "price": 150.25})
    status, answer = await press(page, "post-api-alerts-user-id", user_id="me", body=body)
    require(status == "200" and "AAPL" in answer, f"an alert set by cookie alone: {status} {answer}")


async def check_stream_form(page: Browser) -> None:
    """Follow the stream in its form and stop it."""
    form = await fill(page, "get-api-stream", {"symbols": "NSE:TCS,NASDAQ:AAPL"})
    await page.run(f"{form}.querySelector('.send').click()")
    await page.until(f"{form}.querySelector('.answer').textContent.includes('event: prices')")
    await page.picture("stream")
    await page.run(f"{form}.querySelector('.stop').click()")
    await page.until(f"{form}.querySelector('.status').textContent === 'stopped'")
    require(await page.run(f"{form}.querySelector('.stop').hidden"), "what has stopped can still be stopped")


async def press(page: Browser, anchor: str, **inputs: str) -> tuple[str, str]:
    """Fill a form, send it, and return the status and the answer that it shows."""
    form = await fill(page, anchor, inputs)
    await page.run(f"{form}.querySelector('.send').click()")
    told = await page.until(
        f"/^[0-9]/.test({form}.querySelector('.status').textContent) && {form}.querySelector('.status').textContent"
    )
    return str(told).split()[0], await page.run(f"{form}.querySelector('.answer').textContent")


async def fill(page: Browser, anchor: str, inputs: dict[str, str]) -> str:
    """Open a form and write into it; return the script that finds it."""
    form = f"document.querySelector('#{anchor} .trial')"
    await page.run(f"{form}.parentElement.open = true; {form}.scrollIntoView({{block: 'center'}})")
    for name, value in inputs.items():
        await page.run(f"{form}.querySelector('[name={name}]').value = {json.dumps(value)}")
    return form


def require(is_so: object, otherwise: str) -> None:
    """Say what is wrong unless it is right.

    Raises:
        PageWrong: it is not.
    """
    if not is_so:
        raise PageWrong(otherwise)


# --- running it ---------------------------------------------------------------------------------------------------


@contextmanager
def served() -> Iterator[str]:
    """Serve the suite on free ports, unless PAGE_URL names one that runs; yield its address."""
    given = os.environ.get("PAGE_URL")
    if given:
        yield given.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as folder:
        suite = RunningSuite.planned(Path(folder), {})
        try:
            suite.start_all()
            yield suite.gateway_url
        finally:
            suite.stop_all()


async def look(program: str, url: str) -> None:
    """Check the pages in one browser."""
    async with browser(program) as page:
        await check(page, url)


def main() -> int:
    """Check the page and return the exit code."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        print("check-page: SKIPPED, there is no Chromium here")
        return 0
    try:
        with served() as url:
            asyncio.run(look(program, url))
    except PageWrong as wrong:
        print(f"check-page: {wrong}", file=sys.stderr)
        return 1
    print("check-page: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
