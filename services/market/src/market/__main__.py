from chassis.process import run_command_line
from market.app import build, migrate
from market.settings import Settings


def main() -> None:
    """Serve until a signal, or migrate and end."""
    run_command_line("market", Settings, build=build, migrate=migrate)


if __name__ == "__main__":
    main()
