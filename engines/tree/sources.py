# SPDX-License-Identifier: GPL-2.0-only
"""Which of the tree's files a library was made of, and what they held, for whoever looks at it later."""

import json
from collections.abc import Mapping
from pathlib import Path

from engines.tree.generated import write

FILE = "sources.json"


def write_sources(folder: Path, content: str, read: Mapping[str, str], tree: Path, layout: Path | None) -> None:
    """Of all that was `read`, what people edit: the tree's files, and the description of its list ioctl."""
    own = {path: was for path, was in read.items() if Path(path).is_relative_to(tree) or Path(path) == layout}
    write(folder / FILE, json.dumps({"content": content, "read": own}, indent=0) + "\n")
