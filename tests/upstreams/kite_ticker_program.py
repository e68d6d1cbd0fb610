"""The real, unmodified KiteTicker in a process of its own, because its reactor cannot be started twice.

    python kite_ticker_program.py ROOT API_KEY ACCESS_TOKEN TOKEN...

It subscribes to the tokens, the last of them in full mode, and prints what its callbacks get, a line of JSON each,
until a whole line comes on stdin.
"""

import json
import sys
import threading
from typing import Any

from kiteconnect import KiteTicker


def tell(event: str, content: Any) -> None:
    """Print one event."""
    print(json.dumps([event, content], default=str), flush=True)  # noqa: T201


def main() -> None:
    """Listen until told to end."""
    root, api_key, access_token, *numbers = sys.argv[1:]
    tokens = [int(number) for number in numbers]
    ticker = KiteTicker(api_key, access_token, root=root)

    def subscribe(_: Any, __: Any) -> None:
        ticker.subscribe(tokens)
        ticker.set_mode(ticker.MODE_FULL, tokens[-1:])

    ticker.on_connect = subscribe
    ticker.on_ticks = lambda _, ticks: tell("ticks", ticks)
    ticker.on_order_update = lambda _, order: tell("order", order)
    ticker.on_error = lambda _, code, reason: tell("error", [code, str(reason)])
    ticker.connect(threaded=True)
    ending = threading.Thread(target=sys.stdin.readline)
    ending.start()
    ending.join()
    ticker.close()


if __name__ == "__main__":
    main()
