# SPDX-License-Identifier: GPL-2.0-only
"""What is tried and kept: the grammar, trials, campaigns, the record, the command line.

This room may import every other one; none may import it. Read `trial.py`
first, then `grammar.py` and `campaign.py`.
"""
