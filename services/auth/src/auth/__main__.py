import argparse
import asyncio

from auth.app import KeyFileIsGiven, build, grant_admin, migrate, rotate_key
from auth.providers.key_files import KeyFileExposed, KeyFileInvalid
from auth.settings import Settings
from chassis.database import SchemaBehind
from chassis.errors import ServiceError
from chassis.logs import configure_logging
from chassis.process import load_settings, run_service


def main() -> None:
    """Serve until a signal, or do one errand and end."""
    arguments = _parser().parse_args()
    settings = load_settings(Settings)
    if arguments.command in {None, "serve"}:
        run_service("auth", settings, lambda: build(settings))
        return
    configure_logging("auth", style=settings.log_format, level=settings.log_level)
    try:
        print(_run_errand(settings, arguments))  # noqa: T201  # the answer to a command line
    except (ServiceError, SchemaBehind, KeyFileIsGiven, KeyFileInvalid, KeyFileExposed) as error:
        raise SystemExit(f"{arguments.command}: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m auth", description="Users, passwords, sessions and signed tokens.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("serve", help="serve until SIGTERM or SIGINT (the default)")
    commands.add_parser("migrate", help="bring the database's schema up to date and end")
    granting = commands.add_parser("grant-admin", help="make a registered account an administrator's")
    granting.add_argument("email", help="the account's e-mail address")
    granting.add_argument("--unverified", action="store_true", help="even if nobody has verified the address")
    commands.add_parser("rotate-key", help="add a signing key; running processes take it up by themselves")
    return parser


def _run_errand(settings: Settings, arguments: argparse.Namespace) -> str:
    match arguments.command:
        case "migrate":
            asyncio.run(migrate(settings))
            return "the schema is up to date"
        case "grant-admin":
            # Where strangers can register, anybody may have an account under an operator's address.
            is_enough = arguments.unverified or not settings.mail_verified_only
            user = asyncio.run(grant_admin(settings, arguments.email, is_unverified_enough=is_enough))
            doubt = "" if user.is_email_verified else "; nobody has verified the address: make sure whose account it is"
            return f"{user.email} (user {user.id}) is an administrator; tokens from its next login say so{doubt}"
        case _:
            key = rotate_key(settings)
            return f"key {key.id} is published now and signs in {settings.auth_key_publish_ahead_seconds} s"


if __name__ == "__main__":
    main()
