# SPDX-License-Identifier: GPL-2.0-only
"""What is small: passes that make a case smaller while a predicate holds.

Reducers see a predicate, never an engine or an oracle. The standard library is all they import.
Read `problem.py` first, then `reduce.py`.
"""
