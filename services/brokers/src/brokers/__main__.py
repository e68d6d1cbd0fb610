import argparse

from brokers.app import build
from brokers.settings import Settings
from chassis.process import load_settings, run_service


def main() -> None:
    """Serve until a signal; there is nothing to migrate."""
    parser = argparse.ArgumentParser(prog="python -m brokers")
    parser.add_argument("command", nargs="?", choices=("serve", "migrate"), default="serve")
    command = parser.parse_args().command
    settings = load_settings(Settings)
    if command == "serve":
        run_service("brokers", settings, lambda: build(settings))
        return
    print("brokers has no database: there is nothing to migrate")  # noqa: T201  # the command's answer


if __name__ == "__main__":
    main()
