# SPDX-License-Identifier: GPL-2.0-only
"""What an update is: requests, slots, cases and outcomes, and the two forms in which they are written down.

Values only: nothing here applies a request or judges a result. The standard library is all it imports.
Read `region.py` and `slot.py` first, then `case.py` and `outcome.py`.
"""
