#!/bin/sh
# Fetches an OpenSSL that knows ML-DSA and SLH-DSA (3.5 or newer) as an outside judge for the tests, beside the system's
# own: packages of Debian 13 unpacked into build/openssl, run by their own loader.  Nothing is installed.
# Usage: scripts/openssl-3.5.sh [SUITE]    (does nothing when it is there; SUITE is trixie, or sid for a newer one)
#
# The packages come from wherever this machine's apt gets Debian, checked against the keys of Debian's archive.
set -eu
cd "$(dirname "$0")/.."
suite="${1:-trixie}"
target="build/openssl"
[ -x "$target/openssl" ] && "$target/openssl" version >/dev/null 2>&1 && exit 0

site="$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(COMPONENT) $(SUITE)' 'Created-By: Packages' |
  awk '$2 == "Debian" && $3 == "main" && $4 !~ /security|updates/ { print $1; exit }')"
if [ -z "$site" ]; then
  echo "openssl-3.5: apt knows no mirror of Debian here" >&2
  exit 1
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"  # apt downloads as a user of its own
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" >"$work/sources.list"
apt() {
  apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/lists" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= "$@"
}
apt update
(cd "$work/archives" && apt download openssl libssl3t64 libc6 zlib1g libzstd1)
for package in "$work"/archives/*.deb; do
  dpkg-deb -x "$package" "$work/root"
done

libraries="$(dirname "$(find "$work/root" -name libcrypto.so.3 | head -n 1)")"
libraries="${libraries#"$work/root"}"
loader="$(find "$work/root/usr" -name 'ld-linux*.so.*' -type f | head -n 1)"
loader="${loader#"$work/root"}"
mkdir -p build
rm -rf "$target"
mv "$work/root" "$target"
cat >"$target/openssl" <<EOF
#!/bin/sh
# Made by scripts/openssl-3.5.sh: the unpacked program with its own loader, libraries and providers.
here="\$(cd "\$(dirname "\$0")" && pwd)"
export OPENSSL_MODULES="\$here$libraries/ossl-modules" OPENSSL_CONF=/dev/null
exec "\$here$loader" --library-path "\$here$libraries" "\$here/usr/bin/openssl" "\$@"
EOF
chmod 755 "$target/openssl"
"$target/openssl" version >&2
