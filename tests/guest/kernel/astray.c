// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways for a list ioctl to go wrong, to try sameslots' engine kvm-list on, chosen at run time by kvm.list_variant
 * (/sys/module/kvm/parameters/list_variant); "naive" is none of them.
 *
 * build.sh puts it into a copy of a kernel tree with examples/naive.patch. Not for any kernel that somebody needs: most
 * variants wreck it on purpose.
 */

#include <linux/delay.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/string.h>

static char list_variant[24] = "naive";
module_param_string(list_variant, list_variant, sizeof(list_variant), 0644);

static bool list_variant_is(const char *name)
{
	return sysfs_streq(list_variant, name);
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
		WARN(1, "astray: as asked for\n");
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

/* Behind a list ioctl that is done and is going to return @r. */
static int astray(struct kvm *kvm, int r)
{
	mutex_lock(&kvm->slots_lock);
	list_go_astray(kvm);
	if (!list_variant_is("keeps-lock"))
		mutex_unlock(&kvm->slots_lock);
	if (!r && list_variant_is("returns-1"))
		r = 1;
	return r;
}
