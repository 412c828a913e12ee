# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl as it ought to be: all or nothing, two publications at most (contract I1 to I8), step by step.

A second, independent reading of the serial ioctl's specification: nothing here may come from `engines/simulated`, nor
go there, or agreement of the two would prove nothing. The standard library is all it imports.
Read `list_call.py`, then `validation.py`; `docs/decisions/ideal.md` says what was decided.
"""
