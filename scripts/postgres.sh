#!/usr/bin/env bash
# scripts/postgres.sh run COMMAND…
# Runs a command beside a throwaway PostgreSQL server, which the tests find by RESCIND_TEST_POSTGRES. The server listens
# on a free port of 127.0.0.1 only, and is set to be fast: a power loss may take everything. Ends with the exit code of
# the command. The server and its data go away with this script, even if the script is killed.
#
# scripts/postgres.sh programs
# Prints the folder of PostgreSQL's programs, or fails if there are none that are new enough.
set -euo pipefail

fail() { printf 'postgres.sh: %s\n' "$*" >&2; exit 1; }

# The folder of PostgreSQL 15 or newer: from the PATH, where there may be links to some of its programs, or Debian's.
find_programs() {
    local postgres version
    while read -r postgres; do
        postgres=$(realpath -e "$postgres" 2>/dev/null) || continue
        version=$("$postgres" --version | sed -nE 's/.*\(PostgreSQL\) ([0-9]+).*/\1/p')
        if [ "${version:-0}" -ge 15 ]; then dirname "$postgres"; return; fi
    done < <(type -ap postgres; printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -rV)
    fail "PostgreSQL 15 or newer is missing: scripts/test.sh installs it"
}

# PostgreSQL refuses to run as root, who uses the user and group that its package made. The program takes the place of
# this process, so that $! is the program.
exec_as_server_user() {
    cd /
    if [ "$(id -u)" = 0 ]; then set -- setpriv --reuid=postgres --regid=postgres --init-groups "$@"; fi
    exec "$@"
}

is_running() { [ -n "$server" ] && kill -0 "$server" 2>/dev/null; }

# Starts the server on a port below those that systems give to clients. Fails if the server ends instead.
start_server() {
    port=$((20000 + RANDOM % 12000))
    # A session of its own: Ctrl-C is for the command.
    (exec_as_server_user setsid "$programs/postgres" -D "$folder/data" -p "$port") >"$folder/log" 2>&1 &
    server=$!
    local state
    for _ in {1..1200}; do
        # Its first line is the process, its last the state.
        state=$(sed -n '1p;8p' "$folder/data/postmaster.pid" 2>/dev/null | tr -d ' \n') || true
        if [ "$state" = "${server}ready" ]; then return; fi
        is_running || return 1
        sleep 0.05
    done
    fail "PostgreSQL does not get ready: $(cat "$folder/log")"
}

remove_server() {
    # At once: nobody wants the data any more.
    if is_running; then kill -QUIT "$server"; wait "$server" || true; fi
    rm -rf "$folder"
}

# A file system in memory, several times as fast, if it has room for 2 GiB. A container may have next to none.
parent_folder() {
    local room
    room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || true
    if [ "${room:-0}" -ge 2097152 ] && [ -w /dev/shm ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi
}

# The whole life of the server: prints its URL, and stays until its input ends. That is when the script has ended, in
# whatever way.
keep_server() {
    trap '' INT TERM HUP
    server=
    folder=$(mktemp -d -p "$(parent_folder)")
    trap remove_server EXIT
    if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$folder"; fi
    (exec_as_server_user "$programs/initdb" -D "$folder/data" --username=postgres --auth=trust \
        --locale=C --encoding=UTF8 --no-sync) >"$folder/log" 2>&1 || fail "initdb: $(cat "$folder/log")"
    printf '%s\n' >>"$folder/data/postgresql.conf" "listen_addresses = '127.0.0.1'" \
        "unix_socket_directories = '$folder'" 'max_connections = 500' 'dynamic_shared_memory_type = mmap' \
        'max_wal_size = 256MB' 'fsync = off' 'full_page_writes = off'
    for _ in {1..20}; do
        if start_server; then
            printf 'postgres://postgres@127.0.0.1:%s/postgres\n' "$port"
            exec >&-
            cat >/dev/null
            return
        fi
        grep -q 'Address already in use' "$folder/log" || fail "PostgreSQL does not start: $(cat "$folder/log")"
    done
    fail "no port is free"
}

programs=$(find_programs)
if [ "$*" = programs ]; then printf '%s\n' "$programs"; exit; fi
if [ "${1:-}" != run ] || [ $# -lt 2 ]; then fail "usage: scripts/postgres.sh run COMMAND…, or programs"; fi
shift

coproc keeper { keep_server; }
keeper_process=$keeper_PID
# Bash keeps both ends from the command, which may leave something running that outlives the script.
read -r url <&"${keeper[0]}" || { wait "$keeper_process" || true; fail "there is no server"; }
code=0
RESCIND_TEST_POSTGRES=$url "$@" || code=$?
exec {keeper[1]}>&-
wait "$keeper_process" || true
exit "$code"
