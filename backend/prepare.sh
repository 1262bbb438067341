#!/usr/bin/env bash
# Writes the metadata in .sqlx against which queries are checked, from a temporary PostgreSQL with the migrations
# applied. Run it after a query or a migration has changed.
set -euo pipefail
cd "$(dirname "$0")"

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || { echo "prepare.sh: no PostgreSQL server under /usr/lib/postgresql; install postgresql" >&2; exit 1; }
work=$(mktemp -d)
# PostgreSQL refuses to run as root.
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
stop() { as_owner "$bin/pg_ctl" --pgdata "$work/data" --mode immediate stop >/dev/null 2>&1 || true; rm -rf "$work"; }
trap stop EXIT
if [ "$(id -u)" = 0 ]; then chown postgres "$work"; fi

as_owner "$bin/initdb" --pgdata "$work/data" --auth trust --username marea --encoding UTF8 --no-sync >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
as_owner "$bin/pg_ctl" --pgdata "$work/data" --wait --log "$work/data/log" \
  --options "-c listen_addresses='' -c unix_socket_directories='$work' -c fsync=off" start >/dev/null
for migration in migrations/*.sql; do
  as_owner psql --quiet --no-psqlrc --host "$work" --username marea --dbname postgres --set ON_ERROR_STOP=1 --file - <"$migration"
done

rm -rf .sqlx && mkdir .sqlx
touch src/lib.rs src/database.rs src/simulations/store.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/.sqlx" DATABASE_URL="postgres://marea@localhost/postgres?host=$work" cargo check --quiet --package marea-backend
echo "prepare.sh: $(ls .sqlx | wc -l) queries described in backend/.sqlx"
