# SPDX-License-Identifier: GPL-2.0-only
"""Recordings of real VMMs, made into case files: strace of KVM's ioctls, QEMU's trace events.

A reader (`strace.py`, `qemu_trace.py`) makes happenings of lines, `transactions.py` splits them into lists,
`standing.py` knows what stands when a list begins, `case_files.py` writes. Read `happening.py` first.
"""
