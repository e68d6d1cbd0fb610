"""Alembic's entry: runs on the connection that `ensure_schema` opened."""

from chassis.database import run_migrations
from portfolio.storage.tables import METADATA

run_migrations(METADATA)
