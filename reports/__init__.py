# SPDX-License-Identifier: GPL-2.0-only
"""What a person reads: cases, outcomes and mismatches as text and pictures.

Only values and mismatches come in; no engine is run here. Read `memory_map.py` first.
"""
