#!/bin/sh
# Unpacks packages of another Debian suite into a folder; nothing is installed.
# Usage: scripts/debian-packages.sh SUITE FOLDER PACKAGE...
#
# The packages come from wherever this machine's apt gets Debian, checked against the keys of Debian's archive.
set -eu
suite="$1" folder="$2"
shift 2

site="$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(COMPONENT) $(SUITE)' 'Created-By: Packages' |
  awk '$2 == "Debian" && $3 == "main" && $4 !~ /security|updates/ { print $1; exit }')"
if [ -z "$site" ]; then
  echo "debian-packages: apt knows no mirror of Debian here" >&2
  exit 1
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"  # apt downloads as a user of its own
mkdir -p "$work/lists/partial" "$work/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" >"$work/sources.list"
apt() {
  apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/lists" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= "$@"
}
apt update
(cd "$work/archives" && apt download "$@")
for package in "$work"/archives/*.deb; do
  dpkg-deb -x "$package" "$folder"
done
