#!/bin/sh
# Prints the Secrets that the overlay names, with random values: sh secrets.sh | kubectl create --filename -
# Made once: PostgreSQL keeps the passwords that it was first started with.
set -eu

random() { openssl rand -hex 24; }

secret() { # secret NAME KEY=VALUE...
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: bourse}\nstringData:\n' "$1"
  shift
  for pair in "$@"; do printf '  %s: "%s"\n' "${pair%%=*}" "${pair#*=}"; done
}

nats=$(random) redis=$(random) auth=$(random) market=$(random) portfolio=$(random) alerts=$(random)
database() { echo "postgresql+asyncpg://$1:$2@postgres/$1"; }

secret nats "NATS_PASSWORD=$nats" "NATS_ROUTE_PASSWORD=$(random)"
secret redis "REDIS_PASSWORD=$redis"
secret connections "NATS_URL=nats://bourse:$nats@nats:4222" "REDIS_URL=redis://:$redis@redis:6379/0"
secret postgres "POSTGRES_PASSWORD=$(random)" "AUTH_DATABASE_PASSWORD=$auth" "MARKET_DATABASE_PASSWORD=$market" \
  "PORTFOLIO_DATABASE_PASSWORD=$portfolio" "ALERTS_DATABASE_PASSWORD=$alerts"
secret auth "AUTH_DATABASE_URL=$(database auth "$auth")"
secret market "MARKET_DATABASE_URL=$(database market "$market")"
secret portfolio "PORTFOLIO_DATABASE_URL=$(database portfolio "$portfolio")"
secret alerts "ALERTS_DATABASE_URL=$(database alerts "$alerts")"
secret auth-signing-key
printf '  signing.pem: |\n'
openssl genpkey -algorithm ed25519 | sed 's/^/    /'
