#!/bin/sh
# Fetches the software token of NSS (3.132 or newer), which knows ML-DSA by PKCS#11 3.2, for the tests: packages of Debian
# sid unpacked into build/nss, loaded from there.  Nothing is installed.
# Usage: scripts/nss-softoken.sh [SUITE]    (does nothing when it is there)
set -eu
cd "$(dirname "$0")/.."
target="build/nss"
[ -e "$target/module" ] && exit 0

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
scripts/debian-packages.sh "${1:-sid}" "$root" libnss3  # with the NSPR and SQLite of the system
module="$(find "$root" -name libsoftokn3.so)"
if [ -z "$module" ]; then
  echo "nss-softoken: libnss3 holds no libsoftokn3.so" >&2
  exit 1
fi
mkdir -p build
rm -rf "$target"
cp -r "$root" "$target"
# The one file by which the tests know that all is here: where module and libraries lie.
echo "${module#"$root/"}" >"$target/module"
