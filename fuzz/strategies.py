# SPDX-License-Identifier: GPL-2.0-only
"""Cases for Hypothesis: one packed integer a gesture, so that it can take a gesture away as a whole."""

from hypothesis import strategies as st

from fuzz.grammar import CHOICE_BITS, case_of
from memslots.case import Case

_choice = st.integers(0, (1 << CHOICE_BITS) - 1)


def cases(most: int = 16) -> st.SearchStrategy[Case]:
    """Cases of the grammar, of at most `most` gestures, given ones included."""
    return st.lists(_choice, min_size=1, max_size=most + 1).map(case_of)
