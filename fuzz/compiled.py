# SPDX-License-Identifier: GPL-2.0-only
"""Workers whose hot modules are compiled: python -m fuzz.compiled makes them, campaigns take them by themselves.

mypyc compiles them to C as their types say, in a copy of the packages: the sources themselves stay what is imported
everywhere else. A copy that is not of these very sources, or not for this Python, is left alone; and none is kept that
judges drawn cases otherwise than the sources do.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import click

from engines.tree.tools import compiler
from memslots.errors import BadInput, Missing

_HOUSE = Path(__file__).parent.parent
_ROOMS = ("memslots", "engines", "oracles", "reducers", "reports", "fuzz")
COMPILED = _HOUSE / "build" / "compiled"
HOT = (
    *("memslots/region.py", "memslots/slot.py", "memslots/case.py", "memslots/outcome.py", "memslots/machine.py"),
    *("engines/simulated/*.py", "engines/ideal/*.py", "oracles/*.py"),
    *("fuzz/grammar.py", "fuzz/layout.py", "fuzz/header.py", "fuzz/choices.py", "fuzz/boundaries.py"),
    *("fuzz/profiles.py", "fuzz/trial.py", "fuzz/own_order.py", "fuzz/features.py"),
    *("reducers/*.py", "fuzz/signature.py"),
)
"""What a trial and a reduction run through, as patterns of files."""
_NOT_HOT = ("__init__.py", "rbtree.py", "objects.py", "linked.py")
"""A compiled class would not ask NULL of rbtree what becomes of who looks behind it, and nodes are of its class."""
_OF = "made-of.sha256"
_MOST_LINES = 20


class Uncompiled(BadInput):
    """What could not be compiled. `lines` say where, for people; the text says it in one."""

    def __init__(self, text: str, lines: Sequence[str]) -> None:
        super().__init__(text)
        self.lines = tuple(lines)


def environment(compiled: Path = COMPILED, house: Path = _HOUSE) -> dict[str, str]:
    """The environment of a worker: it imports the compiled modules where there are any of these very sources."""
    if not is_fresh(compiled, house):
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(compiled), *_python_path()])}


def is_fresh(compiled: Path = COMPILED, house: Path = _HOUSE) -> bool:
    """Whether `compiled` was made of what `house` holds now, for this Python, and is as it was made."""
    try:
        said = (compiled / _OF).read_text(encoding="ascii").split()
        return said == [_digest(house), _digest_of_made(compiled)]
    except (OSError, UnicodeDecodeError):
        return False


def make(compiled: Path = COMPILED, house: Path = _HOUSE, hot: Sequence[str] = HOT) -> None:
    """Make `compiled` anew; what is there stays until the new one is whole, or is found to judge otherwise.

    Raises Missing without mypyc or a compiler, BadInput where either fails, or what they have made judges otherwise,
    OSError where nothing can be written.
    """
    for module in ("mypyc", "setuptools"):
        if find_spec(module) is None:
            raise Missing(f"{module} is not installed: pip install 'sameslots[compiled]'")
    compiler("cc")
    digest = _digest(house)
    making, old = (compiled.with_name(f"{compiled.name}.{what}") for what in ("making", "old"))
    for left in (making, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        _copy(house, making)
        _compile(making, hot)
        try:
            _compare(house, making)
        except BadInput:
            shutil.rmtree(compiled, ignore_errors=True)
            raise
        (making / _OF).write_text(f"{digest} {_digest_of_made(making)}\n", encoding="ascii")
        if compiled.exists():
            compiled.rename(old)
        making.rename(compiled)
    finally:
        for left in (making, old):
            shutil.rmtree(left, ignore_errors=True)


def _copy(house: Path, to: Path) -> None:
    for room in _ROOMS:
        shutil.copytree(house / room, to / room, ignore=shutil.ignore_patterns("__pycache__"))


def _compile(folder: Path, hot: Sequence[str]) -> None:
    modules = [path for pattern in hot for path in sorted(folder.glob(pattern)) if path.name not in _NOT_HOT]
    (folder / "mypy.ini").write_text("[mypy]\nexplicit_package_bases = True\nignore_missing_imports = True\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypyc", *(str(path.relative_to(folder)) for path in modules)],
        cwd=folder,
        env={**os.environ, "MYPYC_OPT_LEVEL": "2", "PYTHONPATH": os.pathsep.join(_python_path())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        last = ran.stdout.splitlines()[-_MOST_LINES:]
        error = next((line for line in last if "error" in line.lower()), f"it ended with {ran.returncode}")
        raise Uncompiled(f"mypyc: {error}", last)
    shutil.rmtree(folder / "build", ignore_errors=True)


def _compare(house: Path, compiled: Path) -> None:
    """Raises BadInput unless both judge drawn cases alike."""
    sources, made = (_verdicts_in(folder) for folder in (house, compiled))
    if sources != made:
        unlike = [one.partition(":")[0] for one, other in zip(sources, made, strict=True) if one != other]
        raise BadInput(f"compiled modules judge otherwise than their sources do: {', '.join(unlike)}")


def _verdicts_in(folder: Path) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "fuzz.verdicts"],
        cwd=folder,
        # The order of sets is in what is compared.
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise BadInput(f"{folder}: {(ran.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return ran.stdout.splitlines()


def _digest(house: Path) -> str:
    """A digest of the sources, and of the Python that they are compiled for."""
    digest = sha256(sys.version.encode())
    for room in _ROOMS:
        for path in sorted((house / room).rglob("*.py")):
            digest.update(f"{path.relative_to(house)}\0".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _digest_of_made(compiled: Path) -> str:
    """A digest of all that a worker may import of `compiled`."""
    digest = sha256()
    for path in sorted(path for path in compiled.rglob("*") if path.suffix in (".so", ".py")):
        digest.update(f"{path.relative_to(compiled)}\0".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _python_path() -> list[str]:
    return [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []


def main() -> None:
    """Make them, and say where they lie."""
    try:
        make()
    except Uncompiled as failure:
        for line in (*failure.lines, f"error: {failure}"):
            click.echo(line, err=True)
        sys.exit(2)
    except (BadInput, Missing) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3 if isinstance(error, Missing) else 2)
    except OSError as error:
        click.echo(f"error: {error.filename}: {error.strerror}: expected to make {COMPILED} there", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    click.echo(f"workers of campaigns and enumerations run compiled: {COMPILED}/")


if __name__ == "__main__":
    main()
