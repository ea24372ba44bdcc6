#!/usr/bin/env bash
# scripts/cluster.sh
# Three servers of Rescind on one PostgreSQL database with a synchronous standby, behind Caddy, all on 127.0.0.1. For
# anybody to try: stop a server, kill the primary, and see what is answered. Everything ends with Ctrl-C, and its data goes.
# Needs PostgreSQL 15 or newer and Caddy, which scripts/test.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'cluster.sh: %s\n' "$*" >&2; exit 1; }

programs=$(scripts/postgres.sh programs)
command -v caddy >/dev/null || fail "Caddy is missing: scripts/test.sh installs it"
cargo build --release --locked --bin rescind
rescind=$(realpath "${CARGO_TARGET_DIR:-target}/release/rescind")

primary_port=24321 standby_port=24322 proxy_port=8080
folder=$(mktemp -d)
processes=() pids=

stop() {
    trap - EXIT
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
    wait || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 0' INT TERM

# PostgreSQL refuses to run as root, who uses the user that its package made.
as_server_user() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi
}

settings() {
    printf '%s\n' "listen_addresses = '127.0.0.1'" "unix_socket_directories = ''" 'wal_sender_timeout = 2s'
}

chmod 711 "$folder"
mkdir "$folder/postgres" "$folder/rescind"
if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$folder/postgres"; fi
postgres=$folder/postgres
url=postgres://postgres@127.0.0.1:$primary_port,127.0.0.1:$standby_port/postgres

(cd / && as_server_user "$programs/initdb" -D "$postgres/primary" --username=postgres --auth=trust --locale=C \
    --encoding=UTF8 >"$folder/rescind/initdb.log")
as_server_user tee -a "$postgres/primary/postgresql.conf" >/dev/null <<<"$(settings)"

run_postgres() {
    local name=$1 port=$2
    (cd / && as_server_user "$programs/postgres" -D "$postgres/$name" -p "$port") >"$folder/rescind/$name.log" 2>&1 &
    processes+=($!)
    for _ in {1..200}; do
        if "$programs/pg_isready" --quiet --host=127.0.0.1 --port="$port"; then return; fi
        sleep 0.1
    done
    fail "PostgreSQL does not start: $(cat "$folder/rescind/$name.log")"
}

run_postgres primary "$primary_port"
(cd / && as_server_user "$programs/pg_basebackup" -D "$postgres/standby" --write-recovery-conf --checkpoint=fast \
    --dbname="host=127.0.0.1 port=$primary_port user=postgres application_name=standby")
run_postgres standby "$standby_port"
# From now on a commit is answered once the standby has it too.
for statement in "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby)'" "SELECT pg_reload_conf()"; do
    "$programs/psql" --quiet --no-psqlrc --host=127.0.0.1 --port="$primary_port" --username=postgres \
        --command="$statement" >/dev/null
done

export RESCIND_DATABASE_URL=$url RESCIND_DATABASE_STANDBY=required RESCIND_KEY_FILE=$folder/rescind/key
export RESCIND_ISSUER=http://127.0.0.1:$proxy_port RESCIND_TRUSTED_PROXIES=127.0.0.1
printf 'correct horse battery staple\n' | "$rescind" user add max --role admin --password-stdin >/dev/null
upstreams=
for number in 1 2 3; do
    RESCIND_LISTEN=127.0.0.1:808$number "$rescind" serve >"$folder/rescind/server$number.log" 2>&1 &
    processes+=($!)
    upstreams+=" 127.0.0.1:808$number"
    pids+="    server $number: 127.0.0.1:808$number, process $!"$'\n'
done

cat >"$folder/rescind/Caddyfile" <<END
{
    admin off
    auto_https off
    persist_config off
}
http://127.0.0.1:$proxy_port {
    bind 127.0.0.1
    reverse_proxy$upstreams {
        lb_policy round_robin
        lb_try_duration 5s
        health_uri /readyz
        health_interval 1s
        flush_interval -1
    }
}
END
XDG_DATA_HOME=$folder/rescind XDG_CONFIG_HOME=$folder/rescind caddy run --config "$folder/rescind/Caddyfile" \
    >"$folder/rescind/caddy.log" 2>&1 &
processes+=($!)

cat <<END

http://127.0.0.1:$proxy_port answers by turns from three servers. Sign in as max, correct horse battery staple.

$pids
    primary: 127.0.0.1:$primary_port, data in $postgres/primary
    standby: 127.0.0.1:$standby_port, data in $postgres/standby
    logs: $folder/rescind

Kill a server (kill -9 PROCESS), and the others go on. Kill the primary, and every server answers 503 until the standby
is promoted:

    $programs/psql -h 127.0.0.1 -p $standby_port -U postgres -c 'SELECT pg_promote()'
    $programs/psql -h 127.0.0.1 -p $standby_port -U postgres -c "ALTER SYSTEM SET synchronous_standby_names = ''"

(The servers here believe a primary only while it has a standby: RESCIND_DATABASE_STANDBY=required.)

Commands work on the database from anywhere:

    RESCIND_DATABASE_URL='$url' RESCIND_KEY_FILE=$folder/rescind/key $rescind user list

Ctrl-C ends everything.
END
wait -n "${processes[@]: -1}"
