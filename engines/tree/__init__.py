# SPDX-License-Identifier: GPL-2.0-only
"""The memslot code of a Linux source tree, compiled for user space.

`build.py` says how a tree becomes a library; what the library can be asked is shim/memslot_abi.h. The tree is only
read, and nothing of it is part of this repository: library and listings are made on the user's machine.
"""
