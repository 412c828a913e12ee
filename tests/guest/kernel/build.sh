#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Build a kernel with a list ioctl: `build.sh OUT VARIANT [FRAGMENT...]` makes OUT/arch/x86/boot/bzImage. VARIANT is
# naive or atomic, a patch of examples/, or astray: naive, which goes wrong in ways chosen while it runs (astray.c).
# The trees, linux-6.1 and linux-6.1-patched, and the objects stand beside OUT, and serve every OUT there, one by one.
# Needs Debian's linux-source-6.1 (or SOURCE=, a tarball or a tree of Linux 6.1) and what a kernel build needs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
examples=$here/../../../examples
[ $# -ge 2 ] || { echo "usage: build.sh OUT naive|atomic|astray [FRAGMENT...]" >&2; exit 2; }
out=$1
variant=$2
shift 2
case $variant in
naive | atomic) patch=$examples/$variant.patch ;;
astray) patch=$examples/naive.patch ;;
*) echo "no variant $variant: expected naive, atomic or astray" >&2; exit 2 ;;
esac
source=${SOURCE:-/usr/src/linux-source-6.1.tar.xz}
if [ ! -e "$source" ]; then
    echo "$source is not there: apt-get install linux-source-6.1, or SOURCE=, a tree of Linux 6.1" >&2
    exit 3
fi
for tool in flex bison bc make gcc ld patch; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed: apt-get install build-essential flex bison bc patch libelf-dev libssl-dev" >&2
        exit 3
    fi
done

mkdir -p "$out"
out=$(cd "$out" && pwd)
trees=$(dirname "$out")
plain=$trees/linux-6.1
tree=$trees/linux-6.1-patched
if [ ! -e "$plain/.complete" ]; then
    rm -rf "$plain"
    mkdir "$plain"
    if [ -d "$source" ]; then cp -a "$source/." "$plain"; else tar -xf "$source" -C "$plain" --strip-components=1; fi
    touch "$plain/.complete"
fi
# Only what is patched is a file of its own.
if [ ! -e "$tree" ]; then
    rm -rf "$tree.new"
    cp -al "$plain" "$tree.new"
    mv "$tree.new" "$tree"
fi
if ! cat "$patch" "$here/astray.c" | cmp -s - "$tree/.applied-$variant"; then
    rm -f "$tree"/.applied-*
    for file in $(sed -n 's,^+++ b/,,p' "$examples"/*.patch | sort -u); do
        cp --remove-destination "$plain/$file" "$tree/$file"
    done
    patch -s -d "$tree" -p1 <"$patch"
    if [ "$variant" = astray ]; then
        cp "$here/astray.c" "$tree/virt/kvm"
        sed -i -e 's/^static long kvm_vm_ioctl(/#include "astray.c"\n\n&/' \
            -e 's/r = \(kvm_vm_ioctl_set_memory_region_list(kvm, argp)\);/r = astray(kvm, \1);/' \
            "$tree/virt/kvm/kvm_main.c"
        grep -q 'r = astray(' "$tree/virt/kvm/kvm_main.c" || { echo "$patch: no call to lead astray" >&2; exit 2; }
    fi
    cat "$patch" "$here/astray.c" >"$tree/.applied-$variant"
fi

# All variants of a configuration are built in one place: little is compiled again, and objects cannot be moved.
wanted=$trees/wanted-$(cat "$here/kvm.config" "$@" | cksum | cut -d " " -f 1)
objects=$trees/objects-${wanted##*-}
cat "$here/kvm.config" "$@" >"$wanted"
mkdir -p "$objects"
make -s -C "$tree" O="$objects" tinyconfig >/dev/null
(cd "$tree" && scripts/kconfig/merge_config.sh -m -O "$objects" "$objects/.config" "$wanted" >/dev/null)
make -s -C "$tree" O="$objects" olddefconfig 2>/dev/null
# What Kconfig drops silently is said here.
missing=$(grep '^CONFIG_' "$wanted" | grep -vxFf "$objects/.config" || true)
if [ -n "$missing" ]; then
    echo "not set in $objects/.config:" $missing >&2
    exit 2
fi
nice -n 19 make -s -C "$tree" O="$objects" -j"$(nproc)" bzImage
mkdir -p "$out/arch/x86/boot"
cp "$objects/arch/x86/boot/bzImage" "$out/arch/x86/boot/bzImage"
echo "$out/arch/x86/boot/bzImage"
