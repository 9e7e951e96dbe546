#!/bin/sh
# PostgreSQL with one database, whose password is that of the stack's secret.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
if [ ! -e "$data/PG_VERSION" ]; then
  "$bin/initdb" -D "$data" --username=shop --pwfile=/run/secrets/database-password --auth=scram-sha-256 >/dev/null
  echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
  PGPASSWORD=$(cat /run/secrets/database-password) export PGPASSWORD
  "$bin/pg_ctl" -D "$data" -w -o "-c listen_addresses='' -k /tmp" start >/dev/null
  psql -q -h /tmp -U shop -d postgres -c "create table orders (id bigserial primary key, made timestamptz not null default now())"
  "$bin/pg_ctl" -D "$data" -w stop >/dev/null
fi
exec "$bin/postgres" -D "$data" -k /tmp -c listen_addresses='*'
