# SPDX-License-Identifier: GPL-2.0-only
"""Who can apply a case: the simulated kernels, each behind one protocol, listed in one catalogue.

Engines never see an oracle or a reducer; what an engine answers is an `Outcome` and nothing else.
Read `protocol.py` first, then `simulated/kernel.py`.
"""
