#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Makes the recordings of this folder again: QEMU on /dev/kvm, its firmware booting, orders from its monitor.
# Usage: record.sh OUT NAME... Needs qemu-system-x86, seabios and strace, and less than a minute for each on a real
# machine. README.md says where each was made; a slow machine wants BOOT=60 (the seconds that firmware is given).
set -eu
out=$1
shift
BOOT=${BOOT:-8}
raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT

# What the importer reads, and of each run of markers the last.
trim() {
    grep -E 'KVM_CREATE_VM|KVM_SET_USER_MEMORY_REGION|kvm_set_user_memory|flatview_new' |
        awk '/flatview_new/ { marker = $0; next } { if (marker) print marker; marker = ""; print }'
}

# Machine options from the arguments, the monitor's orders from standard input.
qemu() {
    timeout 600 "$@" -accel kvm -m 256M,slots=4,maxmem=1G -display none -net none \
        -monitor stdio -trace kvm_set_user_memory -trace flatview_new -D "$raw/trace" >"$raw/said" 2>&1
}
trace() { # NAME, machine options
    name=$1
    shift
    rm -f "$raw"/*
    qemu qemu-system-x86_64 -msg timestamp=on "$@"
    trim <"$raw/trace" >"$out/$name.trace"
}
strace_of() { # NAME, strace's options, machine options
    name=$1 options=$2
    shift 2
    rm -f "$raw"/*
    # shellcheck disable=SC2086 # options are words
    qemu strace -f -ttt $options -o "$raw/strace" qemu-system-x86_64 "$@"
    sed "s,$raw,.,g" "$raw/strace" | trim >"$out/$name.strace"
}

# A 32-bit write to the configuration space of device $1, register $2, as the firmware does it.
config() { printf 'o /w 0xcf8 0x%x\no /w 0xcfc %s\n' $((0x80000000 | $1 << 11 | $2)) "$3"; }

boot() { sleep "$BOOT"; echo quit; }
reset() { sleep "$BOOT"; echo system_reset; sleep "$BOOT"; echo quit; }
hotplug() {
    sleep "$BOOT"
    for n in 1 2 3; do
        echo "object_add memory-backend-ram,id=m$n,size=$((n * 32))M"
        echo "device_add pc-dimm,id=d$n,memdev=m$n"
        sleep 1
    done
    echo "object_add memory-backend-ram,id=sh3,size=2M,share=on"
    echo "device_add ivshmem-plain,id=i3,memdev=sh3"
    echo "device_add e1000,id=e1"
    sleep 1
    echo system_reset
    sleep "$BOOT"
    echo quit
}
bars() {
    sleep "$BOOT"
    # The framebuffer (device 2, BAR 0): sized and put back, then moved, then moved with memory decoding off.
    config 2 0x10 0xffffffff; sleep 0.2
    config 2 0x10 0xfd000000; sleep 0.2
    config 2 0x10 0xe0000000; sleep 0.2
    config 2 0x04 0x00000000; config 2 0x10 0xfd000000; sleep 0.2
    config 2 0x04 0x00000003; sleep 0.2
    # Two BARs of 1 MiB (devices 3 and 4, BAR 2) exchange places, decoding off; then by way of a third place.
    config 3 0x04 0; config 4 0x04 0; sleep 0.2
    config 3 0x18 0xfe100000; config 4 0x18 0xfe000000; sleep 0.2
    config 3 0x04 3; config 4 0x04 3; sleep 0.2
    config 3 0x18 0xe8000000; config 4 0x18 0xfe100000; config 3 0x18 0xfe000000; sleep 0.2
    # One on top of the other, and the framebuffer on top of both.
    config 3 0x18 0xfe100000; sleep 0.2
    config 2 0x10 0xfe000000; sleep 0.2
    config 2 0x10 0xfd000000; sleep 0.2
    config 3 0x18 0xfe000000; sleep 0.2
    # PAM (host bridge, 0x58 to 0x5f): all RAM, all ROM, every other segment.
    config 0 0x58 0x33333000; config 0 0x5c 0x33333333; sleep 0.2
    config 0 0x58 0x00000000; config 0 0x5c 0x00000000; sleep 0.2
    config 0 0x58 0x03030000; config 0 0x5c 0x03030303; sleep 0.2
    # SMRAM (host bridge, 0x72) opened and closed: A0000 to BFFFF is RAM for a while.
    echo "o /w 0xcf8 0x80000070"
    echo "o /b 0xcfe 0x4a"; sleep 0.2
    echo "o /b 0xcfe 0x0a"; sleep 0.2
    echo quit
}
migrate() {
    sleep "$BOOT"
    echo "migrate_set_parameter max-bandwidth 4M"
    echo "object_add memory-backend-ram,id=m1,size=32M"
    echo "device_add pc-dimm,id=d1,memdev=m1"
    echo 'migrate -d "exec:cat >/dev/null"'
    sleep 2
    config 2 0x10 0xe0000000; sleep 0.2
    echo "migrate_set_parameter max-bandwidth 4G"
    sleep 4
    echo cont
    sleep 1
    echo quit
}
linux() { # its serial line is in $raw/serial
    until grep -q GUEST-IS-UP "$raw/serial" 2>/dev/null; do sleep 1; done
    sleep 5
    while read -r pause orders; do
        echo "$orders" | tr ';' '\n'
        sleep "$pause"
    done <<-END
	12 object_add memory-backend-ram,id=m1,size=128M;device_add pc-dimm,id=d1,memdev=m1
	12 object_add memory-backend-ram,id=m2,size=128M;device_add pc-dimm,id=d2,memdev=m2
	12 object_add memory-backend-ram,id=s1,size=1M,share=on;device_add ivshmem-plain,id=i1,memdev=s1
	12 object_add memory-backend-ram,id=s2,size=4M,share=on;device_add ivshmem-plain,id=i2,memdev=s2
	12 device_add e1000,id=e1
	12 device_del i1
	12 device_del d1
	12 object_add memory-backend-ram,id=s3,size=2M,share=on;device_add ivshmem-plain,id=i3,memdev=s3
	8 device_del i2
	8 device_del e1
	12 device_del d2
	12 device_add pc-dimm,id=d3,memdev=m1
	0 quit
	END
}

shared="-object memory-backend-ram,id=sh1,size=1M,share=on -device ivshmem-plain,memdev=sh1
    -object memory-backend-ram,id=sh2,size=1M,share=on -device ivshmem-plain,memdev=sh2"
flash=/usr/share/OVMF
for name; do
    # shellcheck disable=SC2086 # shared is words
    case $name in
    pc-boot) boot | strace_of "$name" "-e trace=ioctl" -machine pc -vga std ;;
    pc-boot-y) boot | strace_of "$name" "-y -e trace=ioctl,write" -machine pc -vga std ;;
    q35-reset) reset | trace "$name" -machine q35 -vga std ;;
    pc-hotplug) hotplug | trace "$name" -machine pc -vga std $shared ;;
    pc-bars) bars | trace "$name" -machine pc -vga std $shared ;;
    pc-migrate) migrate | trace "$name" -machine pc -vga std ;;
    q35-smm) boot | trace "$name" -machine q35,smm=on -vga std ;;
    ovmf-smm)
        cp "$flash/OVMF_VARS_4M.fd" "$out/vars.fd"
        boot | trace "$name" -machine q35,smm=on -vga std -global driver=cfi.pflash01,property=secure,value=on \
            -drive if=pflash,unit=0,format=raw,readonly=on,file="$flash/OVMF_CODE_4M.secboot.fd" \
            -drive if=pflash,unit=1,format=raw,file="$out/vars.fd"
        rm "$out/vars.fd"
        ;;
    linux-hotplug)
        linux | trace "$name" -machine pc -vga std -serial "file:$raw/serial" -kernel "$KERNEL" -initrd "$INITRD" \
            -append "console=ttyS0 panic=1 memhp_default_state=online_movable"
        ;;
    *) echo "record.sh: no recording '$name'" >&2; exit 2 ;;
    esac
    wc -lc "$out/$name".*
done
