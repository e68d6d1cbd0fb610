import argparse
import asyncio

from chassis.logs import configure_logging
from chassis.process import load_settings, run_service
from market.app import build, migrate
from market.settings import Settings


def main() -> None:
    """Serve until a signal, or migrate and end."""
    parser = argparse.ArgumentParser(prog="python -m market")
    parser.add_argument("command", nargs="?", choices=("serve", "migrate"), default="serve")
    command = parser.parse_args().command
    settings = load_settings(Settings)
    if command == "serve":
        run_service("market", settings, lambda: build(settings))
        return
    configure_logging("market", style=settings.log_format, level=settings.log_level)
    asyncio.run(migrate(settings))


if __name__ == "__main__":
    main()
