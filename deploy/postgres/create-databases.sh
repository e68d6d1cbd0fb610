#!/bin/sh
# Runs once, on an empty server: a database and a role for each service that has one, each closed to the others.
set -eu

for service in auth market portfolio alerts; do
  variable="$(echo "$service" | tr '[:lower:]' '[:upper:]')_DATABASE_PASSWORD"
  psql --quiet --no-psqlrc --host /var/run/postgresql --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set ON_ERROR_STOP=1 --set service="$service" --set variable="$variable" <<'SQL'
\getenv password :variable
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
