#!/usr/bin/env bash
# The release archive. `dist.sh` builds it under target/dist; `dist.sh build` ends before the packing, `dist.sh pack BINARY OUT` packs a
# binary that is there.
#
# The same commit gives the same bytes: times are the commit's, owners and order are fixed, and no path of this machine is in the
# binary. It needs glibc and nothing else: OpenSSL comes from the system's static library (vendoring it would compile it, with
# perl, in every build), zlib and libgcc are linked in.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH" LC_ALL=C TZ=UTC

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
target=$(rustc -vV | sed -n 's/^host: //p')

# The commit, and `-dirty` where the files are not the commit's.
commit() {
    git describe --always --abbrev=40 --dirty --exclude '*' 2>/dev/null || echo unknown
}

epoch() {
    echo "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
}

build() {
    local lib=target/dist/lib
    mkdir -p "$lib"
    # rustc asks for the shared libgcc; what it finds first is this.
    echo 'INPUT(-lgcc_eh -lgcc -lc)' >"$lib/libgcc_s.so"
    local registry="${CARGO_HOME:-$HOME/.cargo}/registry/src"
    export QUOTEGUARD_COMMIT="${QUOTEGUARD_COMMIT:-$(commit)}"
    export OPENSSL_STATIC=1 LIBZ_SYS_STATIC=1
    export CFLAGS="-ffile-prefix-map=$PWD=quoteguard -ffile-prefix-map=$registry=registry -g0"
    export CXXFLAGS="$CFLAGS"
    export RUSTFLAGS="--remap-path-prefix=$PWD=quoteguard --remap-path-prefix=$registry=registry -L native=$PWD/$lib"
    cargo build --release --locked --bin quoteguard --features parquet --config 'profile.release.strip="symbols"' --target-dir target/dist/build
    needs_glibc_only target/dist/build/release/quoteguard
}

# Fails where the binary asks for a library that is not glibc's, or shows where it was built.
needs_glibc_only() {
    local others
    others=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(lib(c|m|dl|rt|pthread)\.so|ld-linux)' || true)
    if [ -n "$others" ]; then
        echo "dist: $1 needs more than glibc: $others" >&2
        exit 1
    fi
    if grep -qaF -e "$PWD/" -e "${CARGO_HOME:-$HOME/.cargo}/registry" "$1"; then
        echo "dist: $1 names paths of this machine" >&2
        exit 1
    fi
}

pack() {
    local binary=$1 out=$2
    local name="quoteguard-$version-$target"
    # Not local: the trap outlives the function.
    stage=$(mktemp -d)
    trap 'rm -rf "$stage"' EXIT
    local root="$stage/$name"
    mkdir -p "$root/bin" "$root/completions" "$out"
    strip -o "$root/bin/quoteguard" "$binary"
    cp LICENSE README.md CHANGELOG.md "$root"
    cp -r rules "$root/rules"
    local shell
    for shell in bash elvish fish powershell zsh; do
        "$binary" completions "$shell" >"$root/completions/quoteguard.$shell"
    done
    "$binary" man "$root/man/man1"
    # In a folder without a configuration, and without the environment's: the defaults.
    {
        echo "# Every setting with its default; docs/configuration.md says what they mean. What has no default is not here."
        (cd "$stage" && env -i "$binary" config print)
    } >"$root/quoteguard.example.toml"
    python3 scripts/sbom.py --version "$version" --target "$target" --epoch "$(epoch)" \
        --sbom "$root/quoteguard.cdx.json" --licences "$root/THIRD-PARTY-LICENCES.txt"
    find "$root" -type d -exec chmod 755 {} +
    find "$root" -type f -exec chmod 644 {} +
    chmod 755 "$root/bin/quoteguard"
    (cd "$root" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum) >"$stage/SHA256SUMS"
    install -m 644 "$stage/SHA256SUMS" "$root/SHA256SUMS"
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(epoch)" --format=ustar -C "$stage" -cf - "$name" |
        gzip -n -9 >"$out/$name.tar.gz"
    cp "$root/quoteguard.cdx.json" "$out/$name.cdx.json"
    (cd "$out" && sha256sum "$name.tar.gz" "$name.cdx.json" >SHA256SUMS && cat SHA256SUMS)
}

case "${1:-}" in
build) build ;;
pack) pack "$(realpath "$2")" "$3" ;;
"")
    build
    pack "$(realpath target/dist/build/release/quoteguard)" target/dist
    ;;
*)
    echo "usage: scripts/dist.sh [build | pack BINARY OUT]" >&2
    exit 2
    ;;
esac
