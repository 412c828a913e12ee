# SPDX-License-Identifier: GPL-2.0-only
"""Work done by processes side by side, each piece in a process of its own that inherits all that is known here.

What a mistake does to a process (memory without end, a libFuzzer that never returns) stays in it.
"""

import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_MOST_MEMORY = 2 << 30
_FORK = get_context("fork")


class Died(Exception):
    """A process ended without an answer."""


def side_by_side(
    tasks: Iterable[Task], work: Callable[[Task, Callable[[Answer], None]], None], processes: int
) -> Iterator[tuple[Task, Answer]]:
    """Each task with its answer, in the order in which they are done. Raises Died.

    `work` is called with a task and with whom to tell the answer, and need not return after that. Whoever stops
    listening ends all processes.
    """
    left = iter(tasks)
    running = {}

    def start() -> None:
        for task in left:
            ours, theirs = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_run, args=(work, task, theirs))
            process.start()
            theirs.close()
            running[ours] = task, process
            return

    try:
        for _ in range(processes):
            start()
        while running:
            for ours in wait(list(running)):
                assert isinstance(ours, Connection)
                task, process = running.pop(ours)
                try:
                    answer = ours.recv()
                except EOFError:
                    process.join()
                    raise Died(f"{task}: exit code {process.exitcode}") from None
                finally:
                    ours.close()
                process.join()
                start()
                yield task, answer
    finally:
        for ours, (_, process) in running.items():
            process.kill()
            process.join()
            ours.close()


def _run(work: Callable[[Task, Callable[[Answer], None]], None], task: Task, theirs: Connection) -> None:
    """In the new process: Ctrl-C is for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    work(task, theirs.send)
    # Nothing to unwind; what was inherited is not this process's to close.
    theirs.close()
    os._exit(0)
