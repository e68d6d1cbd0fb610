"""Stands in for the gateway: answers 200 on its port, and misbehaves as FAKE_GATEWAY says."""

import http.server
import os
import signal
import sys
from types import FrameType
from typing import Any


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"services": {"portfolio": {"status": "serving"}, "brokers": {"status": "serving"}}}')

    def log_message(self, *_: Any) -> None:
        pass


def leave(*_: int | FrameType | None) -> None:
    sys.exit(0)


behaviour = os.environ.get("FAKE_GATEWAY", "")
if behaviour == "dies":
    sys.stdout.write("the disk is on fire\n")
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else leave)
if behaviour == "chatty":
    sys.stdout.write("x" * 200_000 + "\n")
    sys.stdout.flush()
http.server.HTTPServer(("127.0.0.1", int(os.environ["GATEWAY_PORT"])), Answer).serve_forever()
