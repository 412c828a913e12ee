// SPDX-License-Identifier: GPL-2.0-only
/*
 * A list ioctl to try sameslots' engine kvm-list on: KVM_SET_USER_MEMORY_REGION_LIST's number and layout, with a choice
 * of what it does, made at run time by kvm.list_variant (/sys/module/kvm/parameters/list_variant).
 *
 * add_list_ioctl.py puts it into a copy of a kernel tree. Not for any kernel that somebody needs: most variants wreck it
 * on purpose.
 */

#include <linux/delay.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/string.h>

struct list_header {
	__u32 nent;
	__u32 flags;
};

struct list_entry {
	struct kvm_userspace_memory_region region;
	__u8 invalidate_slot;
	__u8 padding[31];
};

#define SET_MEMORY_REGION_LIST _IOW(KVMIO, 0x49, struct list_header)

static char list_variant[24] = "naive";
module_param_string(list_variant, list_variant, sizeof(list_variant), 0644);

static bool list_variant_is(const char *name)
{
	return sysfs_streq(list_variant, name);
}

/* One entry after the other, up to the first refusal: what serial calls would do, with nobody in between. */
static int list_apply_naively(struct kvm *kvm, const struct list_entry __user *entries, u32 nent)
{
	struct list_entry entry;
	int r = 0;
	u32 i;

	for (i = 0; i < nent && !r; i++) {
		BUILD_BUG_ON(sizeof(entry) != 64);
		if (copy_from_user(&entry, entries + i, sizeof(entry)))
			return -EFAULT;
		/* What the single ioctl tests before it takes the lock. */
		if ((u16)entry.region.slot >= KVM_USER_MEM_SLOTS)
			return -EINVAL;
		r = __kvm_set_memory_region(kvm, &entry.region);
		cond_resched();
	}
	return r;
}

/* A page that nobody asked for, in slot 7. */
static void list_leave_a_slot(struct kvm *kvm)
{
	struct kvm_userspace_memory_region region = {
		.slot = 7,
		.guest_phys_addr = 0x8000000,
		.memory_size = PAGE_SIZE,
	};

	__kvm_set_memory_region(kvm, &region);
}

/* What only a kernel with KASAN notices. Pointers are volatile, so that the compiler does not notice first. */
static void list_damage(void)
{
	char *volatile bytes = kmalloc(64, GFP_KERNEL);

	if (!bytes)
		return;
	if (list_variant_is("out-of-bounds")) {
		bytes[64] = 1;
		kfree(bytes);
		return;
	}
	kfree(bytes);
	if (list_variant_is("use-after-free"))
		bytes[32] = 1;
	if (list_variant_is("double-free"))
		kfree(bytes);
}

static void list_go_astray(struct kvm *kvm)
{
	char *volatile nothing = NULL;

	if (list_variant_is("extra-slot"))
		list_leave_a_slot(kvm);
	if (list_variant_is("warns"))
		WARN(1, "list_ioctl: as asked for\n");
	if (list_variant_is("oops"))
		*nothing = 1;
	if (list_variant_is("bug"))
		BUG();
	if (list_variant_is("hangs"))
		mutex_lock(&kvm->slots_lock);
	while (list_variant_is("sleeps"))
		msleep(1000);
	while (list_variant_is("loops"))
		cond_resched();
	while (list_variant_is("freezes"))
		cpu_relax();
	list_damage();
}

static long list_ioctl(struct kvm *kvm, void __user *argp)
{
	struct list_header header;
	long r;

	if (copy_from_user(&header, argp, sizeof(header)))
		return -EFAULT;
	mutex_lock(&kvm->slots_lock);
	r = list_apply_naively(kvm, argp + sizeof(header), header.nent);
	list_go_astray(kvm);
	if (!list_variant_is("keeps-lock"))
		mutex_unlock(&kvm->slots_lock);
	if (!r && list_variant_is("returns-1"))
		r = 1;
	return r;
}
