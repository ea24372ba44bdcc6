#!/usr/bin/env bash
# scripts/cluster.sh [--port PORT] [--program FILE]
# Three servers of Rescind on one PostgreSQL database with a synchronous standby, behind Caddy, all on 127.0.0.1. For
# anybody to try: kill a server, kill the primary, and see what is answered. What was killed comes back after five
# seconds; in place of a primary, its standby is promoted. Ctrl-C ends everything and deletes the data.
#
# Caddy listens on PORT (8080), the servers on the three ports after it, PostgreSQL on the next two. Needs PostgreSQL 15
# or newer and Caddy, which scripts/test.sh installs. Builds the program, unless FILE is given.
set -euo pipefail

fail() { printf 'cluster.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '%(%T)T %s\n' -1 "$*"; }

proxy_port=8080 rescind=
while [ $# -gt 0 ]; do
    case "$1" in
        --port) proxy_port=${2:?} ;;
        --program) rescind=$(realpath -e "${2:?}") ;;
        *) fail "usage: scripts/cluster.sh [--port PORT] [--program FILE]" ;;
    esac
    shift 2
done
cd "$(dirname "$0")/.."

programs=$(scripts/postgres.sh programs)
command -v caddy >/dev/null || fail "Caddy is missing: scripts/test.sh installs it"
if [ -z "$rescind" ]; then
    cargo build --release --locked --bin rescind
    rescind=$(realpath "${CARGO_TARGET_DIR:-target}/release/rescind")
fi
for ((port = proxy_port; port < proxy_port + 6; port++)); do
    if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then fail "port $port is in use: choose others with --port"; fi
done

folder=$(mktemp -d)
postgres=$folder/postgres logs=$folder/rescind
# The process of each name: server1 to server3, postgres1 and postgres2, caddy.
declare -A process=()
primary=1 standby=2

is_alive() { kill -0 "${process[$1]}" 2>/dev/null; }

# Ends the named processes and waits for them, but not for long.
end() {
    local signal=$1 name
    shift
    # One that somebody paused has to go on to end.
    for name; do kill "$signal" "${process[$name]}" 2>/dev/null && kill -CONT "${process[$name]}" || true; done
    for _ in {1..100}; do
        local left=0
        for name; do if is_alive "$name"; then left=1; fi; done
        [ "$left" = 1 ] || return 0
        sleep 0.1
    done
    for name; do kill -KILL "${process[$name]}" 2>/dev/null || true; done
}

stop() {
    trap - EXIT
    trap '' INT TERM
    local name others=() databases=()
    for name in "${!process[@]}"; do
        case "$name" in postgres*) databases+=("$name") ;; *) others+=("$name") ;; esac
    done
    end -TERM "${others[@]}"
    # At once: nobody wants the data any more.
    end -QUIT "${databases[@]}"
    wait
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 0' INT TERM

# PostgreSQL refuses to run as root, who uses the user that its package made. The program takes the place of this
# process, so that $! is the program.
exec_as_server_user() {
    cd /
    if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=postgres --regid=postgres --init-groups "$@"; fi
    exec "$@"
}

postgres_port() { printf '%s' $((proxy_port + 3 + $1)); }

run_postgres() {
    local port log=$logs/postgres$1.log
    port=$(postgres_port "$1")
    (exec_as_server_user "$programs/postgres" -D "$postgres/$1" -p "$port") >>"$log" 2>&1 &
    process[postgres$1]=$!
    for _ in {1..200}; do
        if "$programs/pg_isready" --quiet --host=127.0.0.1 --port="$port"; then return; fi
        is_alive "postgres$1" || break
        sleep 0.1
    done
    fail "PostgreSQL does not start: $(cat "$log")"
}

# A new copy of the primary, which follows it.
run_standby() {
    rm -rf "${postgres:?}/$standby"
    (exec_as_server_user "$programs/pg_basebackup" -D "$postgres/$standby" --write-recovery-conf --no-sync \
        --checkpoint=fast --dbname="host=127.0.0.1 port=$(postgres_port "$primary") user=postgres application_name=postgres$standby") \
        >>"$logs/postgres$standby.log" 2>&1 || fail "pg_basebackup: $(cat "$logs/postgres$standby.log")"
    run_postgres "$standby"
}

run_server() {
    RESCIND_LISTEN=127.0.0.1:$((proxy_port + $1)) "$rescind" serve >>"$logs/server$1.log" 2>&1 &
    process[server$1]=$!
}

run_caddy() {
    XDG_DATA_HOME=$logs XDG_CONFIG_HOME=$logs caddy run --config "$logs/Caddyfile" >>"$logs/caddy.log" 2>&1 &
    process[caddy]=$!
}

# Whether a request to /readyz at this port is answered with 200.
is_ready() {
    local status=
    {
        printf 'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$proxy_port" >&3
        read -r -t 5 _ status _ <&3
    } 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || true
    [ "$status" = 200 ]
}

# The value of a line of a command's answer.
value_of() { sed -n "s/^$1: //p" <<<"$2"; }

promote_standby() {
    "$programs/psql" --quiet --no-psqlrc --host=127.0.0.1 --port="$(postgres_port "$standby")" --username=postgres \
        --command='SELECT pg_promote()' >/dev/null
    local promoted=$standby
    standby=$primary primary=$promoted
    say "postgres$primary was promoted; postgres$standby becomes its standby"
    run_standby
}

come_back() {
    case "$1" in
        "postgres$primary") promote_standby ;;
        postgres*) run_postgres "$standby" ;;
        server*) run_server "${1#server}" ;;
        caddy) run_caddy ;;
    esac
    say "$1 is back, process ${process[$1]}"
}

chmod 711 "$folder"
mkdir "$postgres" "$logs"
if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$postgres"; fi
(exec_as_server_user "$programs/initdb" -D "$postgres/1" --username=postgres --auth=trust --locale=C \
    --encoding=UTF8 --no-sync) >"$logs/initdb.log" 2>&1 || fail "initdb: $(cat "$logs/initdb.log")"
# A commit is answered once the standby has it too. Neither writes to the disk at once: only processes are killed here.
printf '%s\n' 'fsync = off' "listen_addresses = '127.0.0.1'" "unix_socket_directories = ''" 'wal_sender_timeout = 2s' \
    "synchronous_standby_names = 'ANY 1 (postgres1, postgres2)'" >>"$postgres/1/postgresql.conf"
run_postgres "$primary"
run_standby

url=postgres://postgres@127.0.0.1:$(postgres_port 1),127.0.0.1:$(postgres_port 2)/postgres
export RESCIND_DATABASE_URL=$url RESCIND_DATABASE_STANDBY=required RESCIND_KEY_FILE=$logs/key
export RESCIND_ISSUER=http://127.0.0.1:$proxy_port RESCIND_TRUSTED_PROXIES=127.0.0.1
printf 'correct horse battery staple\n' | "$rescind" user add max --role admin --password-stdin >/dev/null
api=$("$rescind" resource-server add Photos --audience https://photos.example --scope 'photos.read=See your photos')
app=$("$rescind" client add --owner max --name Fotowerk --redirect-uri https://fotowerk.example/callback \
    --grant-type client_credentials)

upstreams=
for number in 1 2 3; do
    run_server "$number"
    upstreams+=" 127.0.0.1:$((proxy_port + number))"
done
cat >"$logs/Caddyfile" <<END
{
    admin off
    auto_https off
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
run_caddy
for ((port = proxy_port; port < proxy_port + 4; port++)); do
    for _ in {1..300}; do
        if is_ready "$port"; then continue 2; fi
        sleep 0.1
    done
    fail "nothing is ready at port $port: $(cat "$logs"/server*.log "$logs/caddy.log")"
done

cat <<END

http://127.0.0.1:$proxy_port answers from three servers by turns. Sign in as max, correct horse battery staple.

$(for name in server1 server2 server3 postgres1 postgres2 caddy; do echo "    $name: process ${process[$name]}"; done)
    logs: $logs

One server gives an app a token, another revokes it, and the third knows:

    app=$(value_of client_id "$app"):$(value_of client_secret "$app")
    api=$(value_of id "$api"):$(value_of secret "$api")
    token=\$(curl -s -u \$app -d grant_type=client_credentials http://127.0.0.1:$((proxy_port + 1))/oauth/token |
        sed -E 's/.*"access_token":"([^"]+)".*/\1/')
    curl -u \$app -d token=\$token http://127.0.0.1:$((proxy_port + 2))/oauth/revoke
    curl -u \$api -d token=\$token http://127.0.0.1:$((proxy_port + 3))/oauth/introspect

Kill a server (kill -9 PROCESS), and the others go on. Kill postgres1, the primary, and every server answers 503 until
the standby has taken its place. What was killed comes back after five seconds.

Commands work on the database from anywhere:

    RESCIND_DATABASE_URL='$url' RESCIND_KEY_FILE=$logs/key \\
        $rescind user list

Ctrl-C ends everything.
END

while sleep 0.5; do
    for name in server1 server2 server3 postgres1 postgres2 caddy; do
        is_alive "$name" && continue
        say "$name is gone"
        for _ in {1..10}; do sleep 0.5; done
        come_back "$name"
    done
done
