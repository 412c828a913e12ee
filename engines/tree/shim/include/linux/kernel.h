// SPDX-License-Identifier: GPL-2.0-only
/* The tree's own header, and then: might_sleep() asks the shim, which knows whether a spinlock is held. */
#include_next <linux/kernel.h>
#ifndef MEMSLOT_KERNEL_H
#define MEMSLOT_KERNEL_H
void ms_might_sleep(void);
#undef might_sleep
#define might_sleep() ms_might_sleep()
#endif
