#!/bin/sh
# Builds U-Boot from Debian's own source package, in the version of the installed u-boot-qemu, into build/u-boot.
# Prints the path of what it built; what is there already is not built again.  Two callers wait for one another.
# Usage: scripts/build-uboot.sh fit_check_sign|arm64|riscv64|riscv64_spl
#   fit_check_sign  the host tool that judges FIT signatures without booting
#   arm64           for QEMU: what Debian's has, and RSA-PSS, and authenticated capsules
#   riscv64         for QEMU: Debian's own verifies nothing
#   riscv64_spl     for QEMU: the stage before, which verifies OpenSBI and U-Boot; with the U-Boot to be started so
set -eu
cd "$(dirname "$0")/.."
target=$1
without=""

# An option that silently falls out of a configuration makes a U-Boot that boots anything; each is looked for afterwards.
verified_boot="FIT_SIGNATURE RSA RSA_VERIFY FIT_RSASSA_PSS SHA384 SHA512"
first_stage="SPL_FIT_SIGNATURE SPL_CRYPTO SPL_RSA SPL_RSA_VERIFY SPL_HASH SPL_SHA256 SPL_FIT_RSASSA_PSS"
capsules="DFU DFU_RAM DFU_MTD EFI_RUNTIME_UPDATE_CAPSULE EFI_CAPSULE_ON_DISK EFI_IGNORE_OSINDICATIONS
  EFI_CAPSULE_FIRMWARE EFI_CAPSULE_FIRMWARE_MANAGEMENT EFI_CAPSULE_FIRMWARE_RAW EFI_CAPSULE_AUTHENTICATE
  CMD_EFIDEBUG CMD_NVEDIT_EFI"
case $target in
  fit_check_sign) defconfig=tools-only_defconfig cross="" options="FIT_SIGNATURE" product=tools/fit_check_sign ;;
  arm64) defconfig=qemu_arm64_defconfig cross=aarch64-linux-gnu- options="$verified_boot $capsules" product=u-boot.bin ;;
  riscv64) defconfig=qemu-riscv64_defconfig cross=riscv64-linux-gnu- options=$verified_boot product=u-boot.bin ;;
  # Its tiny snprintf returns 0, with which the list of signed nodes comes out wrong and everything is refused.
  riscv64_spl) defconfig=qemu-riscv64_spl_defconfig cross=riscv64-linux-gnu- options="$verified_boot $first_stage"
    without=SPL_USE_TINY_PRINTF product=spl/u-boot-spl.bin ;;
  *) echo "build-uboot: no such target: $target" >&2; exit 64 ;;
esac

version=$(dpkg-query -W -f '${Version}' u-boot-qemu)
configuration=$(sha256sum scripts/build-uboot.sh | cut -c -12)  # changed here, built anew
root=$PWD/build/u-boot/$version
out=$root/$configuration/$target
mkdir -p "$root"
exec 9>"$root/lock"
flock 9

# Debian's mirror as this machine knows it, asked for sources too, without touching the system's own lists.
fetch_source() {
  [ ! -e "$root/source/Makefile" ] || return 0
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || sed -E 's/^Types:.*/Types: deb-src/' "$file" > "$work/parts/$(basename "$file")"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -f "$file" ] || sed -nE 's/^deb /deb-src /p' "$file" > "$work/parts/src-$(basename "$file" .list).list"
  done
  set -- -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)"
  # Somebody else's mirror in the list may offer no sources; whether Debian's does shows in the next line.
  apt-get "$@" update >&2 || true
  (cd "$work" && apt-get "$@" source --download-only --only-source "u-boot=$version" >&2)
  rm -rf "$root/source" "$root/unpacking"
  (cd "$work" && dpkg-source --no-check -x ./*.dsc "$work/source" >&2)
  cp -R "$work/source" "$root/unpacking"
  mv "$root/unpacking" "$root/source"
  rm -rf "$work"
  trap - EXIT
}

configure() {
  run "$defconfig"
  enable=""
  for option in $options; do enable="$enable -e $option"; done
  # shellcheck disable=SC2086
  [ "$target" = fit_check_sign ] || "$root/source/scripts/config" --file "$out/.config" $enable \
    ${without:+-d "$without"} --set-val BOOTDELAY 1
  run olddefconfig
  for option in $options; do
    grep -qx "CONFIG_$option=y" "$out/.config" || { echo "build-uboot: $target lost option $option" >&2; exit 1; }
  done
  ! grep -qx "CONFIG_$without=y" "$out/.config" || { echo "build-uboot: $target kept option $without" >&2; exit 1; }
}

run() {
  make -s -C "$root/source" O="$out" CROSS_COMPILE="$cross" HOSTCFLAGS=-w NO_SDL=1 -j2 "$@" >&2 9>&-
}

if [ ! -e "$out/built" ]; then
  echo "build-uboot: building $target of U-Boot $version" >&2
  fetch_source
  rm -rf "$out"
  mkdir -p "$out"
  configure
  case $target in
    fit_check_sign) run tools-only ;;
    *_spl) run u-boot.bin spl/u-boot-spl.bin ;;
    *) run u-boot.bin ;;
  esac
  test -s "$out/$product"
  touch "$out/built"
fi
echo "$out/$product"
