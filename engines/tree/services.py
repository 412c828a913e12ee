# SPDX-License-Identifier: GPL-2.0-only
"""Which functions of the kernel may say "fine" and do nothing.

Hooks of the architecture, notifications, reference counts and files that belong to a VM and not to its memslots. A
library lists those of them that its memslot code can reach: there, silence may be wrong. Whatever else is missing
says its name when it is called, and ends the case.
"""

import re

_NAMES = (
    r"kvm_arch_\w+",
    r"kvm_(?:page_track|xen|hv|smm)_\w+",
    r"kvm_eventfd_init",
    r"kvm_irqfd_\w+",
    r"kvm_coalesced_mmio_(?:init|free)",
    r"kvm_(?:init|free)_irq_routing",
    r"kvm_dirty_ring_get_rsvd_entries",
    r"mmu_notifier_(?:un)?register",
    r"preempt_notifier_\w+",
    r"on_each_cpu_cond_mask",
    r"__?cpuhp_\w+",
    r"(?:un)?register_(?:syscore|reboot|pm)\w*",
    r"__mmdrop",
    r"__module_get|module_put|try_module_get",
    r"kobject_uevent_env|add_uevent_var",
    r"perf_\w+register_guest_info_callbacks",
    r"put_pid|get_task_pid|__put_task_struct",
    r"debugfs_\w+",
)
_SILENT = re.compile("|".join(f"(?:{name})" for name in _NAMES))


def may_be_silent(function: str) -> bool:
    """Whether returning 0 and doing nothing will do."""
    return _SILENT.fullmatch(function) is not None
