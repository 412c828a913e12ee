# SPDX-License-Identifier: GPL-2.0-only
"""What is tried and kept: the command line, replay, and the trial that hands outcomes to oracles.

This room may import every other one; none may import it. Read `trial.py` first, then `commands.py`.
"""
