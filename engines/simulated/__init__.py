# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's memslot code, simulated pointer by pointer, kept faults included.

Nothing here may crash, hang or recurse the process, whatever the fields of a case hold.
The standard library is all it imports.
Read `objects.py`, then `kernel.py`, then `serial.py` and `rfc_v1.py`.
"""
