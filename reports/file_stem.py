# SPDX-License-Identifier: GPL-2.0-only
"""What the files of a report are called: as the case is, or shorter where no line of a mail would hold that."""

from hashlib import sha256

_MOST = 48
_DIGITS = 8


def file_stem(name: str) -> str:
    """The name, or its beginning and a hash of it: different names stay different."""
    if len(name) <= _MOST:
        return name
    digest = sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
    return f"{name[: _MOST - _DIGITS - 1].rstrip('-')}-{digest}"
