# SPDX-License-Identifier: GPL-2.0-only
"""strace of a VMM's KVM ioctls: `strace -f -ttt -e trace=ioctl`, with any of its prefixes and annotations.

A call that another thread's line falls into is put together again from its two halves. What makes and ends VMs,
threads and processes counts too, where the recording has it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from fuzz.traces.descriptors import Ambiguous, Descriptors
from fuzz.traces.happening import Gone, Happening, Marker, Update, Warn
from fuzz.traces.recording import CUT_SHORT, Unreadable, Written
from fuzz.traces.strace_words import Call, asks, call_of, cloned, created_fd, request_of
from memslots.errors import BadLine, NotYet

_OF_INTEREST = re.compile(r"SET_USER_MEMORY|KVM_CREATE_VM|0x40..ae4|ae01|0xae, 0x|(?:clone3?|fork)\(|resumed>|\+\+\+ ")
"""A first look that passes over nearly all of a recording: KVM_RUN."""
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_ENDED = re.compile(r"\+\+\+ (?:exited|killed) ")
_HALF_A_DAY, _DAY = 43_200.0, 86_400.0
_EXPECTED_THREADS = (
    "a VM in more than one process, expected the calls that make threads too"
    " (strace -f -e trace=ioctl,clone,clone3,fork,vfork)"
)


def strace_happenings(path: str, lines: Iterable[Written], markers: Sequence[str], warn: Warn) -> Iterator[Happening]:
    """What the lines tell, in the order in which the calls ended. `path` is what errors name. Raises BadLine."""
    descriptors = Descriptors()
    begun: dict[int, tuple[int, Call]] = {}
    midnight, latest = 0.0, 0.0
    for lineno, text, whole in lines:
        if any(marker in text for marker in markers):
            yield Marker(lineno)
        if whole and not _OF_INTEREST.search(text):
            continue
        call = call_of(text)
        if not whole and not asks(call.text):
            warn(f"{path}:{lineno}: {CUT_SHORT}")
            continue
        start = lineno
        if call.text.endswith(_UNFINISHED):
            begun[call.pid] = lineno, call._replace(text=call.text.removesuffix(_UNFINISHED))
            continue
        if resumed := _RESUMED.match(call.text):
            if call.pid not in begun:
                continue
            start, first = begun.pop(call.pid)
            call = first._replace(text=first.text + resumed[1])
        if _ENDED.match(call.text):
            begun.pop(call.pid, None)
            for vm in descriptors.exited(call.pid):
                yield Gone(vm)
        elif (fd := created_fd(call.text)) is not None:
            for vm in descriptors.created(call.pid, fd):
                yield Gone(vm)
        elif child := cloned(call.text):
            descriptors.cloned(call.pid, *child)
        elif asks(call.text):
            try:
                request = request_of(call)
                vm = descriptors.vm_of(call.pid, request.fd)
            except (Unreadable, NotYet) as error:
                if not whole:
                    warn(f"{path}:{lineno}: {CUT_SHORT}")
                    continue
                raise BadLine(path, start, text, str(error)) from None
            except Ambiguous:
                raise BadLine(path, start, text, _EXPECTED_THREADS) from None
            if request.region is None:
                continue
            seconds = call.seconds
            if seconds is not None:
                if seconds + midnight < latest - _HALF_A_DAY:
                    midnight += _DAY
                seconds += midnight
                latest = max(latest, seconds)
            yield Update(start, seconds, vm, request.region, request.errno)
    for start, call in begun.values():
        if asks(call.text):
            warn(f"{path}:{start}: the recording ends before this call did, and it is passed over")
