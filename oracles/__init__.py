# SPDX-License-Identifier: GPL-2.0-only
"""What is right: pure functions, two outcomes in, mismatches out.

No engine, clock, log or file may be used here. The standard library is all it imports.
Read `mismatch.py` first, then `judge.py`.
"""
