#!/bin/sh
# Fetches an OpenSSL that knows ML-DSA and SLH-DSA (3.5 or newer) as an outside judge for the tests, beside the system's
# own: packages of Debian 13 unpacked into build/openssl, run by their own loader.  Nothing is installed.
# Usage: scripts/openssl-3.5.sh [SUITE]    (does nothing when it is there; SUITE is trixie, or sid for a newer one)
set -eu
cd "$(dirname "$0")/.."
suite="${1:-trixie}"
target="build/openssl"
[ -x "$target/openssl" ] && "$target/openssl" version >/dev/null 2>&1 && exit 0

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
scripts/debian-packages.sh "$suite" "$root" openssl libssl3t64 libc6 zlib1g libzstd1

libraries="$(dirname "$(find "$root" -name libcrypto.so.3 | head -n 1)")"
libraries="${libraries#"$root"}"
loader="$(find "$root/usr" -name 'ld-linux*.so.*' -type f | head -n 1)"
loader="${loader#"$root"}"
mkdir -p build
rm -rf "$target"
cp -r "$root" "$target"
chmod 755 "$target"
cat >"$target/openssl" <<EOF
#!/bin/sh
# Made by scripts/openssl-3.5.sh: the unpacked program with its own loader, libraries and providers.
here="\$(cd "\$(dirname "\$0")" && pwd)"
export OPENSSL_MODULES="\$here$libraries/ossl-modules" OPENSSL_CONF=/dev/null
exec "\$here$loader" --library-path "\$here$libraries" "\$here/usr/bin/openssl" "\$@"
EOF
chmod 755 "$target/openssl"
"$target/openssl" version >&2
