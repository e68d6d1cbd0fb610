"""Alembic's entry point; `chassis.database.ensure_schema` has the connection."""

from chassis.database import run_migrations
from market.storage.tables import METADATA

run_migrations(METADATA)
