import argparse
import sys

from chassis.process import load_settings, run_service
from gateway.app import build, create_api
from gateway.settings import Settings


def main() -> None:
    """Serve until a signal, or print the OpenAPI document."""
    parser = argparse.ArgumentParser(prog="python -m gateway")
    parser.add_argument("command", nargs="?", choices=("serve", "openapi"), default="serve")
    command = parser.parse_args().command
    if command == "openapi":
        sys.stdout.write(create_api().state.openapi_text)
        return
    settings = load_settings(Settings)
    run_service("gateway", settings, lambda: build(settings))


if __name__ == "__main__":
    main()
