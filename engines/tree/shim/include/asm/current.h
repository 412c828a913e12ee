// SPDX-License-Identifier: GPL-2.0-only
/* The tree's own header, which newer trees keep more in, and then: the one task that there is. */
#include_next <asm/current.h>
#ifndef MEMSLOT_CURRENT_H
#define MEMSLOT_CURRENT_H
extern struct task_struct *ms_current;
#undef current
#define current ms_current
#endif
