# SPDX-License-Identifier: GPL-2.0-only
"""The kernel of this machine, through /dev/kvm: requests go in by ioctl, the slots are read back by probing.

No request goes in that could make the kernel allocate metadata for more than 1024 pages.
The standard library is all it imports; `device.py` alone calls ioctl.
Read `device.py`, then `vm.py`, `probe.py` and `kvm.py`.
"""
