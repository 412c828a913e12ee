// SPDX-License-Identifier: GPL-2.0-only
/* Nothing of the kernel is called from outside the library: so no symbol goes through a table, as x86's asm expects. */
#pragma GCC visibility push(hidden)
