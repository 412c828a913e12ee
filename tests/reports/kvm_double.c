// SPDX-License-Identifier: GPL-2.0-only
/*
 * A KVM for tests, linked into a reproducer with --wrap: memory slots alone,
 * with the list ioctl, and as broken as the environment says. Without DOUBLE
 * in the environment every call goes to the real kernel.
 *
 * DOUBLE is a word: what is wrong with this kernel ("sound": nothing).
 * SPACES, MAX_GFN, SLOTS, READONLY, USER_END: what its VMs are like.
 * LIST_TO: the file that a list is written to as it comes.
 * MEDDLE_AT: behind how many single ioctls the slots are tampered with (behind the list always).
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <linux/kvm.h>

#define LIST_IOCTL	0x4008ae49
#define KVM_FD		1000
#define VM_FD		1001

typedef struct kvm_userspace_memory_region region_t;

static region_t slots[2][32764], kept[2][32764];
static int in_list, after_list;
static unsigned long requests;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __real_open(const char *path, int flags);
int __real_usleep(unsigned int usec);
int __real_kill(int pid, int signal);

static unsigned long number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static int wrong(const char *what)
{
	const char *text = getenv("DOUBLE");

	return text && !strcmp(text, what);
}

/*
 * Waits for ever. What waits for a lost lock does not heed SIGKILL while its parent lives; what hangs in the list does,
 * and needs it: it holds standard output open, for which the test waits.
 */
static void hang(void)
{
	if (wrong("list-hangs"))
		alarm(90);
	else
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static int refused(int err)
{
	errno = err;
	return -1;
}

static int overlaps(const region_t *new)
{
	region_t *of_space = slots[new->slot >> 16];
	int id;

	for (id = 0; id < 32764; id++)
		if (id != (new->slot & 0xffff) && of_space[id].memory_size &&
		    of_space[id].guest_phys_addr < new->guest_phys_addr + new->memory_size &&
		    new->guest_phys_addr < of_space[id].guest_phys_addr + of_space[id].memory_size)
			return 1;
	return 0;
}

static int set_region(const region_t *new)
{
	unsigned int as_id = new->slot >> 16, id = new->slot & 0xffff;
	unsigned int known = number("READONLY", 1) && !wrong("readonly-unknown") ? 3 : 1;
	__u64 gpa = new->guest_phys_addr, size = new->memory_size, hva = new->userspace_addr;
	region_t *old;

	if (after_list && wrong("slots-lock-lost"))
		hang();
	if (id >= number("SLOTS", 32764) || new->flags & ~known || (size | gpa | hva) & 4095 ||
	    hva + size < hva || hva + size > number("USER_END", 0x7ffffffff000) ||
	    as_id >= number("SPACES", 1) || gpa + size < gpa || size >> 12 > 0x7fffffff)
		return refused(EINVAL);
	old = &slots[as_id][id];
	if (!size) {
		if (!old->memory_size)
			return refused(EINVAL);
		if (after_list && wrong("arch-lock-lost"))
			hang();
		memset(old, 0, sizeof(*old));
		return 0;
	}
	if (old->memory_size && (old->memory_size != size || old->userspace_addr != hva || (old->flags ^ new->flags) & 2))
		return refused(EINVAL);
	if (old->memory_size && old->guest_phys_addr == gpa && old->flags == new->flags)
		return wrong("no-op-refused") && !after_list ? refused(EINVAL) : 0;
	if (!(old->memory_size && old->guest_phys_addr == gpa)) {
		if (overlaps(new) && !wrong("overlap-allowed") && !(in_list && wrong("list-allows-overlap")))
			return refused(wrong("overlap-is-einval") ? EINVAL : EEXIST);
		if (((gpa + size - 1) >> 12) > number("MAX_GFN", (1ul << 40) - 1))
			return refused(EINVAL);
	}
	if (after_list && wrong("arch-lock-lost"))
		hang();
	*old = *new;
	return 0;
}

static int apply_list(const unsigned char *list)
{
	unsigned int nent, i;
	region_t region;

	memcpy(&nent, list, sizeof(nent));
	memcpy(kept, slots, sizeof(slots));
	if (!nent)
		return 0;
	if (getenv("LIST_TO")) {
		FILE *file = fopen(getenv("LIST_TO"), "w");

		fwrite(list, 8 + 64ul * nent, 1, file);
		fclose(file);
	}
	if (wrong("list-hangs"))
		hang();
	if (wrong("list-is-killed"))
		raise(SIGSEGV);
	if (wrong("list-answers-1"))
		return 1;
	if (wrong("list-does-nothing"))
		return 0;
	for (i = 0; i < nent; i++) {
		memcpy(&region, list + 8 + 64ul * i, sizeof(region));
		if (set_region(&region)) {
			if (!wrong("prefix"))
				memcpy(slots, kept, sizeof(slots));
			if (wrong("list-says-ok"))
				return 0;
			return wrong("list-says-enomem") ? refused(ENOMEM) : -1;
		}
	}
	return wrong("list-says-enomem") ? refused(ENOMEM) : wrong("list-answers-1-when-done");
}

/* What becomes of the slots behind everybody's back. */
static void meddle(void)
{
	region_t *first = slots[0];

	while (first < slots[0] + 32763 && !first->memory_size)
		first++;
	if (wrong("a-slot-more"))
		slots[0][32763] = (region_t){ 32763, 0, 0xffff0000000, 4096, 0 };
	if (!first->memory_size)
		return;
	if (wrong("a-slot-less"))
		first->memory_size = 0;
	else if (wrong("moved"))
		first->guest_phys_addr += 4096;
	else if (wrong("moved-down"))
		first->guest_phys_addr -= 4096;
	else if (wrong("shorter"))
		first->memory_size -= 4096;
	else if (wrong("other-memory"))
		first->userspace_addr += 4096;
	else if (wrong("other-log"))
		first->flags ^= KVM_MEM_LOG_DIRTY_PAGES;
	else if (wrong("other-readonly"))
		first->flags ^= KVM_MEM_READONLY;
}

static int answer(unsigned long request, void *argument)
{
	int ret;

	switch (request) {
	case KVM_CREATE_VM:
		return VM_FD;
	case KVM_CHECK_EXTENSION:
		switch ((long)argument) {
		case KVM_CAP_MULTI_ADDRESS_SPACE:
			return number("SPACES", 1) == 1 ? 0 : number("SPACES", 1);
		case KVM_CAP_NR_MEMSLOTS:
			return number("SLOTS", 32764);
		case KVM_CAP_READONLY_MEM:
			return number("READONLY", 1);
		}
		return 0;
	case KVM_SET_USER_MEMORY_REGION:
		if (requests++ == number("MEDDLE_AT", -1))
			meddle();
		return set_region(argument);
	case KVM_GET_DIRTY_LOG: {
		struct kvm_dirty_log *log = argument;
		region_t *region = &slots[log->slot >> 16 & 1][(log->slot & 0xffff) % 32764];

		return refused(region->memory_size && region->flags & 1 ? EFAULT : ENOENT);
	}
	case LIST_IOCTL:
		if (wrong("no-list"))
			return refused(ENOTTY);
		in_list = 1;
		ret = apply_list(argument);
		in_list = 0;
		if (*(unsigned int *)argument) {
			int err = errno;

			meddle();
			after_list = 1;
			errno = err;
		}
		return ret;
	}
	return refused(ENOTTY);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list arguments;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return getenv("DOUBLE") ? answer(request, argument) : __real_ioctl(fd, request, argument);
}

int __wrap_open(const char *path, int flags, ...)
{
	if (!getenv("DOUBLE"))
		return __real_open(path, flags);
	return wrong("no-device") ? refused(ENOENT) : wrong("no-permission") ? refused(EACCES) : KVM_FD;
}

/* Half a minute is long in a test. */
int __wrap_usleep(unsigned int usec)
{
	return __real_usleep(getenv("DOUBLE") ? usec / 50 : usec);
}

int __wrap_kill(int pid, int signal)
{
	return wrong("slots-lock-lost") || wrong("arch-lock-lost") ? 0 : __real_kill(pid, signal);
}
