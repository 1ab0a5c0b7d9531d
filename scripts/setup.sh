#!/usr/bin/env bash
# Installs what is missing for the named needs; the functions need_* below are the list. Says nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"

has() { command -v "$1" >/dev/null 2>&1; }

# Debian packages, as root or through sudo; otherwise the command to run is all we can give.
install_packages() {
    local as=()
    if [ "$(id -u)" -ne 0 ]; then
        as=(sudo)
    fi
    if ! has apt-get || { [ "${#as[@]}" -gt 0 ] && ! has sudo; }; then
        echo "Missing here: $*. Install them with your system's package manager (Debian: apt-get install -y $*)." >&2
        exit 1
    fi
    echo "Installing $* ..." >&2
    "${as[@]}" apt-get update -qq >&2
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

need_compiler() {
    local missing=()
    # SQLite, zstd and mimalloc are C and are compiled with the service.
    has cc || missing+=(gcc libc6-dev)
    has make || missing+=(make)
    if [ "${#missing[@]}" -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
    need_rust
}

need_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if ! has cargo; then
        echo "Rust is missing. Get it with these two lines, then come again:" >&2
    else
        found=$(rustc --version | cut -d' ' -f2)
        if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n1)" = "$wanted" ]; then
            return
        fi
        echo "Rust $found is here, and $wanted or newer is needed. With rustup: rustup update stable. Without:" >&2
    fi
    echo "  apt-get install -y curl ca-certificates      (as root; only where curl is missing)" >&2
    echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" >&2
    exit 1
}

# What the Kafka client is built with: librdkafka is C, its configure wants C++ too, and it takes OpenSSL from the system.
need_librdkafka() {
    local missing=()
    has c++ || missing+=(g++)
    has pkg-config || missing+=(pkg-config)
    [ -f /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
    if [ "${#missing[@]}" -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
}

# A broker from its jars, which Maven fetches; openssl makes the certificates of its secure side.
need_kafka() {
    local missing=()
    has javac || missing+=(default-jdk-headless)
    has mvn || missing+=(maven)
    has openssl || missing+=(openssl)
    if [ "${#missing[@]}" -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
    scripts/services.sh jars >/dev/null
}

need_redis() {
    if ! has redis-server || ! has redis-cli; then
        install_packages redis-server redis-tools
    fi
}

need_postgres() {
    if ! has psql || { ! has initdb && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }; then
        install_packages postgresql postgresql-client
    fi
}

# With promtool and amtool. Where an init system runs, Debian starts both on their usual ports; the tests take ports of their own.
need_prometheus() {
    if ! has prometheus || ! has promtool || ! has prometheus-alertmanager || ! has amtool; then
        install_packages prometheus prometheus-alertmanager
    fi
}

# A Kafka reader that is not ours.
need_kcat() {
    has kcat || install_packages kcat
}

need_shellcheck() {
    has shellcheck || install_packages shellcheck
}

# Schemathesis runs from a virtual environment of its own.
need_python() {
    if ! has python3 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        install_packages python3 python3-venv
    fi
}

need_curl() {
    if ! has curl; then
        install_packages curl ca-certificates
    fi
}

# A browser for the console's suite, a font worth looking at, and what drives it.
need_browser() {
    local missing=()
    has chromium || missing+=(chromium)
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    [ -d /usr/share/fonts/opentype/inter ] || missing+=(fonts-inter)
    if [ "${#missing[@]}" -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
    if [ ! -d tests/browser/node_modules/playwright-core ]; then
        npm --prefix tests/browser ci --silent --no-audit --no-fund
    fi
}

need_deny() {
    if ! has cargo-deny; then
        need_compiler
        echo "Building cargo-deny, once; this takes minutes ..." >&2
        # Unoptimised: it is run once on each machine, and optimising it takes longer than all it will ever do.
        cargo install cargo-deny --locked --debug
    fi
}

for need in "$@"; do
    if ! declare -F "need_$need" >/dev/null; then
        echo "scripts/setup.sh: unknown need '$need'; it has: $(declare -F | sed -n 's/.* need_//p' | paste -sd ' ')" >&2
        exit 2
    fi
    "need_$need"
done
