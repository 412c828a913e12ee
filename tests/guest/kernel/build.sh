#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Build the kernel that kvm-list is tried on: `build.sh OUT [FRAGMENT...]` makes OUT/arch/x86/boot/bzImage. The tree
# stands beside OUT, as list-kernel-tree, and serves every OUT there.
# Needs Debian's linux-source-6.1 (or SOURCE=, a tarball or a tree of Linux 6.1) and what a kernel build needs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { echo "usage: build.sh OUT [FRAGMENT...]" >&2; exit 2; }
out=$1
shift
source=${SOURCE:-/usr/src/linux-source-6.1.tar.xz}
if [ ! -e "$source" ]; then
    echo "$source is not there: apt-get install linux-source-6.1, or SOURCE=, a tree of Linux 6.1" >&2
    exit 3
fi
for tool in flex bison bc make gcc ld; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed: apt-get install build-essential flex bison bc libelf-dev libssl-dev" >&2
        exit 3
    fi
done

mkdir -p "$out"
out=$(cd "$out" && pwd)
tree=$(dirname "$out")/list-kernel-tree
if [ ! -e "$tree/.complete" ]; then
    rm -rf "$tree"
    mkdir "$tree"
    if [ -d "$source" ]; then cp -a "$source/." "$tree"; else tar -xf "$source" -C "$tree" --strip-components=1; fi
    touch "$tree/.complete"
fi
python3 "$here/add_list_ioctl.py" "$tree"

cat "$here/kvm.config" "$@" >"$out/wanted"
make -s -C "$tree" O="$out" tinyconfig >/dev/null
(cd "$tree" && scripts/kconfig/merge_config.sh -m -O "$out" "$out/.config" "$out/wanted" >/dev/null)
make -s -C "$tree" O="$out" olddefconfig 2>/dev/null
# What Kconfig drops silently is said here.
missing=$(grep '^CONFIG_' "$out/wanted" | grep -vxFf "$out/.config" || true)
if [ -n "$missing" ]; then
    echo "not set in $out/.config:" $missing >&2
    exit 2
fi
nice -n 19 make -s -C "$tree" O="$out" -j"$(nproc)" bzImage
echo "$out/arch/x86/boot/bzImage"
