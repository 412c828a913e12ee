// SPDX-License-Identifier: GPL-2.0-only
/*
 * gcc -Wall -Wextra -o visibility visibility.c && ./visibility --this-machine-is-disposable
 *
 * IT MAY HANG OR CRASH THE KERNEL. Run it on a machine that can be thrown away,
 * as root.
 * Prints TAP. Exit code 0: as expected; 1: not; 4: it cannot run here.
 *
 * A VMM merges two slots into one over the same memory; vCPUs run meanwhile.
 *
 * Expected, as of one KVM_SET_USER_MEMORY_REGION an entry: every entry
 * accepted.
 * Seen, in a simulation of the series of 9 September 2022: ok, 3 publications.
 * P1 publishes each flagged entry by itself: readers meet INVALID slots in one
 * set after the other, where one publication would do for all.
 * Active then: slot=0 gpa=0x0 size=0x200000 hva=0x100000000000
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/kvm.h>

#ifndef KVM_SET_USER_MEMORY_REGION_LIST
struct kvm_userspace_memory_region_entry {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 memory_size;
	__u64 userspace_addr;
	__u8 invalidate_slot;
	__u8 padding[31];
};

struct kvm_userspace_memory_region_list {
	__u32 nent;
	__u32 flags;
	struct kvm_userspace_memory_region_entry entries[];
};

#define KVM_SET_USER_MEMORY_REGION_LIST \
	_IOW(KVMIO, 0x49, struct kvm_userspace_memory_region_list)
#endif

/* Applied first, one KVM_SET_USER_MEMORY_REGION each, to be accepted. */
#define NR_GIVEN	2
static const struct kvm_userspace_memory_region given[NR_GIVEN] = {
	/* slot, flags, guest_phys_addr, memory_size, userspace_addr */
	{ 0, 0, 0,        0x100000, 0x100000000000 },
	{ 1, 0, 0x100000, 0x100000, 0x100000100000 },
};

/* The list: one KVM_SET_USER_MEMORY_REGION_LIST. */
#define NR_ENTRIES	3
static const struct kvm_userspace_memory_region_entry entries[NR_ENTRIES] = {
	/*
	 * slot, flags, guest_phys_addr, memory_size, userspace_addr,
	 * invalidate_slot, padding
	 */
	{ 0, 0, 0, 0,        0,              1, { 0 } },
	{ 1, 0, 0, 0,        0,              1, { 0 } },
	{ 0, 0, 0, 0x200000, 0x100000000000, 0, { 0 } },
};

/* Its header. */
#define NENT	3
#define FLAGS	0

/* What is to come out: the answer... */
#define ANSWER	0

/* ...and the slots that are there then. */
#define NR_AFTER	1
static const struct kvm_userspace_memory_region after[NR_AFTER] = {
	/* slot, flags, guest_phys_addr, memory_size, userspace_addr */
	{ 0, 0, 0, 0x200000, 0x100000000000 },
};

/* A page of a slot id that the case does not use. */
#define SPARE	2
#define PAGE	4096

static int vm, spaces, slots;

static void skip(const char *what, const char *why)
{
	printf("1..0 # SKIP %s: %s\n", what, why);
	exit(4);
}

static const char *name(int err)
{
	switch (err) {
	case 0:		return "0";
	case EEXIST:	return "EEXIST";
	case EFAULT:	return "EFAULT";
	case EINVAL:	return "EINVAL";
	case EIO:	return "EIO";
	case ENOMEM:	return "ENOMEM";
	default:	return strerror(err);
	}
}

/* 0 or an errno. */
static int set_region(const struct kvm_userspace_memory_region *region)
{
	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, region) < 0 ? errno : 0;
}

/* What a new slot of one page is answered. It is taken back at once. */
static int try_page(__u32 slot, __u64 gpa)
{
	struct kvm_userspace_memory_region page = {
		.slot = (slot & 0xffff0000) | SPARE,
		.guest_phys_addr = gpa,
		.memory_size = PAGE,
	};
	int err = set_region(&page);

	page.memory_size = 0;
	if (!err)
		set_region(&page);
	return err;
}

static int covered(__u32 slot, __u64 gpa)
{
	return try_page(slot, gpa) == EEXIST;
}

/* Only a slot with a dirty bitmap gets as far as the copy to NULL. */
static int logs(__u32 slot)
{
	struct kvm_dirty_log log = { .slot = slot };

	return ioctl(vm, KVM_GET_DIRTY_LOG, &log) < 0 && errno == EFAULT;
}

/*
 * Whether exactly this slot is there: then the same request is a no-op. With
 * its first and last page covered, no CREATE and no MOVE can succeed.
 */
static int is_there(const struct kvm_userspace_memory_region *region)
{
	__u64 gpa = region->guest_phys_addr, size = region->memory_size;
	int logged = !!(region->flags & KVM_MEM_LOG_DIRTY_PAGES);

	return size && covered(region->slot, gpa) &&
	       covered(region->slot, gpa + size - PAGE) &&
	       logs(region->slot) == logged && !set_region(region);
}

static void print_region(const struct kvm_userspace_memory_region *region)
{
	printf("slot=%u:%u flags=0x%x gpa=0x%llx size=0x%llx hva=0x%llx",
	       region->slot >> 16, region->slot & 0xffff, region->flags,
	       region->guest_phys_addr, region->memory_size,
	       region->userspace_addr);
}

static void show(const char *what,
		 const struct kvm_userspace_memory_region *region)
{
	printf("# after: %s", what);
	print_region(region);
	puts("");
}

static int same(const struct kvm_userspace_memory_region *region,
		const struct kvm_userspace_memory_region *other)
{
	return !memcmp(region, other, sizeof(*region));
}

/* Shows a slot that is there and is not one of after[]. */
static void show_unexpected(const void *request)
{
	struct kvm_userspace_memory_region region;
	int i;

	/* An entry of a list begins like a region. */
	memcpy(&region, request, sizeof(region));
	for (i = 0; i < NR_AFTER; i++)
		if (same(&region, &after[i]))
			return;
	if (is_there(&region))
		show("unexpected ", &region);
}

/* Shows the slots that are there: whether they are those of after[]. */
static int final_state(void)
{
	struct kvm_userspace_memory_region region;
	int as_id, id, i, there, right = 0, left = 0;

	for (i = 0; i < NR_AFTER; i++) {
		there = is_there(&after[i]);
		show(there ? "" : "missing ", &after[i]);
		right += there;
	}
	for (i = 0; i < NR_GIVEN; i++)
		show_unexpected(&given[i]);
	for (i = 0; i < NR_ENTRIES; i++)
		show_unexpected(&entries[i]);
	/* No ioctl lists the slots, but a DELETE finds what is there. */
	memset(&region, 0, sizeof(region));
	for (as_id = 0; as_id < spaces; as_id++) {
		for (id = 0; id < slots; id++) {
			region.slot = as_id << 16 | id;
			left += !set_region(&region);
		}
	}
	printf("# after: %d in all, expected %d\n", left, NR_AFTER);
	return right == NR_AFTER && left == NR_AFTER;
}

static void make_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		skip("/dev/kvm", strerror(errno));
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		skip("KVM_CREATE_VM", strerror(errno));
	spaces = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE);
	if (spaces < 1)
		spaces = 1;
	slots = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	if (sysconf(_SC_PAGESIZE) != PAGE)
		skip("page size", "the case has pages of 4096 bytes");
}

#define TESTS	4
#define SECONDS	30

static int *tests, failed;

static void result(int ok, const char *what)
{
	printf("%sok %d %s\n", ok ? "" : "not ", ++*tests, what);
	failed += !ok;
}

static int run(void)
{
	const struct kvm_userspace_memory_region missing = { .slot = SPARE };
	struct kvm_userspace_memory_region_list *list, empty = { 0 };
	int room, ret, answer, i;

	make_vm();
	ret = ioctl(vm, KVM_SET_USER_MEMORY_REGION_LIST, &empty);
	if (ret < 0 && errno == ENOTTY)
		skip("KVM_SET_USER_MEMORY_REGION_LIST", "this kernel does not have it");
	/* What NENT names beyond the entries is zero bytes. */
	room = NENT > NR_ENTRIES ? NENT : NR_ENTRIES;
	list = calloc(1, sizeof(*list) + room * sizeof(*entries));
	if (!list)
		skip("calloc", strerror(errno));
	list->nent = NENT;
	list->flags = FLAGS;
	memcpy(list->entries, entries, NR_ENTRIES * sizeof(*entries));
	printf("1..%d\n", TESTS);

	for (i = 0; i < NR_GIVEN; i++)
		if (set_region(&given[i]))
			break;
	result(i == NR_GIVEN, "what is given is accepted");
	if (failed) {
		puts("Bail out!");
		return 1;
	}

	ret = ioctl(vm, KVM_SET_USER_MEMORY_REGION_LIST, list);
	answer = ret < 0 ? errno : 0;
	printf("# the list answers %s, expected %s\n",
	       ret > 0 ? "1" : name(answer), name(ANSWER));
	result(ret <= 0 && answer == ANSWER, "the list's answer");

	/* What follows hangs where a lock was left behind. */
	result(set_region(&missing) == EINVAL, "a further ioctl returns");
	result(final_state(), "final state");
	printf("# %d passed, %d failed\n", *tests - failed, failed);
	free(list);
	return !!failed;
}

int main(int argc, char **argv)
{
	int status = 0, ticks = 0;
	pid_t child, ended;

	signal(SIGCHLD, SIG_DFL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("TAP version 13");
	if (argc != 2 || strcmp(argv[1], "--this-machine-is-disposable"))
		skip("the list may hang or crash the kernel", "say --this-machine-is-disposable");
	tests = mmap(NULL, sizeof(*tests), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tests == MAP_FAILED)
		skip("mmap", strerror(errno));
	child = fork();
	if (child < 0)
		skip("fork", strerror(errno));
	if (!child)
		exit(run());

	/* A task that waits for a lost lock cannot be killed: leave it. */
	do {
		usleep(10000);
		ended = waitpid(child, &status, WNOHANG);
	} while (!ended && ticks++ < SECONDS * 100);
	if (ended == child && WIFEXITED(status))
		return WEXITSTATUS(status);
	kill(child, SIGKILL);
	result(0, ended == child ? "killed: see dmesg" : "does not return: see dmesg");
	while (*tests < TESTS)
		printf("ok %d # SKIP not run\n", ++*tests);
	return 1;
}
