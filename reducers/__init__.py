# SPDX-License-Identifier: GPL-2.0-only
"""What is small: passes that make a case smaller while a predicate holds.

Nothing is here yet. Reducers will see a predicate, never an engine.
"""
