from chassis.process import run_command_line
from portfolio.app import build, migrate
from portfolio.settings import Settings


def main() -> None:
    """Serve until a signal, or migrate and end."""
    run_command_line("portfolio", Settings, build=build, migrate=migrate)


if __name__ == "__main__":
    main()
