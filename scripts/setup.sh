#!/bin/sh
# Sets up what the project needs on Debian 12: packages by name, and a virtual environment from hash-pinned files.
# Usage: scripts/setup.sh   (run again after pulling; does nothing when all is there)
set -eu
cd "$(dirname "$0")/.."

# Outside verifiers and tokens; only tests and demo use them, the product does not.
packages="python3-venv openssh-client openssl gnutls-bin
  softhsm2 opensc opensc-pkcs11
  sbsigntool osslsigncode memtest86+ grub-efi-amd64-bin
  u-boot-qemu u-boot-tools qemu-system-arm qemu-system-misc device-tree-compiler
  gcc make libc6-dev bc bison flex libssl-dev libgnutls28-dev uuid-dev dpkg-dev
  gcc-aarch64-linux-gnu gcc-riscv64-linux-gnu
  ovmf qemu-system-x86 gnu-efi binutils
  efitools systemd systemd-boot-efi linux-image-cloud-amd64 busybox-static
  nodejs node-cbor
  srecord dfu-util fwupd libnspr4 libsqlite3-0 minisign"

missing=""
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "setup: installing Debian packages:$missing" >&2
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo"
  $as_root apt-get update -qq >&2
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
fi

# A judge that cannot be had costs its own tests, by name, and nothing else (docs/adr/0049).
scripts/openssl-3.5.sh || echo "setup: no OpenSSL 3.5; the tests that ask it will say so" >&2
scripts/nss-softoken.sh || echo "setup: no NSS with ML-DSA; the tests that ask it will say so" >&2

stamp=.venv/.requirements
if ! cmp -s requirements/dev.txt "$stamp"; then
  echo "setup: making the virtual environment" >&2
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore --require-hashes -r requirements/dev.txt
  .venv/bin/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore --no-deps --no-build-isolation --editable .
  cp requirements/dev.txt "$stamp"
fi
