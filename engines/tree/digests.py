# SPDX-License-Identifier: GPL-2.0-only
"""What a build has been made of: a step is done again only if something that it has read is not as it was.

Steps that a build asks after are its own; what others left in its folder (a file that the tree has no more) is not.
"""

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

_FILE = "steps.json"


def digest_of(*parts: str | bytes) -> str:
    """One short name for all the parts together."""
    whole = blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()


def file_digest(path: str | Path) -> str:
    """Of the file's contents; empty if it is not there."""
    try:
        return digest_of(Path(path).read_bytes())
    except OSError:
        return ""


class Steps:
    """The steps that have been taken in `folder`, each with its command and the contents of all that it has read."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._known: dict[str, str] = {}
        self._own: set[str] = set()
        try:
            self._steps: dict[str, dict[str, str]] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            self._steps = {}

    def fresh(self, name: str, command: Sequence[str], made: Iterable[Path]) -> bool:
        """Whether what the step has `made` is there, and would come out as it is."""
        self._own.add(name)
        step = self._steps.get(name)
        if step is None or step[""] != digest_of(*command) or not all(path.exists() for path in made):
            return False
        return all(self.digest(path) == was for path, was in step.items() if path)

    def taken(self, name: str, command: Sequence[str], read: Iterable[Path | str]) -> None:
        """Remember it."""
        self._own.add(name)
        self._steps[name] = {"": digest_of(*command)} | {str(path): self.digest(str(path)) for path in read}
        self._path.write_text(json.dumps(self._steps))

    def forget(self, name: str) -> None:
        """It is to be done again, whatever happens now."""
        self._own.discard(name)
        if self._steps.pop(name, None) is not None:
            self._path.write_text(json.dumps(self._steps))

    def digest(self, path: str) -> str:
        """Of the file's contents. Looked up once: a build takes seconds."""
        if path not in self._known:
            self._known[path] = file_digest(path)
        return self._known[path]

    def all(self) -> str:
        """One name for everything that was read in this build's steps, and how."""
        steps = [(name, self._steps[name]) for name in sorted(self._own)]
        return digest_of(*(f"{name} {path} {was}" for name, step in steps for path, was in step.items()))

    def read(self) -> dict[str, str]:
        """Every file that they have read, with the digest of what it held."""
        return {path: was for name in sorted(self._own) for path, was in self._steps[name].items() if path}


def made_of(makefile_rule: Path) -> list[str]:
    """The files that a compiler's -MD rule names."""
    text = makefile_rule.read_text().replace("\\\n", " ")
    return text.partition(":")[2].split()
