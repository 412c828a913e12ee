# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl of the kernel that runs here, which may hang or crash over it.

The call is made by a watched child, since it may never return; the child's words, its end and the kernel's log make
the outcome. What cannot be seen of a real kernel is not vouched for:

* `active` and `inactive` are what `Aftermath` makes out. Only the slots that the case names are looked for. Which of
  two sets that differ is the active one, and whether a slot is INVALID, shows in address space 0 and in slots that are
  not READONLY. None where a lock is held, or the kernel crashes when it is asked.
* `slots_lock` and `slots_arch_lock` are held if a request that takes the lock hangs.
* `corrupt` and `dangling` are True where requests that Linux answers crash the kernel, hang, or contradict one
  another; where they do not, that proves nothing: None.
* `warned` and `damage` are what the kernel's log says of the call, from its begin to its end; what it says while
  `given` is applied, and later, up to the end of the VM, are mishaps of phases of their own. A WARN of another task or
  of an interrupt is no more than shown. None where the log may not be read, or has lost lines. Without KASAN there is
  no damage to be heard of; with it, only the first of a boot, unless it runs with kasan_multi_shot.
"""

from errno import errorcode

from engines.real.kmsg import KMSG, Heard, KernelLog, known_as, warn_once_more
from engines.real.list_limits import rehearsed
from engines.real.list_outcome import Told, outcome_of, with_mishaps
from engines.real.list_vm import ListKvm, ThisKvm
from engines.real.list_worker import BEGINS, CLOSE, EMPTIED, ListWorker, Question, Refused
from engines.real.symptoms import stuck_task, symptoms_in
from engines.real.watched import Lost, Stuck, Watched
from memslots.case import Case
from memslots.errors import Missing, RefusedHere
from memslots.outcome import Outcome

SILENT_SECONDS = 5.0
"""How long the child may say nothing, and for each entry a little longer: a swap takes milliseconds under emulation."""
_SECONDS_AN_ENTRY = 0.05
_ANSWER = frozenset(("ended", "kind", "value", "errno"))
_STATE = frozenset(("active", "inactive", "slots_lock", "slots_arch_lock", "dangling", "corrupt"))
_LOG = frozenset(("damage", "warned"))
_MOST_STUCK = 16
"""So many children that cannot be killed are enough for one kernel."""


class IoctlList:
    """KVM_SET_USER_MEMORY_REGION_LIST of this machine's kernel, with all that may come of it."""

    name = "kvm-list"
    shows = _ANSWER | _STATE | _LOG

    def __init__(self, kvm: ListKvm | None = None, log: str = KMSG, silent_seconds: float = SILENT_SECONDS) -> None:
        self._kvm = kvm or ThisKvm()
        self._silent_seconds = silent_seconds
        self._log_path = log
        self._log: KernelLog | None = None
        self._child: Watched | None = None
        self._abandoned: set[int] = set()
        self.suspect = ""
        """Why this kernel is not to be trusted with another case, in words. Empty while it is."""

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`.

        Raises Withheld where nobody has said that this kernel may be lost, Missing where it has no list ioctl or is
        suspect since an earlier case, Unfit for what it cannot be given; RefusedHere for what it takes otherwise.
        """
        host = self._kvm.host()
        if self.suspect:
            raise Missing(f"this kernel cannot be trusted any more, {self.suspect}: restart the guest and go on there")
        before, after = rehearsed(case, host.machine)
        told = Told()
        self._listen()
        lost, left = self._asked(Question(case, host, before, after), told, case.entries)
        if BEGINS not in told.steps:
            raise self._never_called(lost, left, told)
        outcome = outcome_of(before, told, lost, left)
        if EMPTIED not in told.steps or told.lines:
            outcome = self._cleared_away(outcome, told, lost)
        return with_mishaps(outcome, told)

    def _listen(self) -> None:
        """Open the log if that is possible, and pass over what was said between two cases."""
        if self._log is None:
            try:
                self._log = KernelLog(self._log_path)
            except Missing:
                return
        if self._log_path == KMSG:
            warn_once_more()
        self._log.news()

    def _asked(self, question: object, told: Told, entries: int) -> tuple[Lost | None, object]:
        """The child's answer, or how it was lost."""

        def heard(step: object) -> None:
            self._hear(told)
            told.steps.append(step)

        if self._child is None:
            self._child = Watched(ListWorker(self._kvm))
        told.task = known_as(self._child.pid)
        seconds = self._silent_seconds + _SECONDS_AN_ENTRY * entries
        try:
            answer = self._child.ask(question, seconds, heard)
        except Lost as lost:
            if not lost.gone:
                self._abandoned.add(self._child.pid)
            self._child = None
            self._hear(told)
            return lost, None
        self._hear(told)
        return None, answer

    def _hear(self, told: Told) -> None:
        if self._log is None:
            told.log_is_whole = False
            return
        lines, lost = self._log.news()
        # The kernel comes back to a task that hangs after minutes, when other cases have their turn.
        told.hear(Heard(tuple(line for line in lines if stuck_task(line.text) not in self._abandoned), lost))

    def _never_called(self, lost: Lost | None, left: object, told: Told) -> Exception:
        """What to raise where the list was not tried, since it never came to it."""
        if isinstance(left, Refused):
            self.close()
            return RefusedHere(left.index, errorcode.get(left.errno, str(left.errno)))
        said = symptoms_in(told.earlier).oops_text or ("it hangs" if isinstance(lost, Stuck) else "its caller has died")
        self.suspect = f"since serial requests for a new VM fail: {said}"
        return Missing(f"this kernel fails at serial requests for a new VM ({said}): restart the guest")

    def _cleared_away(self, outcome: Outcome, told: Told, lost: Lost | None) -> Outcome:
        """Drop a VM and a child that are suspect; what the kernel says when the VM is closed belongs to the outcome."""
        if lost is None:
            lost, _ = self._asked(CLOSE, told, 0)
            if lost is not None:
                outcome = outcome._replace(corrupt=True)
            if symptoms_in(told.afterwards).damage:
                outcome = outcome._replace(dangling=True)
            self.close()
        symptoms = symptoms_in(told.lines)
        if symptoms.oops is not None:
            self.suspect = f"since it died ({symptoms.oops_text})"
        elif symptoms.damage:
            self.suspect = f"since its memory was damaged ({', '.join(symptoms.damage)})"
        elif isinstance(lost, Stuck) and lost.running and not lost.gone:
            self.suspect = "since a task loops in it that cannot be killed"
        elif len(self._abandoned) >= _MOST_STUCK:
            self.suspect = f"since {len(self._abandoned)} tasks hang in it that cannot be killed"
        return outcome

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            if not self._child.close():
                self._abandoned.add(self._child.pid)
            self._child = None
