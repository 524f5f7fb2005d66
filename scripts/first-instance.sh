#!/bin/sh
# Makes an evaluation instance with one administrator whose key is made beside it, for `make up` on a new checkout.
# Usage: scripts/first-instance.sh DIR
set -eu
instance=$1
key="$instance-administrator"
[ -f "$key" ] || {
  mkdir -p "$(dirname "$key")"
  ssh-keygen -q -t ed25519 -N "" -C "administrator TEST ONLY" -f "$key"
}
.venv/bin/sealwright init "$instance" --origin log.local.test/firmware --administrator "administrator=$key"
echo "the administrator's key is $key: sealwright connect URL --trust $instance/trust.json --identity $key" >&2
