# SPDX-License-Identifier: GPL-2.0-only
"""Another kernel, booted in a VM of QEMU's: commands run in it, and engines, with this checkout and this Python.

The VM sees the files of this machine through 9p, read-only; nothing of it stays when its owner ends, however that ends.
Read `plan.py`, then `boot.py` and `guest.py`, and `inside.py`, which is the part that runs in there.
"""
