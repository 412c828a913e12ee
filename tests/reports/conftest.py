# SPDX-License-Identifier: GPL-2.0-only
"""A C compiler, reproducers built with it, and what they print."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

DOUBLE = Path(__file__).parent / "kvm_double.c"
WRAPPED = ("ioctl", "open", "usleep", "kill")
STRICT = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")
_POINT = re.compile(r"(not )?ok (\d+) (.+)")


Build = Callable[..., Path]
Points = tuple[bool | None, ...]
Ran = Callable[..., tuple[int, Points, str]]


@pytest.fixture(scope="session")
def compiler() -> str:
    """gcc; without one the test is skipped, and says why."""
    found = shutil.which("gcc")
    if found is None:
        pytest.skip("needs gcc: apt-get install gcc libc6-dev")
    return found


@pytest.fixture(scope="session")
def double(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The double of KVM, compiled."""
    built = tmp_path_factory.mktemp("double") / "kvm_double.o"
    subprocess.run([compiler, "-std=gnu11", "-Wall", "-c", "-o", built, DOUBLE], check=True)
    return built


@pytest.fixture(scope="session")
def build(compiler: str, double: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile a program, without a warning. The double is linked in, and sleeps unless DOUBLE is set."""
    folder = tmp_path_factory.mktemp("built")

    def build(text: str, *options: str, cc: str = compiler) -> Path:
        source = folder / f"{len(list(folder.iterdir()))}.c"
        source.write_text(text, encoding="utf-8")
        program = source.with_suffix("")
        wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
        done = subprocess.run(
            [cc, *STRICT, *options, *wraps, "-o", program, source, double], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return program

    return build


@pytest.fixture(scope="session")
def check(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], str]:
    """What the compiler says of many programs, of which it makes none."""
    folder = tmp_path_factory.mktemp("checked")

    def check(texts: list[str]) -> str:
        sources = [folder / f"{number}.c" for number in range(len(texts))]
        for source, text in zip(sources, texts, strict=True):
            source.write_text(text, encoding="utf-8")
        return subprocess.run(
            [compiler, *STRICT, "-fsyntax-only", *sources], capture_output=True, text=True, check=False
        ).stderr

    return check


@pytest.fixture(scope="session")
def ran() -> Ran:
    """Run a program: its exit code, whether each test point held (None: it was skipped), and all that it printed.

    Keywords are variables in the environment, for the double.
    """

    def ran(program: Path, *arguments: str, **environment: str | int) -> tuple[int, Points, str]:
        variables = {name: value for name, value in os.environ.items() if name not in ("DOUBLE", "MEDDLE_AT")}
        done = subprocess.run(
            [program, *arguments],
            env=variables | {name: str(value) for name, value in environment.items()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, tap(done.stdout.splitlines()), done.stdout

    return ran


def tap(lines: Sequence[str]) -> Points:
    """The test points of a TAP 13 document, in their order; it must be whole unless it bails out."""
    version, *rest = lines
    assert version == "TAP version 13"
    body = [line for line in rest if not line.startswith("#")]
    plan = re.fullmatch(r"1\.\.(\d+)(?: # SKIP .+)?", body.pop(0))
    assert plan, lines
    bails_out = bool(body) and body[-1] == "Bail out!"
    if bails_out:
        body.pop()
    points: list[bool | None] = []
    for number, line in enumerate(body, 1):
        point = _POINT.fullmatch(line)
        assert point, line
        assert int(point[2]) == number
        points.append(None if "# SKIP" in point[3] and not point[1] else point[1] is None)
    assert bails_out or len(points) == int(plan[1])
    return tuple(points)
