#!/usr/bin/env bash
# Checks and tests everything, as CI does. On a fresh Debian machine with the Rust toolchain it first installs what is
# missing (as root, or by sudo): Chromium with its driver, Node.js, Python, nginx, Caddy, PostgreSQL, a C compiler.
# Whatever stays missing fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }
# Debian's servers stand in /usr/sbin, which not everybody has in the PATH.
have() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null 2>&1; }

node_is_new_enough() {
    have node && have npm && node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)'
}

# Debian keeps it out of the path of ordinary users, where the tests look for it too.
have_nginx() { have nginx || [ -x /usr/sbin/nginx ]; }

postgres_is_new_enough() { scripts/postgres.sh programs >/dev/null 2>&1; }

python_is_new_enough() {
    have python3 && python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else fail "not root, and no sudo: cannot run $*"
    fi
}

# The tests make servers of their own: Debian's package shall start none, unless somebody has decided that already.
forbid_default_postgres() {
    local settings=/etc/postgresql-common/createcluster.conf
    [ -e "$settings" ] || printf 'create_main_cluster = false\n' | as_root install -D -m 644 /dev/stdin "$settings"
}

install_what_is_missing() {
    local packages=()
    have cc || packages+=(gcc libc6-dev)
    have chromium || packages+=(chromium)
    have chromedriver || packages+=(chromium-driver)
    have_nginx || packages+=(nginx-light)
    have caddy || packages+=(caddy)
    postgres_is_new_enough || packages+=(postgresql)
    if ! have node; then packages+=(nodejs npm)
    elif ! node_is_new_enough; then
        packages+=(nodejs)
        have npm || packages+=(npm)
    fi
    python_is_new_enough || packages+=(python3 python3-venv)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
    if [ "${#packages[@]}" -gt 0 ]; then
        have apt-get || fail "please install, in your system's way: ${packages[*]}"
        step "installing ${packages[*]}"
        [[ " ${packages[*]} " != *' postgresql '* ]] || forbid_default_postgres
        local log
        log=$(mktemp)
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
            { cat "$log" >&2; fail "apt-get install failed"; }
        rm -f "$log"
        hash -r
    fi
    for program in cc chromium chromedriver node npm caddy; do
        have "$program" || fail "$program is still missing"
    done
    have_nginx || fail "nginx is still missing"
    postgres_is_new_enough || fail "PostgreSQL 15 or newer is needed, with its server"
    node_is_new_enough || fail "Node.js 18 or newer is needed; $(command -v node) is $(node --version)"
    python_is_new_enough || fail "Python 3.10 or newer with venv is needed; python3 is $(python3 --version)"
}

install_npm_packages() {
    local lock=tests/stock/package-lock.json mark=tests/stock/node_modules/.installed
    cmp -s "$lock" "$mark" && return
    step "npm packages of tests/stock"
    npm ci --prefix tests/stock --ignore-scripts --no-audit --no-fund --loglevel=error
    cp "$lock" "$mark"
}

install_python_packages() {
    local list=tests/openapi/requirements.txt mark=$python/.installed
    cmp -s "$list" "$mark" && return
    step "Python packages of tests/openapi"
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check --requirement "$list"
    cp "$list" "$mark"
}

target=${CARGO_TARGET_DIR:-target}
python=$target/python
if ! have cargo && [ -r "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi
have cargo || fail "cargo is missing: install the Rust toolchain with rustup"
for component in fmt clippy; do
    cargo "$component" --version >/dev/null 2>&1 || fail "cargo $component is missing: rustup component add rustfmt clippy"
done

install_what_is_missing
install_npm_packages
install_python_packages

# The tests talk to servers of their own on this machine; a proxy has no part in that.
export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"
export no_proxy="$NO_PROXY"

# With fewer rounds: each takes several times as long as on SQLite, and the rules are the same.
on_postgres() {
    RESCIND_TEST_ENGINE=postgres RESCIND_MODEL_STEPS=360 RESCIND_RACE_ROUNDS=100 scripts/postgres.sh run "$@"
}

step "format"
cargo fmt --all --check

step "clippy"
cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
cargo clippy --quiet --workspace --all-targets --all-features --locked -- -D warnings

step "documentation"
RUSTDOCFLAGS=-Dwarnings cargo doc --quiet --no-deps --workspace --locked --document-private-items

if have cargo-nextest; then
    step "tests (cargo nextest)"
    cargo nextest run --workspace --locked
    step "tests on PostgreSQL (cargo nextest)"
    on_postgres cargo nextest run --locked --test http --test contract --test store
    on_postgres cargo nextest run --locked --test faults line
    # Fail points are in no other build: the program is built once more, and nothing else is.
    step "crashes (cargo nextest)"
    cargo nextest run --locked --features fail-points --test crash
    on_postgres cargo nextest run --locked --features fail-points --test crash
    step "tests in the documentation"
    cargo test --quiet --workspace --locked --doc
else
    step "tests (cargo test)"
    cargo test --quiet --workspace --locked --no-fail-fast
    step "tests on PostgreSQL (cargo test)"
    on_postgres cargo test --quiet --locked --no-fail-fast --test http --test contract --test store
    on_postgres cargo test --quiet --locked --test faults line
    step "crashes (cargo test)"
    cargo test --quiet --locked --features fail-points --test crash
    on_postgres cargo test --quiet --locked --features fail-points --test crash
fi

step "docs/openapi.json, by schemathesis"
cargo build --quiet --workspace --locked
timeout 300 "$python/bin/python" tests/openapi/exercise.py "$target/debug/rescind"

step "all passed"
