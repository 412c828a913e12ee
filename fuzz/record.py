# SPDX-License-Identifier: GPL-2.0-only
"""What is on record: the buckets that the case files of some folders name in their `expect` lines."""

from collections.abc import Iterable
from pathlib import Path

from fuzz.replay import case_paths, read_named
from memslots.expectation import MismatchExpected


def buckets_on_record(engine: str, paths: Iterable[Path]) -> set[str]:
    """The buckets of `engine` that the case files at `paths` expect. Raises BadInput."""
    return {
        expectation.bucket
        for path in case_paths(tuple(paths))
        for expectation in read_named(path).expectations
        if isinstance(expectation, MismatchExpected) and expectation.engine == engine
    }
