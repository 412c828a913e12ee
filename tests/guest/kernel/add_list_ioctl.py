# SPDX-License-Identifier: GPL-2.0-only
"""Put list_ioctl.c into a copy of a kernel tree: `python add_list_ioctl.py TREE`.

The file stands beside kvm_main.c and is included before the VM's ioctls are told apart; one more case tells this one.
A tree that has it already gets the file anew.
"""

import re
import shutil
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("list_ioctl.c")
INCLUDE = f'#include "{SOURCE.name}"\n'
CASE = "\tcase SET_MEMORY_REGION_LIST:\n\t\treturn list_ioctl(kvm, argp);\n"


def added_to(text: str) -> str:
    """kvm_main.c with the ioctl. Exits with a line where it does not look as expected."""
    if INCLUDE in text:
        return text
    function = re.search(r"^static long kvm_vm_ioctl\(", text, re.MULTILINE)
    if function is None:
        sys.exit("kvm_main.c: no function kvm_vm_ioctl: expected the tree of a Linux 6.1")
    switch = re.compile(r"^\tswitch \(ioctl\) \{\n", re.MULTILINE).search(text, function.end())
    if switch is None:
        sys.exit("kvm_main.c: kvm_vm_ioctl does not switch on its ioctl: expected the tree of a Linux 6.1")
    begin, cases = function.start(), switch.end()
    return f"{text[:begin]}{INCLUDE}\n{text[begin:cases]}{CASE}{text[cases:]}"


def main() -> None:
    """Change the tree named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: add_list_ioctl.py TREE")
    kvm = Path(sys.argv[1]) / "virt" / "kvm"
    kvm_main = kvm / "kvm_main.c"
    if not kvm_main.is_file():
        sys.exit(f"{kvm_main}: not there: expected the tree of a Linux 6.1")
    shutil.copyfile(SOURCE, kvm / SOURCE.name)
    kvm_main.write_text(added_to(kvm_main.read_text()))


if __name__ == "__main__":
    main()
