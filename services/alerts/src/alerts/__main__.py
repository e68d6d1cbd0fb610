from alerts.app import build, migrate
from alerts.settings import Settings
from chassis.process import run_command_line


def main() -> None:
    """Serve until a signal, or migrate and end."""
    run_command_line("alerts", Settings, build=build, migrate=migrate)


if __name__ == "__main__":
    main()
