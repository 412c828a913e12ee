// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree's virt/kvm/kvm_main.c, whole, with what it asks of an architecture, and the functions through which the
 * shim makes a VM, calls its ioctls and reads its fields. One translation unit, so that static functions are in reach.
 */
#include "kvm_main.c"
#include "inside.h"

#ifdef KVM_MAX_NR_ADDRESS_SPACES
#define ADDRESS_SPACES KVM_MAX_NR_ADDRESS_SPACES
#else
#define ADDRESS_SPACES KVM_ADDRESS_SPACE_NUM
#endif

struct task_struct *ms_current;
static struct task_struct the_task;
static union {
	struct mm_struct mm;
	char room[sizeof(struct mm_struct) + 64];	/* it ends in a flexible array */
} the_mm;
/* Where user addresses end: newer trees have it patched into the code at boot. */
unsigned long USER_PTR_MAX = TASK_SIZE_MAX;

#ifndef MEMSLOT_X86
struct kvm_x86_ops kvm_x86_ops;
#endif

void *ms_create(void)
{
	struct kvm *vm;

	the_task.mm = &the_mm.mm;
	ms_current = &the_task;
	atomic_set(&the_mm.mm.mm_count, 1);
	kvm_x86_ops.vm_size = sizeof(struct kvm);
	vm = kvm_create_vm(0, "memslot");
	return IS_ERR(vm) ? NULL : vm;
}

void ms_destroy(void *vm)
{
	kvm_destroy_vm(vm);
}

long ms_ioctl(void *vm, unsigned int cmd, unsigned long arg)
{
	static struct file file;

	file.private_data = vm;
	return kvm_vm_ioctl(&file, cmd, arg);
}

void ms_facts(struct memslot_facts *facts)
{
	facts->address_spaces = ADDRESS_SPACES;
	facts->user_slots = KVM_USER_MEM_SLOTS;
#ifdef __KVM_HAVE_READONLY_MEM
	facts->readonly = 1;
#else
	facts->readonly = IS_ENABLED(CONFIG_HAVE_KVM_READONLY_MEM);
#endif
	facts->page_size = PAGE_SIZE;
#ifdef KVM_SET_USER_MEMORY_REGION_LIST
	facts->list_ioctl = KVM_SET_USER_MEMORY_REGION_LIST;
#endif
	facts->sizeof_slot = sizeof(struct kvm_memory_slot);
	facts->sizeof_vm = sizeof(struct kvm);
}

void **ms_active(void *vm)
{
	return (void **)((struct kvm *)vm)->memslots;
}

void *ms_other(void *vm, int as_id, void *set)
{
	struct kvm_memslots *pair = ((struct kvm *)vm)->__memslots[as_id];

	return set == pair ? pair + 1 : pair;
}

msu64 ms_pages(const void *vm)
{
	return ((const struct kvm *)vm)->nr_memslot_pages;
}

int ms_which_lock(const void *p, const void *lock)
{
	const struct kvm *vm = p;

	if (lock == &vm->slots_lock)
		return MEMSLOT_SLOTS_LOCK;
	return lock == &vm->slots_arch_lock ? MEMSLOT_SLOTS_ARCH_LOCK : 0;
}

void ms_vm_fields(const void *p, unsigned long edges[4])
{
	const struct kvm *vm = p;

	edges[0] = (unsigned long)vm;
	edges[1] = (unsigned long)vm->__memslots;
	edges[2] = (unsigned long)(&vm->__memslots + 1);
	edges[3] = (unsigned long)(vm + 1);
}

const void *ms_notifier_lock(const void *vm)
{
	return &((const struct kvm *)vm)->mn_invalidate_lock;
}

const void *ms_notifier_wait(const void *vm)
{
	return &((const struct kvm *)vm)->mn_memslots_update_rcuwait;
}

int ms_readers_of(const void *p)
{
	const struct srcu_struct *srcu = p;

	return srcu->srcu_lock_nesting[0] || srcu->srcu_lock_nesting[1];
}

int ms_readers(const void *vm)
{
	return ms_readers_of(&((const struct kvm *)vm)->srcu);
}

int ms_of_memslots(const void *vm, const void *srcu)
{
	return srcu == &((const struct kvm *)vm)->srcu;
}

/* srcu_read_unlock() of the tree's uniprocessor SRCU, without waking anybody. */
void __srcu_read_unlock(struct srcu_struct *srcu, int idx)
{
	srcu->srcu_lock_nesting[idx]--;
}

const struct ms_gfp ms_gfp = {
	.zero = (__force unsigned int)__GFP_ZERO,
	.nowarn = (__force unsigned int)__GFP_NOWARN,
	.sleeps = (__force unsigned int)__GFP_DIRECT_RECLAIM,
};

/* ---- what kvm_main.c asks of an architecture about memslots ---- */

#ifdef MEMSLOT_X86
/* Those of arch/x86/kvm/x86.c, as the build has renamed them. */
bool tdp_enabled;	/* shadow paging: rmaps are allocated, and gfns end where the architecture says */
int x86_kvm_arch_prepare_memory_region(struct kvm *kvm, const struct kvm_memory_slot *old,
				       struct kvm_memory_slot *new, enum kvm_mr_change change);
void x86_kvm_arch_free_memslot(struct kvm *kvm, struct kvm_memory_slot *slot);
#endif

int kvm_arch_prepare_memory_region(struct kvm *kvm, const struct kvm_memory_slot *old,
				   struct kvm_memory_slot *new, enum kvm_mr_change change)
{
	bool bounded = change == KVM_MR_CREATE || change == KVM_MR_MOVE;
	int r = ms_prepare_fails(new ?: old, change, bounded ? new->base_gfn + new->npages - 1 : 0, bounded);

#ifdef MEMSLOT_X86
	if (!r) {
		ms_in_hook(1);
		r = x86_kvm_arch_prepare_memory_region(kvm, old, new, change);
		ms_in_hook(0);
	}
#endif
	return r;
}

void kvm_arch_commit_memory_region(struct kvm *kvm, struct kvm_memory_slot *old,
				   const struct kvm_memory_slot *new, enum kvm_mr_change change)
{
	ms_hook(MS_COMMIT, change, new ?: old);
#ifdef MEMSLOT_X86
	/* The part of x86's hook that owns memory. The rest is about page tables, of which there are none. */
	if (change == KVM_MR_MOVE)
		x86_kvm_arch_free_memslot(kvm, old);
#endif
}

void kvm_arch_free_memslot(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	ms_hook(MS_FREE_MEMSLOT, 0, slot);
#ifdef MEMSLOT_X86
	x86_kvm_arch_free_memslot(kvm, slot);
#endif
}

void kvm_arch_memslots_updated(struct kvm *kvm, u64 gen)
{
	ms_hook(MS_MEMSLOTS_UPDATED, 0, NULL);
}

void kvm_arch_flush_shadow_memslot(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	ms_hook(MS_FLUSH_SHADOW, 0, slot);
}

void kvm_arch_flush_shadow_all(struct kvm *kvm)
{
	ms_hook(MS_FLUSH_SHADOW_ALL, 0, NULL);
}

int kvm_arch_init_vm(struct kvm *kvm, unsigned long type)
{
	return 0;
}

void kvm_arch_free_vm(struct kvm *kvm)
{
	__kvm_arch_free_vm(kvm);
}
