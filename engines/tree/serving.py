# SPDX-License-Identifier: GPL-2.0-only
"""The program that holds a library: it loads it, and forks a child that applies case after case till one harms it.

A program of its own, so that a build with ASan finds its runtime loaded first, and so that nothing that the kernel's
code may do reaches whoever asks. It ends when its standard input does.

    python -m engines.tree.serving LIBRARY MEMORY [LAYOUT]

A byte comes that says how many cases lie in the shared memory (its descriptor is MEMORY); what goes back is a `=` for
each result, or `!` and a signal's number where the child has died of it. `+` says that a child waits, `?` that none
ever will, with the reason behind it. Behind a case that harms its child, the rest of those with it are not applied.
"""

import os
import resource
import signal
import sys
from pathlib import Path
from struct import Struct

from engines.tree.library import CASE_ROOM, RESULT_ROOM, RESULT_STRIDE, Library, NotUsable, Shared, end_with_parent
from engines.tree.records import Damage, Ended

READY, RESULT, DIED, UNUSABLE = b"+", b"=", b"!", b"?"
_ASK, _TELL = 0, 1
_HEAD = Struct("<4IqQII")
"""The begin of a result."""
_AGAIN, _SPOILT = 3, 4
"""Exit codes of a child: it was harmed by a case that it has answered; it could not begin."""
_UNHARMED = (Ended.RETURNED, Ended.DEADLOCK, Ended.BUG, Ended.UNRESOLVED)
"""How a case ends that was left at a place of the shim's own choice, if it was left at all."""


def main() -> None:
    """Serve until standard input ends."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A crash is told to whoever asked; a core of it would fill their disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, memory, *layout = sys.argv[1:]
    try:
        library = Library(Path(path), shared := Shared(int(memory)))
        if layout:
            library.set_layout(bytes.fromhex(layout[0]))
    except NotUsable as error:
        os.write(_TELL, UNUSABLE + str(error).encode())
        return
    while True:
        pid = os.fork()
        if pid == 0:
            _answer(library, shared)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code in (0, _SPOILT):
            return
        if code != _AGAIN:
            # Killed, or ended by whatever the library is linked with (ASan exits with 1).
            os.write(_TELL, DIED + bytes([-code if code < 0 else 0]))
            return


def _answer(library: Library, shared: Shared) -> None:
    """The life of a child. Never returns."""
    end_with_parent()
    try:
        library.open()
    except NotUsable as error:
        os.write(_TELL, UNUSABLE + str(error).encode())
        os._exit(_SPOILT)
    sites = library.count_sites()
    os.write(_TELL, READY)
    while asked := os.read(_ASK, 1):
        room = RESULT_ROOM if asked[0] == 1 else RESULT_STRIDE
        for i in range(asked[0]):
            library.apply(i, room)
            if sites:
                library.hand_over_sites()
            os.write(_TELL, RESULT)
            _, ended, _, _, _, _, _, damage = _HEAD.unpack_from(shared.bytes, CASE_ROOM + i * RESULT_STRIDE)
            if ended not in _UNHARMED or damage & Damage.OUT_OF_BOUNDS:
                # What was written where, nobody knows.
                os._exit(_AGAIN)
    os._exit(0)


if __name__ == "__main__":
    main()
