// SPDX-License-Identifier: GPL-2.0-only
/* What there is none of: vCPUs, and whoever would be told. */
#include "shim.h"

#define ENOTTY 25

void *k_xa_load(void *array, unsigned long index) { return NULL; }
void *k_xa_find(void *array, unsigned long *index, unsigned long most, unsigned int filter) { return NULL; }
void *k_xa_find_after(void *array, unsigned long *index, unsigned long most, unsigned int filter) { return NULL; }
/* An ioctl that nobody knows must not be taken for one that has done its work. With --x86 there is the tree's own. */
__attribute__((weak)) long k_kvm_arch_vm_ioctl(void *file, unsigned int ioctl, unsigned long arg) { return -ENOTTY; }
/* An array of pointers that are handed to an allocator, which has no use for them. */
char k_kmalloc_caches[16384];
