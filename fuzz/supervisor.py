# SPDX-License-Identifier: GPL-2.0-only
"""The workers of a campaign or an enumeration: started, watched, and stopped together."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engines.guests.engine import BOOTING
from fuzz.compiled import environment
from fuzz.where import label
from memslots.errors import BadInput, Missing

WORKER = Path(__file__).with_name("worker.py")
_LOOK_SECONDS = 0.2
_LATE_SECONDS = 20.0
_LATE_IN_GUESTS_SECONDS = 3600.0
_GRACE_SECONDS = 10.0
"""How long a worker may take to stop: one reduction at most."""
_LAST_BYTES = 4096
"""Of a log: more than its last line, or than what matters of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign is asked to do. `seconds` or `runs` (of each worker) may be None: no limit."""

    backend: str
    engine: str
    reference: str
    policy: str
    out: Path
    seed: int
    seconds: float | None
    runs: int | None
    mutator: bool
    seeds: tuple[Path, ...] = ()
    guest: str | None = None

    def settings(self) -> dict[str, str]:
        """What all campaigns in one folder have in common."""
        return {"engine": label(self.engine, self.guest), "reference": self.reference, "policy": self.policy}

    def late_seconds(self) -> float:
        """How long after its time a worker may end: one reduction, in which guests may have to boot again and again."""
        return _LATE_SECONDS if self.guest is None else _LATE_IN_GUESTS_SECONDS

    def backends(self) -> tuple[str, ...]:
        """The backend of each worker. Raises Missing."""
        has_atheris = find_spec("atheris") is not None
        if self.backend == "atheris" and not has_atheris:
            raise Missing("atheris is not installed (x86-64 Linux: pip install atheris); --backend random does without")
        if self.backend == "mixed":
            return ("random", "atheris") if has_atheris else ("random",)
        return (self.backend,)

    def commands(self) -> Mapping[str, list[str]]:
        """A worker for each backend. Raises Missing."""
        return {backend: self._command(backend) for backend in self.backends()}

    def _command(self, backend: str) -> list[str]:
        command = [sys.executable, str(WORKER), "--watch-stdin", "--backend", backend, f"--out={self.out}"]
        command += ["--engine", self.engine, "--reference", self.reference, "--policy", self.policy]
        command += ["--seed", str(self.seed)]
        command += [] if self.seconds is None else ["--time", str(self.seconds)]
        command += [] if self.runs is None else ["--runs", str(self.runs)]
        command += [] if self.mutator else ["--no-mutator"]
        command += [] if self.guest is None else ["--guest", self.guest]
        for path in self.seeds:
            command.append(f"--seeds={path}")
        return command


class Workers:
    """The processes. To leave the `with` block stops them."""

    def __init__(self, commands: Mapping[str, list[str]], out: Path) -> None:
        """`commands` has each worker's by its name; it stops when its standard input is closed. Logs are in `out`."""
        self._commands = commands
        self._out = out
        self._processes: list[subprocess.Popen[bytes]] = []
        self.logs: list[Path] = []

    def __enter__(self) -> "Workers":
        for name, command in self._commands.items():
            log = self._out / f"{name}.log"
            self.logs.append(log)
            with log.open("ab") as output:
                self._processes.append(
                    # A session of its own: Ctrl-C at the terminal is ours to pass on.
                    subprocess.Popen(
                        command,
                        stdin=subprocess.PIPE,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                        env=environment(),
                    )
                )
        return self

    def watch(self, tick: Callable[[], None], seconds: float | None = None, late: float = 0.0) -> None:
        """Call `tick` now and then until all workers have ended.

        Raises BadInput if one of them failed, or is there still `late` seconds after its time.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds + late
        while any(process.poll() is None for process in self._processes) and not any(
            process.poll() for process in self._processes
        ):
            tick()
            time.sleep(_LOOK_SECONDS)
            if time.monotonic() > deadline:
                raise BadInput(f"a worker has not ended {late:.0f} s after its time: it is killed")
        tick()
        for process, log in zip(self._processes, self.logs, strict=True):
            if process.returncode:
                last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
                raise BadInput(f"a worker ended with {process.returncode}: {last[0]} ({log})")

    def booting(self) -> int:
        """How many of them wait for a guest to come up."""
        return sum(map(_boots, self.logs))

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C shall not cut short what the first has asked for: the end, and the table.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for process in self._processes:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process, log in zip(self._processes, self.logs, strict=True):
            try:
                if _boots(log):
                    # It listens when the guest is up, and has no case till then. The guest dies with it.
                    process.kill()
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _boots(log: Path) -> bool:
    """Whether the last that a worker has said is that a guest boots."""
    with log.open("rb") as lines:
        lines.seek(max(lines.seek(0, os.SEEK_END) - _LAST_BYTES, 0))
        last = lines.read().splitlines()[-1:]
    return last != [] and last[0].startswith(BOOTING.encode())
