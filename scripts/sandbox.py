"""`make sandbox`: both brokers on loopback with made-up accounts, and the lines that sync them into `make run`.

They speak as the real ones do, so that everything from the gateway to the brokers' own SDKs is at work. No real
credentials are needed, and none belong here.
"""

import csv
import json
import signal
import sys
import threading
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from string import Template
from urllib.parse import urlencode
from urllib.request import urlopen

from chassis.process import load_settings
from suite.settings import Settings

ROOT = Path(__file__).parents[1]
# The stand-ins are the tests' own, which are not installed.
sys.path.insert(0, str(ROOT / "tests"))

from upstreams.demo_accounts import (  # noqa: E402
    BREEZE_HOLDINGS,
    BREEZE_KEY,
    KITE_HOLDINGS,
    KITE_KEY,
    PREFIX,
    call_option,
    demo_breeze_account,
    demo_kite_account,
    priced,
)
from upstreams.servers import brokers_server  # noqa: E402
from upstreams.serving import PortTaken  # noqa: E402

INSTRUMENTS = ROOT / "services/market/src/market/providers/reference/instruments.csv"
SECRET = "sandbox-demo-secret"  # noqa: S105  # it opens nothing but the sandbox
GATEWAY_SECONDS = 2.0

GREETING = Template("""\
The sandbox answers as Zerodha's Kite and ICICI's Breeze at $url. Ctrl-C ends it.
Both accounts are made up, and what is synced from them is marked simulated.

  Zerodha   api_key $kite_key   api_secret $secret   request_token $prefix...
  ICICI     api_key $breeze_key     api_secret $secret   api_session   $prefix...

A request_token or api_session that begins with $prefix works once, as a real one does.
With `$run` in another terminal, paste this into a third:

B=$gateway

# an account of Bourse and its token; each pass makes a new one
LOGIN="{\\"email\\":\\"sandbox-$$(date +%s)@example.com\\",\\"password\\":\\"correct horse battery\\"}"
curl -s -o /dev/null -X POST "$$B/api/auth/register" -H 'Content-Type: application/json' -d "$$LOGIN"
TOKEN=$$(curl -s -X POST "$$B/api/auth/login" -H 'Content-Type: application/json' -d "$$LOGIN" \\
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

# sync from Zerodha, then from ICICI
CODE=$$(python3 -c 'import uuid; print("$prefix" + uuid.uuid4().hex)')
curl -s -X POST "$$B/api/portfolio/sync" -H "Authorization: Bearer $$TOKEN" -H 'Content-Type: application/json' \\
  -d "{\\"api_key\\":\\"$kite_key\\",\\"api_secret\\":\\"$secret\\",\\"request_token\\":\\"$$CODE\\"}"; echo
curl -s -X POST "$$B/api/portfolio/icici-sync" -H "Authorization: Bearer $$TOKEN" -H 'Content-Type: application/json' \\
  -d "{\\"api_key\\":\\"$breeze_key\\",\\"api_secret\\":\\"$secret\\",\\"api_session\\":\\"$$CODE\\"}"; echo

# what is held: at the prices the brokers gave, and a few seconds later at those of the sample market
curl -s "$$B/api/portfolio/holdings" -H "Authorization: Bearer $$TOKEN"; echo
curl -s "$$B/api/portfolio/positions" -H "Authorization: Bearer $$TOKEN"; echo
curl -s "$$B/api/portfolio/pnl?days=30" -H "Authorization: Bearer $$TOKEN"; echo
""")


def sample_prices(gateway: str) -> dict[str, float]:
    """Return what instruments cost in the sample market, by `EXCHANGE:SYMBOL`.

    Those that accounts hold cost what they cost now, where `make run` serves already; the others what the sample market
    wanders around.
    """
    with INSTRUMENTS.open(newline="") as file:
        levels = {f"{row['exchange']}:{row['symbol']}": float(row["price"]) for row in csv.DictReader(file)}
    held = [f"NSE:{symbol}" for symbol in {**KITE_HOLDINGS, **BREEZE_HOLDINGS}]
    return levels | live_prices(gateway, held)


def live_prices(gateway: str, symbols: list[str]) -> dict[str, float]:
    """Ask a running gateway; nothing is known without one."""
    query = urlencode({"symbols": ",".join(symbols)})
    try:
        with urlopen(f"{gateway}/api/portfolio/live-prices?{query}", timeout=GATEWAY_SECONDS) as answer:  # noqa: S310
            quotes = json.load(answer)["quotes"]
        return {quote["instrument"]: float(quote["last_price"]) for quote in quotes}
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        # Whatever else listens there is not ours to understand.
        return {}


def gateway_url(settings: Settings) -> str:
    """Return where `make run` serves, or will."""
    host = settings.gateway_host if settings.gateway_host != "0.0.0.0" else "127.0.0.1"  # noqa: S104  # compared
    return f"http://{host}:{settings.gateway_port}"


def greeting(settings: Settings, url: str) -> str:
    """Write what the terminal shows."""
    changed = [
        f"{name.upper()}={getattr(settings, name)}"
        for name in ("gateway_port", "sandbox_port")
        if getattr(settings, name) != Settings.model_fields[name].default
    ]
    return GREETING.substitute(
        url=url,
        run=" ".join([*changed, "make run"]),
        gateway=gateway_url(settings),
        kite_key=KITE_KEY,
        breeze_key=BREEZE_KEY,
        secret=SECRET,
        prefix=PREFIX,
    )


def serve(settings: Settings) -> None:
    """Serve until a signal.

    Raises:
        PortTaken: something listens there already.
    """
    today = datetime.now(UTC).date()
    listings = {listing.key: listing for listing in [*priced(sample_prices(gateway_url(settings))), call_option(today)]}
    kite = demo_kite_account(SECRET, listings, today=today)
    breeze = demo_breeze_account(SECRET, listings)
    told_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: told_to_end.set())
    with brokers_server([kite], [breeze], port=settings.sandbox_port) as brokers:
        brokers.kite.upstream.listings |= listings
        brokers.breeze.upstream.listings |= listings
        print(greeting(settings, brokers.url), flush=True)
        told_to_end.wait()


def main() -> int:
    """Run the sandbox and return the exit code."""
    settings = load_settings(Settings)
    try:
        serve(settings)
    except PortTaken as refusal:
        print(f"{refusal}: set SANDBOX_PORT to a free one, for `make run` too", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
