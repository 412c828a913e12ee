# SPDX-License-Identifier: GPL-2.0-only
"""--coverage: where in the library a basic block reports itself (shim/coverage.c reads the file)."""

import re
from array import array
from pathlib import Path

from engines.tree.tools import Tools, run

FILE = "sites"
_CALL = re.compile(r"^\s*([0-9a-f]+):\s.*\bcall\b.*<__sanitizer_cov_trace_pc(?:@plt)?>", re.MULTILINE)
_NEXT = re.compile(r"^\s*([0-9a-f]+):", re.MULTILINE)


def write_sites(library: Path, folder: Path, tools: Tools) -> int:
    """The addresses that the calls return to, in rising order, as 32-bit numbers; how many there are."""
    text = run([tools.objdump, "-d", "--no-show-raw-insn", "-j", ".text", "-j", "bitmap_text", str(library)], "objdump")
    found = array("I")
    for call in _CALL.finditer(text):
        after = _NEXT.search(text, call.end())
        if after is not None:
            found.append(int(after[1], 16))
    numbers = array("I", sorted(found))
    (folder / FILE).write_bytes(numbers.tobytes())
    return len(numbers)
