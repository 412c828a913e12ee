# SPDX-License-Identifier: GPL-2.0-only
"""A build made again of the tree that it is of, as that is now, and checked where it has changed."""

from pathlib import Path

from engines.tree.build import RECORD, built, default_folder
from engines.tree.built import Built, built_in, facts_of
from engines.tree.flags import Options
from engines.tree.tools import Unbuildable
from fuzz.model_check import check_and_note
from memslots.errors import BadInput


def folder_of(path: Path) -> Path:
    """The folder of the build that is meant: this one, or where the build of the source tree at `path` goes."""
    return path if (path / RECORD).exists() else default_folder(path, Options())


def rebuilt(path: Path, layout: Path | None = None) -> Built:
    """The build in this folder, of its tree as it is now; or of the source tree at `path`.

    `layout` describes the list ioctl of a source tree; a build remembers which file described its own.

    Raises BadInput, Unbuildable, Missing.
    """
    folder = folder_of(path)
    if folder == path:
        facts = facts_of(folder)
        tree, options = Path(facts["tree"]), Options(**dict.fromkeys(facts["options"], True))
        layout = Path(facts["layout"]) if facts.get("layout") else None
    else:
        tree, options = path, Options()
    try:
        built(tree, folder, options, layout)
    except OSError as error:
        raise _not_built(error, tree, folder) from None
    made = built_in(folder)
    if made.checked:
        return made
    check_and_note(made)
    return built_in(folder)


def _not_built(error: OSError, tree: Path, folder: Path) -> BadInput:
    """Unbuildable where a file of the tree is not as it should be; where one of ours is, a commit is no cause of it."""
    path = Path(error.filename or folder)
    theirs = path.resolve().is_relative_to(tree.resolve())
    return (Unbuildable if theirs else BadInput)(f"{path}: {error.strerror}: the tree cannot be built")
